"""Order book messages of an invented market, written by compiled code as they go over the wire.

Form: Bybit v5's order book delta (bybit-exchange.github.io/docs/v5/websocket/public/orderbook) in an unmasked text
frame (RFC 6455, 5.2). All are of one length; the compiled code puts digits into a copy of a template.

A message's ``seq`` is the time at which it was meant to be sent, UTC ns: whoever reads it knows what the message's
latency is from then on, whatever held its sender up (no coordinated omission). Messages come as a Poisson process;
every eighth is of the first symbol, the others follow in turn.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from quietcore.bridge.compiled import lean
from quietcore.histogram import BUCKETS, FIRST, MARKS, record

DEPTH: Final = 50  # levels a side
BEST_BID: Final = 50_000  # ticks; the best ask is one above it
FIRST_UPDATE: Final = 1_000_000_000
LARGEST: Final = 10_000  # symbols: their names have four digits
OFTEN: Final = 8  # one of so many messages is of the first symbol

# Words of a schedule, int64.
NEXT: Final = 0  # when the next message is due, UTC ns
SENT: Final = 1
TURN: Final = 2
SCHEDULE_WORDS: Final = 4

# Where digits go in a frame: first byte and width of each.
FIELDS: Final = {
    "topic": ('"orderbook.50.QC', 4),
    "ts": ('"ts":', 13),
    "symbol": ('"s":"QC', 4),
    "bid": ('"b":[["', 5),
    "bid_size": (f'"b":[["{BEST_BID}","', 3),
    "ask": ('"a":[["', 5),
    "ask_size": (f'"a":[["{BEST_BID + 1}","', 3),
    "u": ('"u":', 10),
    "seq": ('"seq":', 19),
    "cts": ('"cts":', 13),
}
TOPIC, TS, SYMBOL, BID, BID_SIZE, ASK, ASK_SIZE, UPDATE, SEQUENCE, ENGINE = range(len(FIELDS))


def symbol_name(number: int) -> str:
    """Return the name of a symbol."""
    return f"QC{number:04d}USDT"


def text_frame(payload: bytes) -> bytes:
    """Return a server's text frame.

    >>> text_frame(b"ab")
    b'\\x81\\x02ab'
    """
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + payload


def snapshot(number: int, update: int, now_ns: int) -> bytes:
    """Return the frame of a symbol's whole book."""
    name, now_ms = symbol_name(number), now_ns // 1_000_000
    bids = ",".join(f'["{BEST_BID - rank}","100"]' for rank in range(DEPTH))
    asks = ",".join(f'["{BEST_BID + 1 + rank}","100"]' for rank in range(DEPTH))
    return text_frame(
        f'{{"topic":"orderbook.{DEPTH}.{name}","type":"snapshot","ts":{now_ms},"data":{{"s":"{name}",'
        f'"b":[{bids}],"a":[{asks}],"u":{update},"seq":{now_ns}}},"cts":{now_ms}}}'.encode()
    )


def template() -> bytes:
    """Return a delta's frame, in which all digits are still to be put."""
    name, now_ns = symbol_name(0), 10**18
    return text_frame(
        f'{{"topic":"orderbook.{DEPTH}.{name}","type":"delta","ts":{now_ns // 10**6},"data":{{"s":"{name}",'
        f'"b":[["{BEST_BID}","100"]],"a":[["{BEST_BID + 1}","100"]],"u":{FIRST_UPDATE},"seq":{now_ns}}},'
        f'"cts":{now_ns // 10**6}}}'.encode()
    )


class Market(NamedTuple):
    """What the compiled code writes with; arrays of int64 but for the bytes.

    Shapes: template [size]; places [fields, 2] (first byte, width); updates and owner [symbols]: a symbol's last
    update id, and the connection that has subscribed it, -1: none; out [connections, room], filled [connections]:
    frames to be sent; schedule [SCHEDULE_WORDS], gap [1]: mean ns between two messages (float64), 0: as fast as
    it goes; buckets, marks: how late messages were written.
    """

    template: Any
    places: Any
    updates: Any
    owner: Any
    out: Any
    filled: Any
    schedule: Any
    gap: Any
    buckets: Any
    marks: Any


