"""Binance USD-M futures stream messages, wrapped as combined streams are or bare, and the REST depth snapshot.

What a message is follows from its stream's name, where it has one: `@depth20` and `@rpiDepth` carry the same event as
the diff stream and are no changes of its book. A bare message is told by its event alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from quietcore.sim.book import Book
from quietcore.sim.frames import Frame, Kind, Refused, is_zero
from quietcore.sim.frames import Trade as FrameTrade
from quietcore.sim.frames.times import shift_times

Rows = list[tuple[str, str]]


class Data(msgspec.Struct):
    """The parts of a followed event that every one of them has."""

    event: str = msgspec.field(default="", name="e")
    symbol: str = msgspec.field(default="", name="s")
    time: int = msgspec.field(default=0, name="E")


class Envelope(msgspec.Struct):
    """The outside of a message: of a combined stream the first two, of a REST depth answer `last`, of a bare event `e`.

    Values of messages that nobody follows may be of any type.
    """

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    event: msgspec.Raw = msgspec.field(default=msgspec.Raw(b'""'), name="e")
    symbol: msgspec.Raw = msgspec.field(default=msgspec.Raw(b'""'), name="s")
    last: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="lastUpdateId")


class Delta(msgspec.Struct):
    """A depthUpdate."""

    s: str
    b: Rows
    a: Rows
    first: int = msgspec.field(name="U")
    last: int = msgspec.field(name="u")
    previous: int | None = msgspec.field(default=None, name="pu")


class Ticker(msgspec.Struct):
    """A bookTicker."""

    bid: str = msgspec.field(name="b")
    bid_size: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_size: str = msgspec.field(name="A")


class Trade(msgspec.Struct):
    """A trade or aggTrade; `X` is MARKET where it is a trade of the market, and absent on aggTrade."""

    p: str
    q: str
    buyer_is_maker: bool = msgspec.field(default=False, name="m")
    order_type: str = msgspec.field(default="MARKET", name="X")

    @property
    def of_the_market(self) -> bool:
        """Whether it took from the book: not what the insurance fund or auto-deleveraging moved, nor an empty one."""
        return self.order_type == "MARKET" and not (is_zero(self.p) or is_zero(self.q))


class Snapshot(msgspec.Struct):
    """A REST depth answer."""

    last: int = msgspec.field(name="lastUpdateId")
    bids: Rows
    asks: Rows
    symbol: str = msgspec.field(default="", name="s")
    time: int = msgspec.field(default=0, name="E")


def canonical(stream: str) -> str:
    """Return a stream's name without its pace: all paces of a diff stream carry what the recording holds.

    >>> canonical("btcusdt@depth@100ms"), canonical("btcusdt@depth20@100ms"), canonical("BTCUSDT@trade")
    ('btcusdt@depth', 'btcusdt@depth20@100ms', 'btcusdt@trade')
    """
    symbol, _, rest = stream.partition("@")
    if rest.startswith("depth@"):
        rest = "depth"
    return f"{symbol.lower()}@{rest}"


KINDS = {
    "depthUpdate": Kind.BOOK,
    "trade": Kind.TRADE,
    "aggTrade": Kind.TRADE,
    "bookTicker": Kind.TICKER,
}
# The streams that are followed, by what stands behind the symbol, and the event that each must carry.
FOLLOWED = re.compile(
    r"[^@!]+@(?:(?P<depthUpdate>depth(?:@[0-9]+ms)?)|(?P<trade>trade)|(?P<aggTrade>aggTrade)|(?P<bookTicker>bookTicker))"
)
STREAMS = {"depthUpdate": "depth", "trade": "trade", "aggTrade": "aggTrade", "bookTicker": "bookTicker"}
SPOT = (
    "a depth update of Binance spot, without `pu`: simulator and backtest play binance-usdm and bybit-linear; "
    "quietcore-feed verify and replay read it with --venue binance-spot"
)


class BinanceFrames:
    """Reads combined-stream frames and follows one book per symbol by the venue's rules.

    `snapshot_symbols`: whose a REST snapshot is, by its lastUpdateId; the answer itself does not say.
    """

    name = "binance-usdm"

    def __init__(self) -> None:
        self._envelope = msgspec.json.Decoder(Envelope)
        self._rows = msgspec.json.Decoder(list[msgspec.Raw])
        self._data = msgspec.json.Decoder(Data)
        self._delta = msgspec.json.Decoder(Delta)
        self._ticker = msgspec.json.Decoder(Ticker)
        self._trade = msgspec.json.Decoder(Trade)
        self._snapshot = msgspec.json.Decoder(Snapshot)
        self._books: dict[str, Book] = {}
        self._waiting: dict[str, list[Frame]] = {}
        self._bridged: set[str] = set()
        self._ahead: dict[str, Frame] = {}  # snapshots newer than a book in step
        self.snapshot_symbols: dict[int, str] = {}
        self._single_trades: set[str] = set()  # symbols whose trades come one by one

    def parse(self, raw: bytes, receive_ns: int | None = None) -> Frame:
        """Read one message; raise `Refused` where it is none of the venue's.

        A bare event is wrapped as its combined stream would be: so it is served. A valid message of a stream that
        nobody follows is OTHER, whatever it holds.
        """
        try:
            if raw.lstrip()[:1] == b"[":
                self._rows.decode(raw)  # such as !markPrice@arr, bare
                return Frame(Kind.OTHER, "", "", 0, raw, receive_ns)
            envelope = self._envelope.decode(raw)
            if envelope.stream:
                match = FOLLOWED.fullmatch(envelope.stream)
                if match is None:
                    return Frame(Kind.OTHER, envelope.stream, "", 0, raw, receive_ns)
                return self._event(
                    raw, envelope.stream, bytes(envelope.data), str(match.lastgroup), receive_ns
                )
            if bytes(envelope.last):
                body = self._snapshot.decode(raw)
                symbol = body.symbol or self.snapshot_symbols.get(body.last, "")
                return Frame(Kind.SNAPSHOT, "", symbol, body.time, raw, receive_ns, body)
            event = _text(envelope.event)
            if event not in STREAMS:
                return Frame(Kind.OTHER, "", "", 0, raw, receive_ns)
            stream = f"{_text(envelope.symbol).lower()}@{STREAMS[event]}"
            wrapped = b'{"stream":' + msgspec.json.encode(stream) + b',"data":' + raw.strip() + b"}"
            return self._event(wrapped, stream, raw, event, receive_ns)
        except msgspec.MsgspecError as error:
            raise Refused(str(error)) from error

    def _event(self, raw: bytes, stream: str, inner: bytes, expected: str, receive_ns: int | None) -> Frame:
        """Return the frame of a followed stream."""
        data = self._data.decode(inner)
        if data.event != expected:
            raise Refused(f"stream {stream} carries the event {data.event!r}, expected {expected}")
        if not data.symbol:
            raise Refused(f"stream {stream}: `s` is missing")
        kind = KINDS[expected]
        body: Any = None
        if kind is Kind.BOOK:
            body = self._delta.decode(inner)
            if body.previous is None:
                raise Refused(SPOT)
        elif kind is Kind.TRADE:
            trade = self._trade.decode(inner)
            body = (FrameTrade(trade.p, trade.q, trade.buyer_is_maker),) if trade.of_the_market else ()
        return Frame(kind, canonical(stream), data.symbol, data.time, raw, receive_ns, body)

    def prices(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """Yield every (price, size) of a frame, as text."""
        try:
            if frame.kind is Kind.BOOK:
                yield from frame.body.b
                yield from frame.body.a
            elif frame.kind is Kind.SNAPSHOT:
                yield from frame.body.bids
                yield from frame.body.asks
            elif frame.kind is Kind.TICKER:
                ticker = self._ticker.decode(self._envelope.decode(frame.raw).data)
                yield ticker.bid, ticker.bid_size
                yield ticker.ask, ticker.ask_size
            elif frame.kind is Kind.TRADE:
                yield from ((trade.price, trade.size) for trade in frame.body)
        except msgspec.MsgspecError as error:
            raise Refused(str(error)) from error

    def trades(self, frame: Frame) -> Iterator[FrameTrade]:
        """Yield the trade of a TRADE frame, an aggregate only without single trades."""
        if frame.topic.endswith("@trade"):
            self._single_trades.add(frame.symbol)
        elif frame.symbol in self._single_trades:
            return
        yield from frame.body

    def published(self, frame: Frame) -> bool:
        """Tell whether the feed handler publishes trades of a TRADE frame: it follows single trades alone."""
        return bool(frame.body) and frame.topic.endswith("@trade")

    def track(self, frame: Frame) -> None:
        """Apply a delta, or start the book of a snapshot; deltas before it are kept for it."""
        if frame.kind is Kind.SNAPSHOT:
            self._start(frame.symbol, frame)
        elif frame.kind is Kind.BOOK:
            book = self._books.get(frame.symbol)
            if book is None:
                self._waiting.setdefault(frame.symbol, []).append(frame)
            else:
                self._apply(book, frame)

    def _start(self, symbol: str, frame: Frame) -> None:
        if symbol in self._bridged:
            # In step already: it tells nothing new, unless deltas before it never come.
            if frame.body.last > self._books[symbol].update_id:
                self._ahead[symbol] = frame
            return
        book = self._books[symbol] = Book(symbol)
        book.bids.apply(frame.body.bids)
        book.asks.apply(frame.body.asks)
        book.update_id = frame.body.last
        for delta in self._waiting.pop(symbol, []):
            self.track(delta)  # not to this book: a gap among them ends it

    def _apply(self, book: Book, frame: Frame) -> None:
        delta: Delta = frame.body
        bridged = book.symbol in self._bridged
        if delta.last == book.update_id if bridged else delta.last < book.update_id:
            return  # the same again, or older than the snapshot
        fits = delta.previous == book.update_id if bridged else delta.first <= book.update_id
        ahead = None if fits else self._ahead.pop(book.symbol, None)
        if ahead is not None and delta.first <= ahead.body.last:
            self._bridged.discard(book.symbol)
            self._start(book.symbol, ahead)
            self._apply(self._books[book.symbol], frame)
            return
        if not fits:
            self._books.pop(book.symbol, None)
            self._bridged.discard(book.symbol)
            self._waiting.setdefault(book.symbol, []).append(frame)
            return
        self._bridged.add(book.symbol)
        book.synced = True
        book.bids.apply(delta.b)
        book.asks.apply(delta.a)
        book.update_id, book.time_ms = delta.last, frame.time_ms

    def book(self, symbol: str) -> Book | None:
        """Return the symbol's book, or None while it is not in step."""
        book = self._books.get(symbol)
        return book if book is not None and book.synced else None

    def reset(self) -> None:
        """Forget all books."""
        self._books.clear()
        self._waiting.clear()
        self._bridged.clear()
        self._ahead.clear()

    def restamp(self, frame: Frame, now_ms: int) -> bytes:
        """Return the frame with `E` at `now_ms` and `T` moved by as much."""
        return shift_times(frame.raw, now_ms - frame.time_ms) if frame.time_ms else frame.raw

    def stream_snapshot(self, topic: str, now_ms: int) -> bytes | None:
        """Return None: the venue's streams carry no snapshot, clients fetch it by REST."""
        return None

    def cut_snapshot(self, frame: Frame, limit: int) -> bytes:
        """Return a REST depth answer with at most `limit` levels a side, all else as it was."""
        answer = msgspec.json.decode(frame.raw)
        answer["bids"], answer["asks"] = answer["bids"][:limit], answer["asks"][:limit]
        return msgspec.json.encode(answer)

    def rest_snapshot(self, symbol: str, limit: int, now_ms: int) -> bytes | None:
        """Return the REST depth answer of the current book, at most `limit` levels a side, or None."""
        book = self.book(symbol)
        if book is None:
            return None
        return msgspec.json.encode(
            {
                "lastUpdateId": book.update_id,
                "E": now_ms,
                "T": now_ms,
                "bids": book.bids.rows(limit),
                "asks": book.asks.rows(limit),
            }
        )


def _text(raw: msgspec.Raw) -> str:
    """Return a value that should be a text, "" where it is something else."""
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else ""
