"""The compiled loop: reads every tick, keeps every ladder, asks the strategy, checks, emits.

It runs without the GIL in a thread of its own and never returns to Python until it is stopped or its segment
is closed. It calls the kernel only to nap (wait = "nap") and to wake the gateway for an intent.
"""

from __future__ import annotations

import types
from typing import Any, Final, NamedTuple

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.atomics import (
    CLOCK_MONOTONIC,
    load_acquire,
    nap,
    now_ns,
    pause,
    raise_event,
    store_release,
)
from quietcore.bridge.compiled import inlined, lean
from quietcore.bridge.counted_clock import new_clock, utc_ns
from quietcore.bridge.follow import EPOCH, LAST_RECEIVE, Books, absorb, overrun
from quietcore.bridge.ring import EMPTY, LOST, NEXT, READ, Ring, found_until, is_closed, take
from quietcore.histogram import record, refuse
from quietcore.strategy.account import RESOLVED
from quietcore.strategy.arena import NO_SLOT
from quietcore.strategy.intents import CANCEL, PLACE, WORDS, push
from quietcore.strategy.interface import WISH_FLAGS, WISH_PRICE, WISH_SIDE, WISH_SIZE, WISH_WORDS
from quietcore.strategy.risk import ALLOWED, EMITTED, Risk, allowed_size, check, count_order
from quietcore.strategy.workspace import (
    HELD_BACK,
    INTENTS,
    PUBLISHED_READ,
    READ_SIGNAL,
    RECEIVED_PUBLISHED,
    REFUSED,
    SIGNALS,
    UNSENT,
    VENUE_RECEIVED,
)

# The control block, byte offsets; each word on a line of its own.
STOP: Final = 0  # 1: return
LEAVE: Final = 128  # 1: the segment was replaced, return to attach anew
PICTURE_WANTED: Final = 256  # number of the picture asked for
PICTURE_DONE: Final = 384  # number of the last one made
PARAMS_WANTED: Final = 512  # number of the parameters that wait in the pending block
PARAMS_DONE: Final = 640  # number of those in use
CONTROL_WORDS: Final = 96

STOPPED: Final = 0
CLOSED: Final = 1

UNTIL: Final = 0  # the first tick that has not been found yet
READ_NS: Final = 1  # when those before it were, UTC
AHEAD: Final = 7  # ticks that a look at the ring takes in, behind the one that is read

ROUND: Final = 1024  # ticks between two looks at the control block
SPINS_BEFORE_NAP: Final = 256
NAP_NS: Final = 50_000

FOREIGN: Final = layout.FLAG_VENUE_TIME_FOREIGN | layout.FLAG_VENUE_TIME_SATURATED
DELTA_SATURATED: Final = layout.FLAG_PUBLISH_DELTA_SATURATED
NO_TIME: Final = layout.TIME_SOURCE_NONE
RECORDED: Final = layout.TIME_SOURCE_RECORDED


class Outlet(NamedTuple):
    """Where intents go."""

    control: int
    intents: int
    capacity: int
    event: int  # eventfd that wakes the gateway, -1: it polls


class Sight(NamedTuple):
    """When ticks were found in the ring."""

    clock: Any  # see quietcore.bridge.counted_clock
    found: Any  # [2]: UNTIL, READ_NS


class Desk(NamedTuple):
    """All that the loop works with. Addresses are int64 and belong to objects that outlive the loop."""

    ring: Ring
    books: Books
    counters: Any
    sight: Sight
    buckets: Any
    hops: Any
    ledger: Any
    risk: Risk
    state: Any
    params: Any
    wish: Any
    intent: Any
    block: Any
    picture: Any
    using: Any  # the words of params
    pending: Any
    outlet: Outlet
    symbol: int
    spin: int


