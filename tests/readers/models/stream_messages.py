"""Stream messages of the venues as the simulator and the backtest read them, and the lines that they are recorded in.

The truth is what a message says to a follower of books, trades and quotes: its kind, symbol, prices and trades.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.errors import QuietcoreError
from quietcore.sim.frames import Frame, Kind, Refused, VenueFrames
from quietcore.sim.frames.binance import BinanceFrames
from quietcore.sim.frames.bybit import BybitFrames
from quietcore.sim.recording import lines

NAMES = ("BTCUSDT", "1000PEPEUSDT", "币安人生USDT", "BTC-26DEC25", "ETHUSDT_251226", "Ünïcode", "A")
Truth = tuple[str, str, int, tuple[Any, ...], tuple[Any, ...]]  # kind, symbol, time, prices, trades
EVENTS = {Kind.BOOK, Kind.TRADE, Kind.TICKER}
NOTHING: Truth = ("other", "", 0, (), ())


def number(chance: random.Random, least: int = 1) -> str:
    """Return a positive decimal as venues write them."""
    whole = chance.randrange(least, 10 ** chance.randint(1, 9))
    return chance.choice((str(whole), f"{whole}.{chance.randrange(10**6):06d}", f"{whole}.50"))


def rows(chance: random.Random) -> list[list[str]]:
    """Return changes of levels; a size of 0 deletes one."""
    return [
        [number(chance), chance.choice(("0", "0.000", number(chance)))]
        for _ in range(chance.choice((0, 0, 1, 3)))
    ]


def odd(chance: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    """Return the same object with its keys in any order, and keys that nobody knows."""
    items = list(value.items())
    if chance.random() < 0.5:
        items.append(
            (f"new{chance.randrange(9)}", chance.choice((None, 1.5e300, "x", [], {"s": "NOT"}, True)))
        )
    chance.shuffle(items)
    return dict(items)


def text(chance: random.Random, value: Any) -> bytes:
    """Return it as JSON with any spacing, names escaped or not."""
    separators = chance.choice(((",", ":"), (", ", ": "), (" ,", ":\t")))
    written = json.dumps(value, separators=separators, ensure_ascii=chance.random() < 0.3).encode()
    return chance.choice((b"", b" ", b"\t")) + written + chance.choice((b"", b" ", b"\r"))


def heard(frames: VenueFrames, raw: bytes) -> Truth:
    """Read a message the way the simulator does."""
    frame: Frame = frames.parse(raw)
    if frame.kind is Kind.OTHER:
        return NOTHING
    trades = tuple(map(tuple, frames.trades(frame))) if frame.kind is Kind.TRADE else ()
    return frame.kind.value, frame.symbol, frame.time_ms, tuple(map(tuple, frames.prices(frame))), trades


def read_binance(raw: bytes) -> Truth:
    """Read a Binance message."""
    return heard(BINANCE, raw)


def read_bybit(raw: bytes) -> Truth:
    """Read a Bybit message."""
    return heard(BYBIT, raw)


BINANCE, BYBIT = BinanceFrames(), BybitFrames()


def binance(chance: random.Random) -> tuple[bytes, Truth]:
    """Return a message of Binance USD-M, wrapped or bare."""
    symbol, at = chance.choice(NAMES), chance.randrange(10**12, 2 * 10**12)
    base = {"E": at, "T": at - chance.randrange(9), "s": symbol}
    kind = chance.choice(("depth", "depth", "trade", "aggTrade", "bookTicker", "answer", "others"))
    if kind == "others":
        return text(chance, _unasked_of_binance(chance, symbol)), NOTHING
    if kind == "answer":
        bids, asks = rows(chance), rows(chance)
        value = odd(
            chance, {"lastUpdateId": chance.randrange(2**60), "E": at, "T": at, "bids": bids, "asks": asks}
        )
        return text(chance, value), ("snapshot", "", at, tuple(map(tuple, bids + asks)), ())
    if kind == "depth":
        bids, asks = rows(chance), rows(chance)
        event = {"e": "depthUpdate", **base, "U": 1, "u": 2**53 + 1, "pu": 0, "b": bids, "a": asks}
        truth: Truth = ("book", symbol, at, tuple(map(tuple, bids + asks)), ())
        stream = chance.choice(("depth", "depth@0ms", "depth@100ms"))
    elif kind == "bookTicker":
        quote = [number(chance) for _ in "bBaA"]
        event = {"e": "bookTicker", "u": 7, **base, **dict(zip("bBaA", quote, strict=True))}
        truth = ("ticker", symbol, at, (tuple(quote[:2]), tuple(quote[2:])), ())
        stream = kind
    else:
        price, size, maker = number(chance), number(chance), chance.random() < 0.5
        event = {"e": kind, **base, "p": price, "q": size, "m": maker}
        order_type = (
            chance.choice((None, "MARKET", "NA", "ADL", "INSURANCE_FUND")) if kind == "trade" else None
        )
        if order_type is not None:
            event["X"] = order_type
        if order_type == "NA" or chance.random() < 0.05:
            event |= {"p": "0", "q": "0"}
            order_type = "NA"
        real = order_type in (None, "MARKET")
        # An aggregate is a trade of its own only where no single trades are known of the symbol.
        BINANCE._single_trades.discard(symbol)
        truth = ("trade", symbol, at, *((((price, size),), ((price, size, maker),)) if real else ((), ())))
        stream = kind
    event = odd(chance, event)
    if chance.random() < 0.4:
        return text(chance, event), truth
    return text(chance, odd(chance, {"stream": f"{symbol.lower()}@{stream}", "data": event})), truth


def _unasked_of_binance(chance: random.Random, symbol: str) -> Any:
    data: Any = chance.choice(
        ([{"e": "markPriceUpdate"}], {"e": "depthUpdate", "s": symbol}, None, 3, "text", [], {"e": []})
    )
    names = (
        "!markPrice@arr@1s",
        "!bookTicker",
        "x@depth20",
        "x@depth5@500ms",
        "x@rpiDepth@500ms",
        "x@kline_1m",
    )
    return chance.choice(
        (
            {"stream": chance.choice(names), "data": data},
            {"result": chance.choice((None, [], ["a@trade"])), "id": 1},
            {"error": {"code": 2, "msg": "Invalid request"}, "id": None},
            {
                "e": chance.choice(("listenKeyExpired", "24hrTicker", 7, None)),
                "s": chance.choice((symbol, 4)),
            },
            [{"e": "depthUpdate"}],
            [],
        )
    )


def bybit(chance: random.Random) -> tuple[bytes, Truth]:
    """Return a message of Bybit v5."""
    symbol, at = chance.choice(NAMES).replace(".", ""), chance.randrange(10**12, 2 * 10**12)
    kind = chance.choice(("book", "book", "trade", "others"))
    if kind == "others":
        topics = (
            "orderbook.rpi.XRPUSDT",
            "kline.1.X",
            "allLiquidation.X",
            "orderbook.50",
            "publicTrade",
            "priceLimit.X",
        )
        value: dict[str, Any] = {
            "topic": chance.choice(topics),
            "type": chance.choice((1, "x", None)),
            "ts": "no",
        }
        answers = ({"op": "pong"}, {"success": False, "ret_msg": "error", "op": "subscribe"})
        return text(
            chance, chance.choice((value | {"data": chance.choice((None, [], {}))}, *answers))
        ), NOTHING
    if kind == "book":
        bids, asks = rows(chance), rows(chance)
        data: Any = odd(
            chance, {"s": symbol, "b": bids, "a": asks, "u": chance.choice((1, 7, 2**60)), "seq": 1}
        )
        truth: Truth = ("book", symbol, at, tuple(map(tuple, bids + asks)), ())
        topic, form = (
            f"orderbook.{chance.choice((1, 50, 200, 500, 1000))}.{symbol}",
            chance.choice(("snapshot", "delta")),
        )
    else:
        made = [
            {
                "p": number(chance),
                "v": number(chance),
                "S": chance.choice(("Buy", "Sell")),
                "BT": chance.random() < 0.2,
            }
            for _ in range(chance.choice((1, 1, 2, 5)))
        ]
        data = [odd(chance, row) for row in made]
        traded = tuple((row["p"], row["v"], row["S"] == "Sell") for row in made if not row["BT"])
        truth = ("trade", symbol, at, tuple((price, size) for price, size, _ in traded), traded)
        topic, form = f"publicTrade.{symbol}", "snapshot"
    return text(chance, odd(chance, {"topic": topic, "type": form, "ts": at, "data": data})), truth


def cut(chance: random.Random, raw: bytes) -> bytes:
    """End a message early."""
    whole = raw.strip()
    return whole[: chance.randrange(1, len(whole))]


def changed(kinds: set[Kind], name: str, *values: Any) -> Callable[[random.Random, bytes], bytes | None]:
    """Return a damage that gives a key of a message of these kinds another value, None: none at all."""

    def damage(chance: random.Random, raw: bytes) -> bytes | None:
        if (BINANCE.parse(raw) if b'"topic"' not in raw else BYBIT.parse(raw)).kind not in kinds:
            return None
        value = json.loads(raw)
        inner = value.get("data", value)
        places = [one for one in (value, inner) if isinstance(one, dict) and name in one]
        if not places:
            return None
        wrong = chance.choice(values)
        for place in places[-1:]:
            if wrong is None:
                del place[name]
            else:
                place[name] = wrong
        return json.dumps(value).encode()

    return damage


def recording(chance: random.Random) -> tuple[bytes, Any]:
    """Return a recording's bytes, plain or packed, and its lines."""
    written: list[bytes] = []
    truth: list[tuple[int, int | None, bytes, int]] = []
    for count in range(1, chance.randint(2, 7)):
        message = text(chance, {"n": count, "name": chance.choice(NAMES)}).strip()
        form = chance.randrange(4)
        if form == 0:
            lost = chance.randrange(10**6)
            written.append(b"# %d messages are missing here: the buffer was full" % lost)
            truth.append((count, None, b"", lost))
        elif form == 1:
            written.append(b"")
        elif form == 2:
            at = chance.randrange(2**62)
            written.append(b"%d %s%s" % (at, chance.choice((b"", b" ")), message))
            truth.append((count, at, message, 0))
        else:
            written.append(message)
            truth.append((count, None, message, 0))
    content = chance.choice((b"\n", b"\r\n")).join(written) + chance.choice(
        (b"\n", b"" if written[-1] else b"\n")
    )
    return (gzip.compress(content, 1) if chance.random() < 0.1 else content), truth


