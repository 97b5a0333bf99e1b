"""Bybit v5 public stream frames (bybit-exchange.github.io/docs/v5/websocket/public/orderbook)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from quietcore.sim.book import Book
from quietcore.sim.frames import Frame, Kind, Refused, Trade
from quietcore.sim.frames.times import shift_times

Rows = list[tuple[str, str]]


class Envelope(msgspec.Struct):
    """The outside of a frame; an answer to a request has no topic."""

    topic: str = ""
    type: str = ""
    ts: int = 0
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
    """Price, volume and taker's side of one trade of a publicTrade frame."""

    p: str
    v: str
    side: str = msgspec.field(default="Buy", name="S")


class BybitFrames:
    """Reads frames of the public stream and follows one book per orderbook topic."""

    name = "bybit-linear"

    def __init__(self) -> None:
        self._envelope = msgspec.json.Decoder(Envelope)
        self._book = msgspec.json.Decoder(BookData)
        self._trades = msgspec.json.Decoder(list[TradeData])
        self._books: dict[str, Book] = {}
        self._by_symbol: dict[str, tuple[int, Book]] = {}

    def parse(self, raw: bytes, receive_ns: int | None = None) -> Frame:
        """Read one message; raise `Refused` where it is none of the venue's."""
        try:
            envelope = self._envelope.decode(raw)
            kind, _, rest = envelope.topic.partition(".")
            symbol = rest.rpartition(".")[2]
            body = None
            if kind == "orderbook":
                data = self._book.decode(envelope.data)
                full = envelope.type == "snapshot" or data.u == 1
                body = BookChange(full, int(rest.partition(".")[0]), data)
                found = Kind.BOOK
            elif kind == "publicTrade":
                found = Kind.TRADE
            elif kind == "tickers":
                found = Kind.TICKER
            else:
                found = Kind.OTHER
        except (msgspec.MsgspecError, ValueError) as error:
            raise Refused(str(error)) from error
        return Frame(found, envelope.topic, symbol, envelope.ts, raw, receive_ns, body)

    def prices(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """Yield every (price, size) of a frame, as text."""
        if frame.kind is Kind.BOOK:
            yield from frame.body.data.b
            yield from frame.body.data.a
        elif frame.kind is Kind.TRADE:
            for trade in self.trades(frame):
                yield trade.price, trade.size

    def trades(self, frame: Frame) -> Iterator[Trade]:
        """Yield the trades of a publicTrade frame; raise `Refused`."""
        try:
            trades = self._trades.decode(self._envelope.decode(frame.raw).data)
        except msgspec.MsgspecError as error:
            raise Refused(str(error)) from error
        for trade in trades:
            yield Trade(trade.p, trade.v, trade.side == "Sell")

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