@inlined
def sample_hops(buckets: Any, hops: Any, word: int, receive: int, deltas: int, read_ns: int) -> None:
    """Measure the hops of one message, by its first tick; what cannot be compared is counted as such."""
    flags = (word >> 32) & 0xFFFF
    source = (word >> 24) & 0xFF
    venue_delta = deltas >> 32  # arithmetic: the sign is the upper half's
    publish_delta = deltas & 0xFFFFFFFF
    if source == NO_TIME or flags & FOREIGN:
        refuse(hops, VENUE_RECEIVED)
    else:
        record(buckets, hops, VENUE_RECEIVED, venue_delta * 1000)
    # A recording's receive time is another day's: nothing measured from it is a latency of this run.
    if source in (NO_TIME, RECORDED) or flags & DELTA_SATURATED:
        refuse(hops, RECEIVED_PUBLISHED)
        refuse(hops, PUBLISHED_READ)
    else:
        record(buckets, hops, RECEIVED_PUBLISHED, publish_delta)
        record(buckets, hops, PUBLISHED_READ, read_ns - receive - publish_delta)


@inlined
def measure_message(
    ring: Ring, sight: Sight, buckets: Any, hops: Any, n: int, word: int, receive: int, deltas: int
) -> int:
    """Measure a message by its first tick, ``n``; return when that was found in the ring, UTC ns.

    What already lies behind it, up to AHEAD ticks, is found by the same look at the ring and at the same time: it
    waits for its turn from then on, and that belongs to its way to the signal.
    """
    if n >= sight.found[UNTIL]:
        sight.found[READ_NS] = utc_ns(sight.clock)
        sight.found[UNTIL] = found_until(ring.slots, ring.mask, n + 1, AHEAD)
    read_ns = int(sight.found[READ_NS])
    sample_hops(buckets, hops, word, receive, deltas, read_ns)
    return read_ns


@inlined
def measure_nothing(
    ring: Ring, sight: Sight, buckets: Any, hops: Any, n: int, word: int, receive: int, deltas: int
) -> int:
    """Stand in for `measure_message`, to show what that costs."""
    return 0


@lean
def emit(outlet: Outlet, ledger: Any, intent: Any, kind: int) -> bool:
    """Put an intent into the ring, waiting for room; False if the loop was stopped meanwhile."""
    held = False
    while not push(outlet.intents, outlet.capacity, kind, intent):
        if not held:
            ledger[HELD_BACK] += 1
            held = True
        if load_acquire(outlet.control + STOP) != 0:
            ledger[UNSENT] += 1
            return False
        pause()
    ledger[INTENTS] += 1
    if outlet.event >= 0:
        raise_event(outlet.event)
    return True


@lean
def act(desk: Desk, n: int, read_ns: int) -> None:
    """Turn the strategy's wish into intents: cancel what is open, then the order, if it is allowed."""
    desk.ledger[SIGNALS] += 1
    side, price = desk.wish[WISH_SIDE], desk.wish[WISH_PRICE]
    size = allowed_size(desk.risk, desk.wish[WISH_SIZE])
    now = now_ns(CLOCK_MONOTONIC)
    epoch = desk.counters[EPOCH]
    reason = check(desk.ring, desk.symbol, epoch, desk.books.scratch, desk.risk, side, price, size, now)
    signal_ns = utc_ns(desk.sight.clock)
    record(desk.buckets, desk.hops, READ_SIGNAL, signal_ns - read_ns)
    intent = desk.intent
    intent[2] = desk.symbol
    intent[3] = side
    intent[4] = price
    intent[5] = size
    intent[6] = n
    intent[7] = read_ns
    intent[8] = signal_ns
    intent[9] = NO_SLOT
    intent[10] = desk.wish[WISH_FLAGS]
    if desk.risk.emitted[EMITTED] != load_acquire(desk.risk.account + RESOLVED) and not emit(
        desk.outlet, desk.ledger, intent, CANCEL
    ):
        return
    if reason != ALLOWED:
        desk.ledger[REFUSED + reason] += 1
        return
    # Counted before the gateway can see it: it may be resolved before this function goes on.
    intent[9] = count_order(desk.risk, side, price, size, now)
    emit(desk.outlet, desk.ledger, intent, PLACE)


