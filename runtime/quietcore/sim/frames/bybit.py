"""Bybit v5 public stream frames (bybit-exchange.github.io/docs/v5/websocket/public/orderbook)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from quietcore.sim.book import Book
from quietcore.sim.frames import Frame, Kind, Refused, Trade, is_zero
from quietcore.sim.frames.times import shift_times

Rows = list[tuple[str, str]]
# Topics that are followed; `orderbook.rpi.X` and whatever else the venue may send is something else.
FOLLOWED = re.compile(
    r"(?:orderbook\.(?P<depth>[0-9]{1,4})|(?P<kind>publicTrade|tickers))\.(?P<symbol>[^.]+)"
)


class Envelope(msgspec.Struct):
    """The outside of a frame; an answer to a request has no topic. Others' values may be of any type."""

    topic: str = ""
    type: msgspec.Raw = msgspec.Raw(b"")
    ts: msgspec.Raw = msgspec.Raw(b"0")
    data: msgspec.Raw = msgspec.Raw(b"")


class BookData(msgspec.Struct):
    """`data` of an orderbook frame."""

    s: str
    b: Rows
    a: Rows
    u: int
    seq: int = 0


class BookChange(msgspec.Struct):
    """A decoded orderbook frame."""

    full: bool
    depth: int
    data: BookData


class TradeData(msgspec.Struct):
    """Price, volume and taker's side of one trade of a publicTrade frame; `block`: agreed outside the book."""

    p: str
    v: str
    side: str = msgspec.field(name="S")
    block: bool = msgspec.field(default=False, name="BT")


class BybitFrames:
    """Reads frames of the public stream and follows one book per orderbook topic."""

    name = "bybit-linear"

    def __init__(self) -> None:
        self._envelope = msgspec.json.Decoder(Envelope)
        self._time = msgspec.json.Decoder(int)
        self._book = msgspec.json.Decoder(BookData)
        self._trades = msgspec.json.Decoder(list[TradeData])
        self._books: dict[str, Book] = {}
        self._by_symbol: dict[str, tuple[int, Book]] = {}

    def parse(self, raw: bytes, receive_ns: int | None = None) -> Frame:
        """Read one message; raise `Refused` where it is none of the venue's."""
        try:
            envelope = self._envelope.decode(raw)
            match = FOLLOWED.fullmatch(envelope.topic)
            if match is None:
                return Frame(Kind.OTHER, envelope.topic, "", 0, raw, receive_ns)
            symbol = match["symbol"]
            body: BookChange | tuple[Trade, ...] | None = None
            time_ms = self._time.decode(envelope.ts)
            if match["depth"] is not None:
                data = self._book.decode(envelope.data)
                kind = bytes(envelope.type)
                if kind not in (b'"snapshot"', b'"delta"'):
                    raise Refused(
                        f"topic {envelope.topic} has the type {kind.decode()}, expected snapshot or delta"
                    )
                if data.s != symbol:
                    raise Refused(f"topic {envelope.topic} carries the symbol {data.s!r}")
                full = kind == b'"snapshot"' or data.u == 1
                body = BookChange(full, int(match["depth"]), data)
                found = Kind.BOOK
            elif match["kind"] == "publicTrade":
                found, body = Kind.TRADE, self._of_the_market(envelope.data)
            else:
                found = Kind.TICKER
        except (msgspec.MsgspecError, ValueError) as error:
            raise Refused(str(error)) from error
        return Frame(found, envelope.topic, symbol, time_ms, raw, receive_ns, body)

    def prices(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """Yield every (price, size) of a frame, as text."""
        if frame.kind is Kind.BOOK:
            yield from frame.body.data.b
            yield from frame.body.data.a
        elif frame.kind is Kind.TRADE:
            yield from ((trade.price, trade.size) for trade in frame.body)

    def trades(self, frame: Frame) -> Iterator[Trade]:
        """Yield the trades of a publicTrade frame that took from the book."""
        yield from frame.body

    def _of_the_market(self, data: msgspec.Raw) -> tuple[Trade, ...]:
        trades = self._trades.decode(data)
        for trade in trades:
            if trade.side not in ("Buy", "Sell"):
                raise Refused(f"a trade whose taker's side is {trade.side!r}, expected Buy or Sell")
        return tuple(
            Trade(trade.p, trade.v, trade.side == "Sell")
            for trade in trades
            if not (trade.block or is_zero(trade.p) or is_zero(trade.v))
        )

    def published(self, frame: Frame) -> bool:
        """Tell whether the feed handler publishes trades of a TRADE frame."""
        return bool(frame.body)

    def track(self, frame: Frame) -> None:
        """Apply a frame to the book of its topic; one with a gap waits for the next snapshot."""
        if frame.kind is not Kind.BOOK:
            return
        change: BookChange = frame.body
        data = change.data
        book = self._books.get(frame.topic)
        if book is None:
            book = self._books[frame.topic] = Book(data.s)
            if self._by_symbol.get(data.s, (0, book))[0] < change.depth:
                self._by_symbol[data.s] = (change.depth, book)
        if change.full:
            book.clear()
            book.synced = True
        elif change.depth >= 50 and data.u != book.update_id + 1:
            book.clear()
        if not book.synced:
            return
        book.bids.apply(data.b)
        book.asks.apply(data.a)
        book.bids.cut(change.depth)
        book.asks.cut(change.depth)
        book.update_id, book.sequence, book.time_ms = data.u, data.seq, frame.time_ms

    def book(self, symbol: str) -> Book | None:
        """Return the symbol's deepest book, or None while it is not in step."""
        known = self._by_symbol.get(symbol)
        return known[1] if known and known[1].synced else None

    def reset(self) -> None:
        """Forget all books."""
        self._books.clear()
        self._by_symbol.clear()

    def restamp(self, frame: Frame, now_ms: int) -> bytes:
        """Return the frame with `ts` at `now_ms` and its other times moved by as much."""
        return shift_times(frame.raw, now_ms - frame.time_ms) if frame.time_ms else frame.raw

    def stream_snapshot(self, topic: str, now_ms: int) -> bytes | None:
        """Return a snapshot of the topic's current book, which the next delta continues, or None."""
        book = self._books.get(topic)
        if book is None or not book.synced:
            return None
        return msgspec.json.encode(
            {
                "topic": topic,
                "type": "snapshot",
                "ts": now_ms,
                "data": {
                    "s": book.symbol,
                    "b": book.bids.rows(),
                    "a": book.asks.rows(),
                    "u": book.update_id,
                    "seq": book.sequence,
                },
                "cts": now_ms,
            }
        )