FILE = Path(tempfile.gettempdir()) / f"quietcore-reader-{random.SystemRandom().randrange(10**9)}"


def read_recording(content: bytes) -> Any:
    """Read a recording from a file."""
    FILE.write_bytes(content)
    try:
        return [tuple(line) for line in lines(FILE)]
    finally:
        FILE.unlink()


def cut_line(chance: random.Random, content: bytes) -> bytes | None:
    """End the last line early."""
    if content[:2] == b"\x1f\x8b":
        return content[: chance.randrange(4, len(content) - 1)]
    whole = content.rstrip()
    last = whole.rpartition(b"\n")[2]
    return whole[: -chance.randint(1, len(last) // 2)] if last[:1] != b"#" and len(last) > 8 else None


def only_by_event(raw: bytes) -> Truth:
    """Tell a message by its event alone, whatever its stream is."""
    try:
        value = json.loads(raw)
        inner = value["data"] if "stream" in value else value
        return read_binance(json.dumps(inner).encode())
    except (KeyError, TypeError):
        return NOTHING


def with_block_trades(raw: bytes) -> Truth:
    """Take block trades for trades of the book."""
    return read_bybit(raw.replace(b"true", b"false"))


def without_remarks(content: bytes) -> Any:
    """Pass over what the recorder lost."""
    return [line for line in read_recording(content) if line[2]]


READERS = [
    Reader(
        "Binance stream message",
        binance,
        read_binance,
        {
            "cut short": Damage(cut, Refused),
            "no symbol": Damage(changed(EVENTS, "s", None, 5, []), Refused),
            "rows that are none": Damage(
                changed({Kind.BOOK, Kind.TICKER}, "b", None, 7, [["1"]], [[1, 2]]), Refused
            ),
            "an update id that is no number": Damage(changed({Kind.BOOK}, "u", None, "12", 1.5), Refused),
            "a time that is no number": Damage(changed(EVENTS, "E", "x", [], 1.5), Refused),
            "bytes that are no text": Damage(lambda chance, raw: b'{"e":"\xff"' + raw.strip()[1:], Refused),
        },
        {"told by the event alone": only_by_event, "everything is another": lambda raw: NOTHING},
    ),
    Reader(
        "Bybit stream message",
        bybit,
        read_bybit,
        {
            "cut short": Damage(cut, Refused),
            "another symbol": Damage(changed({Kind.BOOK}, "s", None, "OTHER", 3), Refused),
            "rows that are none": Damage(changed({Kind.BOOK}, "b", None, "x", [[1]]), Refused),
            "an unknown type of book": Damage(changed({Kind.BOOK}, "type", None, "partial", 7), Refused),
            "a time that is no number": Damage(changed(EVENTS, "ts", "x", [], 1.5), Refused),
            "data that is none": Damage(changed(EVENTS, "data", 4, "text", None), Refused),
        },
        {"block trades are trades": with_block_trades, "everything is another": lambda raw: NOTHING},
    ),
    Reader(
        "recording",
        recording,
        read_recording,
        {"cut short": Damage(cut_line, QuietcoreError)},
        {"remarks passed over": without_remarks},
    ),
]