@lean
def keep_house(control: int, block: Any, picture: Any, using: Any, pending: Any) -> int:
    """Look at the control block: return STOPPED or CLOSED, else do what it asks for and return -1.

    It asks for a picture, or brings new parameters, which so change all at once between two ticks.
    """
    if load_acquire(control + STOP) != 0:
        return STOPPED
    if load_acquire(control + LEAVE) != 0:
        return CLOSED
    wanted = load_acquire(control + PICTURE_WANTED)
    if wanted != load_acquire(control + PICTURE_DONE):
        for i in range(block.shape[0]):
            picture[i] = block[i]
        store_release(control + PICTURE_DONE, wanted)
    wanted = load_acquire(control + PARAMS_WANTED)
    if wanted != load_acquire(control + PARAMS_DONE):
        for i in range(pending.shape[0]):
            using[i] = pending[i]
        store_release(control + PARAMS_DONE, wanted)
    return -1


# Stand for the strategy's own and for what measures the messages: `build` puts them in.
on_tick: Any = None
measure: Any = None


def loop(desk: Desk) -> int:
    """Run until stopped (STOPPED) or until the segment gets no more ticks (CLOSED)."""
    ring, books, counters = desk.ring, desk.books, desk.counters
    fresh = True
    read_ns = 0
    idle = 0
    while True:
        verdict = keep_house(desk.outlet.control, desk.block, desk.picture, desk.using, desk.pending)
        if verdict >= 0:
            return verdict
        left = ROUND
        while left > 0:
            n = counters[NEXT]
            status, seen, word, receive, deltas, a, b, c, d = take(ring.slots, ring.mask, n)
            if status == EMPTY:
                break
            left -= 1
            if status == LOST:
                overrun(ring, books, counters, seen)
                fresh = True
                continue
            if fresh:
                read_ns = measure(ring, desk.sight, desk.buckets, desk.hops, n, word, receive, deltas)
            fresh = (word >> 48) & 0xFFFF == 0
            counters[NEXT] = n + 1
            counters[READ] += 1
            counters[LAST_RECEIVE] = receive
            absorb(ring, books, counters, n, word, a, b, c, d)
            if word & 0xFFFF == desk.symbol:
                kind, flags = (word >> 16) & 0xFF, (word >> 32) & 0xFFFF
                if on_tick(desk.state, desk.params, books, desk.symbol, kind, flags, a, b, c, d, desk.wish):
                    act(desk, n, read_ns)
        if left > 0:
            # Asked again after `closed` was seen: the last tick may have come between the two looks.
            if is_closed(ring) and take(ring.slots, ring.mask, counters[NEXT])[0] == EMPTY:
                return CLOSED
            pause()
            if left == ROUND:
                idle += 1
            else:
                idle = 0
            if desk.spin == 0 and idle > SPINS_BEFORE_NAP:
                nap(NAP_NS)


def build(name: str, function: Any, measure: Any = measure_message) -> Any:
    """Return the loop with ``function`` as its on_tick, to be compiled, kept on disk under ``name``.

    ``measure`` is `measure_message` but where its cost is measured.
    """
    inside = {**loop.__globals__, "on_tick": function, "measure": measure}
    made = types.FunctionType(loop.__code__, inside, f"loop_{name}")
    # numba files machine code by qualified name: two strategies must not find each other's.
    made.__qualname__ = f"loop_{name}"
    made.__module__ = loop.__module__
    return lean(made)


def new_sight() -> Sight:
    """Return a view of a ring that nothing was found in yet."""
    return Sight(new_clock(), np.zeros(2, dtype=np.int64))


def new_wish() -> Any:
    """Return the room where a strategy writes what it wants."""
    return np.zeros(WISH_WORDS, dtype=np.int64)


def new_intent() -> Any:
    """Return the room where the loop composes an intent."""
    return np.zeros(WORDS, dtype=np.int64)