def market(symbols: int, connections: int, most: int) -> Market:
    """Return a market of so many symbols; each connection has room for ``most`` messages."""
    frame = template()
    places = [(frame.index(mark.encode()) + len(mark), width) for mark, width in FIELDS.values()]
    return Market(
        template=np.frombuffer(frame, dtype=np.uint8).copy(),
        places=np.array(places, dtype=np.int64),
        updates=np.full(symbols, FIRST_UPDATE, dtype=np.int64),
        owner=np.full(symbols, -1, dtype=np.int64),
        out=np.zeros((connections, most * len(frame)), dtype=np.uint8),
        filled=np.zeros(connections, dtype=np.int64),
        schedule=np.zeros(SCHEDULE_WORDS, dtype=np.int64),
        gap=np.zeros(1, dtype=np.float64),
        buckets=np.zeros((1, BUCKETS), dtype=np.int64),
        marks=np.zeros((1, MARKS), dtype=np.int64),
    )


@lean
def seed(number: int) -> None:
    """Seed the compiled code's own random numbers of this thread."""
    np.random.seed(number)


@lean
def put_digits(row: Any, at: int, places: Any, field: int, value: int) -> None:
    """Write a number, with leading zeros, into the frame that begins at ``at``."""
    first = at + places[field, 0]
    for i in range(places[field, 1] - 1, -1, -1):
        row[first + i] = 48 + value % 10
        value //= 10


@lean
def write_frame(market: Market, row: Any, at: int, symbol: int, due: int) -> None:
    """Write the next message of a symbol: a new size at one of its bids and one of its asks, often near the best."""
    for i in range(market.template.shape[0]):
        row[at + i] = market.template[i]
    market.updates[symbol] += 1
    places = market.places
    put_digits(row, at, places, TOPIC, symbol)
    put_digits(row, at, places, SYMBOL, symbol)
    put_digits(row, at, places, TS, due // 1_000_000)
    put_digits(row, at, places, ENGINE, due // 1_000_000)
    put_digits(row, at, places, BID, BEST_BID - int(DEPTH * np.random.random() ** 2))
    put_digits(row, at, places, BID_SIZE, 100 + int(900 * np.random.random()))
    put_digits(row, at, places, ASK, BEST_BID + 1 + int(DEPTH * np.random.random() ** 2))
    put_digits(row, at, places, ASK_SIZE, 100 + int(900 * np.random.random()))
    put_digits(row, at, places, UPDATE, market.updates[symbol])
    put_digits(row, at, places, SEQUENCE, due)


@lean
def write_due(market: Market, now: int, most: int) -> int:
    """Write up to ``most`` messages that are due by ``now`` (UTC ns); return how many. Nobody may wait for less."""
    schedule, symbols, size = market.schedule, market.owner.shape[0], market.template.shape[0]
    written = 0
    while written < most and schedule[NEXT] <= now:
        schedule[TURN] += 1
        symbol = 0
        if symbols > 1 and schedule[TURN] % OFTEN != 0:
            symbol = 1 + schedule[TURN] % (symbols - 1)
        gap = market.gap[0]
        due = now if gap == 0.0 else schedule[NEXT]
        connection = market.owner[symbol]
        if connection >= 0:
            write_frame(market, market.out[connection], market.filled[connection], symbol, due)
            market.filled[connection] += size
            record(market.buckets, market.marks, FIRST, now - due)
            schedule[SENT] += 1
        schedule[NEXT] = due
        if gap > 0.0:
            schedule[NEXT] += 1 + int(-gap * math.log(1.0 - np.random.random()))
        written += 1
    return written
