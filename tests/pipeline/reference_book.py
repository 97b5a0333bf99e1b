"""An independent order book for recordings: what the feed handler's results are judged against.

Standard library only, nothing shared with the feed handler or the runtime. It is written to be obviously
correct, not fast: `json`, decimals in dictionaries, best levels found by sorting. Rules are the venues' own:

Binance USD-M (developers.binance.com, "How to manage a local order book correctly"): deltas before a snapshot are
kept; with a snapshot those with ``u < lastUpdateId`` are dropped; the first applied has ``U <= lastUpdateId <= u``;
each later one has ``pu == previous u``, else there is a gap and the book waits for another snapshot. The same delta
again (same ``u``) is dropped. A snapshot that arrives while the book is live changes nothing, but one that is ahead of
it mends an interruption: where the next delta does not follow, and reaches back to that snapshot, the book begins anew.

Bybit v5 (bybit-exchange.github.io/docs/v5/websocket/public/orderbook): a snapshot, and any message with ``u == 1``,
overwrites the book; a delta of depth 50 and more has ``u == previous u + 1``, else there is a gap and the book waits
for a snapshot; a book of depth D holds at most D levels a side. Of several depths the deepest is the book.

Run as a script: ``python reference_book.py --venue binance-usdm FILE --json [--hashes OUT]``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: the repository's root is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.pipeline.ladder_rules import (
    DEPTH,
    SEED,
    Ladder,
    Refused,
    Scale,
    best,
    ladder_hash,
    level_ticks,
    mix,
    number,
    reader_window,
)

LEADING_TIME = re.compile(rb"[0-9]+ +")
EMPTY, RESYNC, LIVE = "EMPTY", "RESYNC", "LIVE"
COUNTS = (
    *("messages", "depth_applied", "depth_dropped", "depth_buffered", "snapshots", "gaps", "crossed"),
    *("bbo_compared", "bbo_equal", "trades", "tickers", "malformed"),
)

Message = dict[str, Any]


def levels(rows: object) -> Ladder:
    """Parse ``[["price","size"],…]``."""
    if not isinstance(rows, list):
        raise Refused("levels are not a list")
    result = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise Refused("a level is not a pair")
        result.append((number(row[0]), number(row[1])))
    return result


def integer(message: Message, key: str) -> int:
    """Return an integer field or refuse the message."""
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"{key} is no integer")
    return value


@dataclass
class Book:
    """One symbol's book, what was published of it, and its hashes."""

    symbol: str
    scale: Scale
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)
    state: str = EMPTY
    update_id: int = 0
    based: bool = False  # there is a snapshot to apply deltas to
    bridged: bool = False  # Binance: a delta was applied since the snapshot
    waiting: list[Message] = field(default_factory=list)
    ahead: Message | None = None  # Binance: a snapshot newer than the live book
    window: tuple[Ladder, Ladder] = field(default_factory=lambda: ([], []))
    quote: tuple[Decimal, ...] = (Decimal(0),) * 4
    books: int = 0
    running: int = SEED

    def apply(self, bids: Ladder, asks: Ladder) -> None:
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)


