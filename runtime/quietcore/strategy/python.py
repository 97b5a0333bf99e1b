"""Strategies in plain Python: a class whose `on_tick` gets typed ticks. For those who need no compiled loop.

It runs in the strategy's thread, behind the same checks and the same ring of intents. It holds the GIL, which
the gateway needs too: expect tens of microseconds a tick, not nanoseconds.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.compiled import constant, lean
from quietcore.bridge.follow import LAST_RECEIVE, STATE, Books, absorb, overrun
from quietcore.bridge.ring import EMPTY, LOST, NEXT, READ, TAKEN, is_closed, take
from quietcore.bridge.ticks import Tick, decode
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.strategy.interface import (
    WISH_PRICE,
    WISH_SIDE,
    WISH_SIZE,
    Context,
    Parameters,
    Strategy,
    Uncompiled,
    parameter_record,
)
from quietcore.strategy.loop import CLOSED, ROUND, Desk, act, keep_house, measure_message

# What next_tick leaves: the slot as it is, then these.
READ_NS: Final = 8
NEXT_IS_FRESH: Final = 9  # 1: the next tick begins a message
TURN_WORDS: Final = 10

NAP_SECONDS = 0.00005
STATE_RECORD: Final = np.dtype([("ticks", "<i8")])


class Order(NamedTuple):
    """What a strategy wants: ``side`` BUY or SELL of intents.py, ``price`` in ticks, ``size`` in lots."""

    side: int
    price: int
    size: int


class Ladders:
    """The traded symbol's ladder after the tick: (price in ticks, size in lots), best first."""

    def __init__(self, books: Books, symbol: int) -> None:
        self._books, self._symbol = books, symbol

    def _side(self, row: int) -> list[tuple[int, int]]:
        count = int(self._books.counts[row])
        prices, sizes = self._books.prices[row, :count].tolist(), self._books.sizes[row, :count].tolist()
        return list(zip(prices, sizes, strict=True))

    @property
    def bids(self) -> list[tuple[int, int]]:
        """Bids, best first."""
        return self._side(2 * self._symbol)

    @property
    def asks(self) -> list[tuple[int, int]]:
        """Asks, best first."""
        return self._side(2 * self._symbol + 1)

    @property
    def live(self) -> bool:
        """Whether the book's last message left it LIVE."""
        return int(self._books.marks[self._symbol, STATE]) == layout.STATE_LIVE


class PythonStrategy:
    """Base class. ``parameters`` may be replaced between two ticks; ``context`` says what is traded."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        self.parameters = dict(parameters)
        self.context = context
        self.name = type(self).__name__
        self.next_parameters: dict[str, int | float] | None = None

    def on_tick(self, tick: Tick, ladders: Ladders) -> Order | None:
        """Take one tick of the traded symbol; return an order where one is wanted."""
        raise NotImplementedError

    def figures(self) -> dict[str, float]:
        """Return plain numbers for the status."""
        return {}

    def strategy(self, name: str) -> Strategy:
        """Return it as the runtime takes it."""
        self.name = name
        record = parameter_record(self.parameters)
        return Strategy(name, None, np.zeros(1, dtype=STATE_RECORD), record, python=self)


@lean
def next_tick(desk: Desk, turn: Any) -> int:
    """Take the next tick into ``turn`` and the books: EMPTY, LOST or TAKEN."""
    n = desk.counters[NEXT]
    status, seen, word, receive, deltas, a, b, c, d = take(desk.ring.slots, desk.ring.mask, n)
    if status == EMPTY:
        return EMPTY
    if status == LOST:
        overrun(desk.ring, desk.books, desk.counters, seen)
        turn[NEXT_IS_FRESH] = 1
        return LOST
    if turn[NEXT_IS_FRESH]:
        turn[READ_NS] = measure_message(
            desk.ring, desk.sight, desk.buckets, desk.hops, n, word, receive, deltas
        )
    turn[NEXT_IS_FRESH] = 1 if (word >> 48) & 0xFFFF == 0 else 0
    desk.counters[NEXT] = n + 1
    desk.counters[READ] += 1
    desk.counters[LAST_RECEIVE] = receive
    absorb(desk.ring, desk.books, desk.counters, n, word, a, b, c, d)
    turn[0] = seen
    turn[1] = word
    turn[2] = receive
    turn[3] = deltas
    turn[4] = a
    turn[5] = b
    turn[6] = c
    turn[7] = d
    return TAKEN


@lean
def look(desk: Desk) -> int:
    """Do what the control block asks for; return STOPPED, CLOSED, or -1 to go on."""
    return keep_house(desk.outlet.control, desk.block, desk.picture, desk.using, desk.pending)


@lean
def at_its_end(desk: Desk) -> bool:
    """Return whether no more ticks will come."""
    ring = desk.ring
    return is_closed(ring) and take(ring.slots, ring.mask, desk.counters[NEXT])[0] == EMPTY


def python_loop(strategy: Uncompiled, desk: Desk) -> int:
    """Run until stopped (STOPPED) or until the segment gets no more ticks (CLOSED), as the compiled loop does."""
    turn = np.zeros(TURN_WORDS, dtype=np.int64)
    turn[NEXT_IS_FRESH] = 1
    slot = turn[:8].view(layout.SLOT)
    ladders = Ladders(desk.books, desk.symbol)
    state = desk.state[0]
    while True:
        verdict = int(look(desk))
        if strategy.next_parameters is not None:
            strategy.parameters, strategy.next_parameters = strategy.next_parameters, None
        if verdict >= 0:
            return verdict
        for _ in range(ROUND):
            status = next_tick(desk, turn)
            if status == EMPTY:
                if at_its_end(desk):
                    return CLOSED
                time.sleep(NAP_SECONDS)
                break
            if status == LOST or int(slot[0]["symbol"]) != desk.symbol:
                continue
            state["ticks"] += 1
            try:
                order = strategy.on_tick(decode(slot[0]), ladders)
            except Exception as error:
                text = " ".join(str(error).split())[:400]
                raise QuietcoreError(
                    "strategy fails",
                    where=strategy.name,
                    found=f"{type(error).__name__}: {text}",
                    code=ExitCode.FOUND,
                ) from error
            if order is not None:
                desk.wish[WISH_SIDE], desk.wish[WISH_PRICE], desk.wish[WISH_SIZE] = order
                act(desk, constant((int(turn[0]) - 2) >> 1), turn[READ_NS])


def warm_up(desk: Desk) -> None:
    """Compile what the loop calls, without taking a tick or making an intent."""
    of: Any = numba.typeof  # untyped
    place, word = of(desk), numba.int64
    signatures: list[tuple[Any, tuple[Any, ...]]] = [
        (next_tick, (place, numba.int64[::1])),
        (look, (place,)),
        (at_its_end, (place,)),
        (act, (place, word, word)),
    ]
    for dispatcher, signature in signatures:
        dispatcher.compile(signature)