class Reference:
    """Applies a recording's messages in order and counts what a correct handler must count."""

    def __init__(self, venue: str, depth: int = DEPTH) -> None:
        if venue not in ("binance-usdm", "bybit-linear"):
            raise SystemExit(f"unknown venue {venue!r}; known: binance-usdm, bybit-linear")
        self.venue = venue
        self.depth = depth
        self.books: dict[str, Book] = {}
        self.scales: dict[str, Scale] = {}
        self.depths: dict[str, int] = {}  # Bybit: the deepest stream of a symbol is its book
        self.count = dict.fromkeys(COUNTS, 0)
        self.ticks = {"bbo": 0, "trade": 0, "level": 0, "book": 0}
        self.levels_seen: list[int] = []
        self.truncated = False
        self.hashes: list[tuple[str, int, int, int]] = []  # symbol, update id, message hash, running hash
        self.book_quotes: dict[tuple[str, int], tuple[Decimal, ...]] = {}
        self.ticker_quotes: dict[tuple[str, int], list[tuple[Decimal, ...]]] = {}

    # reading ------------------------------------------------------------------------------------------------
    def run(self, path: Path) -> dict[str, Any]:
        """Process a whole recording and return the result."""
        messages = [message for message in self.messages(path) if message is not None]
        self.name_snapshots(messages)
        for message in messages:
            self.see_scale(message)
        for message in messages:
            self.process(message)
        for key, quotes in self.ticker_quotes.items():
            if key in self.book_quotes:
                self.count["bbo_compared"] += len(quotes)
                self.count["bbo_equal"] += sum(quote == self.book_quotes[key] for quote in quotes)
        return self.result(path)

    def messages(self, path: Path) -> Iterator[Message | None]:
        """Yield each line's JSON object; None, counted, for a line that is none."""
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = self.unpack(raw)
        lines = raw.split(b"\n")
        unfinished = lines.pop()
        for line, complete in [*((line, True) for line in lines), (unfinished, False)]:
            text = line.strip()
            if not text:
                continue
            if lead := LEADING_TIME.match(text):
                text = text[lead.end() :]
            try:
                message = json.loads(text)
            except ValueError:
                if not complete:
                    self.truncated = True
                    continue
                message = None
            self.count["messages"] += 1
            if isinstance(message, dict):
                yield message
            else:
                self.count["malformed"] += 1

    def unpack(self, packed: bytes) -> bytes:
        """Return as much as a gzip file gives, be it cut off."""
        parts = []
        while packed:
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                parts.append(member.decompress(packed))
            except zlib.error:
                self.truncated = True
                break
            if not member.eof:
                self.truncated = True
            packed = member.unused_data
        return b"".join(parts)

    def name_snapshots(self, messages: list[Message]) -> None:
        """Find out whose a REST answer is, which does not say so, and write it into the message as ``s``.

        It is the symbol with a delta that reaches around its id; of several, the one whose first quote or trade is
        nearest in price.
        """
        prices: dict[str, Decimal] = {}
        ranges: dict[str, list[tuple[int, int]]] = {}
        answers = []
        for message in messages if self.venue == "binance-usdm" else []:
            data = message.get("data", message)
            if not isinstance(data, dict):
                continue
            symbol = self.symbol_of(message)
            try:
                if "lastUpdateId" in data and symbol is None:
                    answers.append((data, levels(data.get("bids"))[0][0]))
                elif symbol is None:
                    continue
                elif data.get("e") == "depthUpdate":
                    ranges.setdefault(symbol, []).append((integer(data, "U"), integer(data, "u")))
                elif data.get("e") in ("bookTicker", "trade", "aggTrade"):
                    prices.setdefault(symbol, number(data.get("b") or data.get("p")))
            except (Refused, IndexError):
                continue
        for data, price in answers:
            around = [
                symbol
                for symbol, ids in ranges.items()
                if any(first <= data["lastUpdateId"] <= last for first, last in ids)
            ]
            fitting = around or ranges
            distance = {one: max(price / there, there / price) for one, there in prices.items()}
            if fitting:
                data["s"] = min(fitting, key=lambda symbol: distance.get(symbol, Decimal(10) ** 9))

    def symbol_of(self, message: Message) -> str | None:
        data = message.get("data")
        if self.venue == "binance-usdm":
            if not isinstance(data, dict):
                data = message
            symbol = data.get("s")
        else:
            topic = message.get("topic")
            symbol = topic.rsplit(".", 1)[-1] if isinstance(topic, str) else None
        return symbol if isinstance(symbol, str) else None

    def pairs(self, message: Message) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield every price and size of a message."""
        data = message.get("data", message)
        if self.venue == "bybit-linear":
            if str(message.get("topic", "")).startswith("orderbook."):
                yield from levels(data.get("b")) + levels(data.get("a"))
            elif str(message.get("topic", "")).startswith("publicTrade."):
                for trade in data:
                    yield number(trade.get("p")), number(trade.get("v"))
        elif "lastUpdateId" in data:
            yield from levels(data.get("bids")) + levels(data.get("asks"))
        elif data.get("e") == "depthUpdate":
            yield from levels(data.get("b")) + levels(data.get("a"))
        elif data.get("e") == "bookTicker":
            yield number(data.get("b")), number(data.get("B"))
            yield number(data.get("a")), number(data.get("A"))
        elif data.get("e") in ("trade", "aggTrade"):
            yield number(data.get("p")), number(data.get("q"))

    def see_scale(self, message: Message) -> None:
        symbol = self.symbol_of(message)
        if symbol is None:
            return
        try:
            pairs = list(self.pairs(message))
        except (Refused, AttributeError, TypeError):
            return  # refused again, and counted, when it is processed
        scale = self.scales.setdefault(symbol, Scale())
        if self.venue == "bybit-linear" and message["topic"].startswith("orderbook."):
            self.depths[symbol] = max(self.depths.get(symbol, 0), int(message["topic"].split(".")[1]))
        for price, size in pairs:
            scale.see(price, size)

    # applying -----------------------------------------------------------------------------------------------
    def process(self, message: Message) -> None:
        try:
            for price, size in self.pairs(message):
                scale = self.scales[self.symbol_of(message) or ""]
                scale.ticks(price)
                scale.lots(size)
            if self.venue == "binance-usdm":
                self.binance(message)
            else:
                self.bybit(message)
        except (Refused, AttributeError, TypeError, KeyError):
            self.count["malformed"] += 1

    def book(self, symbol: str) -> Book:
        if symbol not in self.books:
            self.books[symbol] = Book(symbol, self.scales[symbol])
        return self.books[symbol]

    def binance(self, message: Message) -> None:
        data = message.get("data", message)
        if "lastUpdateId" in data:
            self.binance_snapshot(self.book(self.symbol_of(message) or ""), data)
        elif data.get("e") == "depthUpdate":
            for key in ("U", "u", "pu"):
                integer(data, key)
            book = self.book(data["s"])
            if book.based:
                self.binance_live(book, data)
            else:
                book.waiting.append(data)
                self.count["depth_buffered"] += 1
        elif data.get("e") == "bookTicker":
            quote = tuple(number(data.get(key)) for key in "bBaA")
            self.ticker_quotes.setdefault((data["s"], integer(data, "u")), []).append(quote)
            self.count["tickers"] += 1
            self.ticks["bbo"] += 1
        elif data.get("e") in ("trade", "aggTrade"):
            self.count["trades"] += 1
            self.ticks["trade"] += 1

    def binance_snapshot(self, book: Book, data: Message) -> None:
        levels(data.get("bids")), levels(data.get("asks"))
        last = integer(data, "lastUpdateId")
        self.count["snapshots"] += 1
        if book.state == LIVE:
            if last > book.update_id:
                book.ahead = data
            return
        self.begin_from(book, data)
        waiting, book.waiting = book.waiting, []
        for position, delta in enumerate(waiting):
            if not self.binance_delta(book, delta):  # it and what follows wait for the next snapshot
                book.waiting = waiting[position:]
                break

    def begin_from(self, book: Book, data: Message) -> None:
        """Let the book be that of a REST snapshot; it is live with the first delta after it."""
        book.bids, book.asks = {}, {}
        book.apply(levels(data["bids"]), levels(data["asks"]))
        book.update_id, book.based, book.bridged, book.state = data["lastUpdateId"], True, False, RESYNC
        self.publish(book, live=False)

    def binance_live(self, book: Book, data: Message) -> None:
        """Apply a delta that came after the snapshot, or keep it for the next one."""
        if not self.binance_delta(book, data):
            book.waiting.append(data)
            self.count["depth_buffered"] += 1

    def binance_delta(self, book: Book, data: Message) -> bool:
        """Apply or drop a delta; False where it does not fit, and the book waits for another snapshot."""
        bids, asks = levels(data.get("b")), levels(data.get("a"))
        first, last, previous = data["U"], data["u"], data["pu"]
        old = last == book.update_id if book.bridged else last < book.update_id  # old or the same again
        if old:
            self.count["depth_dropped"] += 1
            return True
        if not book.bridged and first > book.update_id:
            # The snapshot is older than the first delta: no loss, but it must be fetched again.
            book.state, book.based = RESYNC, False
            return False
        if book.bridged and previous != book.update_id:
            ahead, book.ahead = book.ahead, None
            if ahead and ahead["lastUpdateId"] > book.update_id and first <= ahead["lastUpdateId"]:
                self.begin_from(book, ahead)
                return self.binance_delta(book, data)
            self.gap(book)
            return False
        book.apply(bids, asks)
        book.update_id, book.bridged = last, True
        self.count["depth_applied"] += 1
        self.live_or_crossed(book)
        if book.state == LIVE:
            self.book_quotes[book.symbol, book.update_id] = self.quote_of(book)
        return True

    def bybit(self, message: Message) -> None:
        topic = message.get("topic")
        if not isinstance(topic, str):
            return  # an answer to a request
        kind, _, rest = topic.partition(".")
        data = message["data"]
        if kind == "publicTrade":
            self.count["trades"] += len(data)
            self.ticks["trade"] += len(data)
        elif kind == "tickers":
            self.count["tickers"] += 1
        elif kind == "orderbook":
            self.bybit_book(int(rest.partition(".")[0]), message, data)

    def bybit_book(self, depth: int, message: Message, data: Message) -> None:
        book = self.book(data["s"])
        if depth != self.depths[book.symbol]:
            return
        update_id = integer(data, "u")
        bids, asks = levels(data.get("b")), levels(data.get("a"))
        if message.get("type") == "snapshot" or update_id == 1:
            self.count["snapshots"] += 1
            book.bids, book.asks = {}, {}
        elif message.get("type") != "delta":
            raise Refused("neither snapshot nor delta")
        elif book.state != LIVE or (depth > 1 and update_id == book.update_id):
            self.count["depth_dropped"] += 1  # nothing to apply it to, or the same message again
            return
        elif depth >= 50 and update_id != book.update_id + 1:
            self.gap(book)
            return
        else:
            self.count["depth_applied"] += 1
        book.apply(bids, asks)
        book.bids = dict(best(book.bids, depth, bids=True))
        book.asks = dict(best(book.asks, depth, bids=False))
        book.update_id = update_id
        self.live_or_crossed(book)

    def live_or_crossed(self, book: Book) -> None:
        if book.crossed():
            self.count["crossed"] += 1
            self.publish(book, live=False)
            book.state, book.based = RESYNC, False
            return
        book.state = LIVE
        self.levels_seen += [len(book.bids), len(book.asks)]
        self.publish(book, live=True)

    def gap(self, book: Book) -> None:
        """Count a break in the ids: the book waits for a snapshot and, if live, says so with a tick."""
        self.count["gaps"] += 1
        if book.state == LIVE:
            self.ticks["book"] += 1
        book.state, book.based = RESYNC, False

    # publishing ---------------------------------------------------------------------------------------------
    @staticmethod
    def quote_of(book: Book) -> tuple[Decimal, ...]:
        zero = (Decimal(0), Decimal(0))
        bid, ask = best(book.bids, 1, bids=True), best(book.asks, 1, bids=False)
        return (*(bid[0] if bid else zero), *(ask[0] if ask else zero))

    def publish(self, book: Book, *, live: bool) -> None:
        """Count the ticks of one applied message and extend the hashes where the book is live."""
        bids = best(book.bids, self.depth, bids=True)
        asks = best(book.asks, self.depth, bids=False)
        for old, new, is_bids in ((book.window[0], bids, True), (book.window[1], asks, False)):
            changes = level_ticks(old, new, self.depth, bids=is_bids)
            assert reader_window(old, changes, self.depth, bids=is_bids) == new
            self.ticks["level"] += len(changes)
        book.window = (bids, asks)
        quote = self.quote_of(book)
        if quote != book.quote:
            self.ticks["bbo"] += 1
            book.quote = quote
        self.ticks["book"] += 1
        if live:
            message_hash = ladder_hash(book.scale.whole(bids), book.scale.whole(asks))
            book.running = mix(book.running, message_hash)
            book.books += 1
            self.hashes.append((book.symbol, book.update_id, message_hash, book.running))

    def result(self, path: Path) -> dict[str, Any]:
        symbols = {}
        for symbol, book in sorted(self.books.items()):
            symbols[symbol] = {
                "tick_mantissa": 1,
                "tick_exponent": book.scale.price,
                "lot_mantissa": 1,
                "lot_exponent": book.scale.size,
                "books": book.books,
                "ladder_hash": f"{book.running:016x}",
                "bids": [list(level) for level in book.scale.whole(best(book.bids, DEPTH, bids=True))],
                "asks": [list(level) for level in book.scale.whole(best(book.asks, DEPTH, bids=False))],
            }
        count = self.count
        return {
            "file": str(path),
            "venue": self.venue,
            **count,
            "levels_min": min(self.levels_seen, default=0),
            "levels_max": max(self.levels_seen, default=0),
            "truncated": self.truncated,
            "ticks": self.ticks,
            "symbols": symbols,
            "ok": not (count["gaps"] or count["crossed"] or count["malformed"] or self.truncated)
            and count["bbo_compared"] == count["bbo_equal"]
            and any(book.books for book in self.books.values()),
        }


def main() -> int:
    """Judge one recording; exit 1 where it does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--venue", required=True)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object (the default prints a few lines)"
    )
    parser.add_argument("--hashes", type=Path, help="write `symbol update_id message_hash` lines here")
    arguments = parser.parse_args()
    reference = Reference(arguments.venue, arguments.depth)
    result = reference.run(arguments.file)
    if arguments.hashes:
        rows = [f"{symbol} {update} {message:016x}\n" for symbol, update, message, _ in reference.hashes]
        arguments.hashes.write_text("".join(rows))
    if arguments.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key}: {value}" if key != "symbols" else f"symbols: {', '.join(value)}")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
