"""The check before every order, compiled: it knows book, clock, what was emitted and what came of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.atomics import CLOCK_REALTIME, load_acquire, now_ns
from quietcore.bridge.books import HEAD_WORDS, WORD_COUNTS, WORD_EPOCH, WORD_STATE, head_word, read_book
from quietcore.bridge.compiled import lean
from quietcore.bridge.ring import Ring, epoch_of, heartbeat_of, is_closed
from quietcore.strategy.account import (
    BOUGHT,
    DEGRADED,
    DONE_BUY,
    DONE_SELL,
    KILLED,
    ONLY_REDUCE,
    READY,
    RESOLVED,
    SOLD,
    equity,
)
from quietcore.strategy.arena import FREE_COUNT, Slots, crosses_own, open_slot, settle
from quietcore.strategy.intents import BUY

ALLOWED: Final = 0
GATEWAY: Final = 1
FEED: Final = 2
EPOCH: Final = 3
BOOK: Final = 4
VALUE: Final = 5
BAND: Final = 6
POSITION: Final = 7
OPEN_ORDERS: Final = 8
RATE: Final = 9
KILL: Final = 10
SIZE: Final = 11
NOTIONAL: Final = 12
OLD_BOOK: Final = 13
SELF_CROSSING: Final = 14
LOSS: Final = 15
DEGRADE: Final = 16
SLOTS: Final = 17
REASONS: Final = 18

REASON_NAMES: Final = {
    GATEWAY: "gateway not ready",
    FEED: "feed without a fresh heartbeat",
    EPOCH: "feed restarted",
    BOOK: "book not live",
    VALUE: "price or size not positive",
    BAND: "price outside the band",
    POSITION: "position limit",
    OPEN_ORDERS: "too many open orders",
    RATE: "order rate",
    KILL: "kill switch",
    SIZE: "order size limit",
    NOTIONAL: "order value limit",
    OLD_BOOK: "book too old",
    SELF_CROSSING: "would cross an own order",
    LOSS: "loss limit",
    DEGRADE: "degraded: only reducing orders",
    SLOTS: "no free order slot",
}

FRESH_HEARTBEAT_NS: Final = 500_000_000  # the producer stores it at least every 100 ms
SECOND_NS: Final = 1_000_000_000
LONG_AGO: Final = -(1 << 62)
NO_LIMIT: Final = 1 << 62

WORD_RECEIVE: Final = head_word("receive_ns")

LIMITS: Final = np.dtype(
    [
        ("max_position", "<i8"),  # lots, either way
        ("max_open_orders", "<i8"),
        ("max_order_rate", "<i8"),  # orders in any second
        ("price_band", "<f8"),  # share of the mid price
        ("max_order_size", "<i8"),  # lots
        ("max_notional", "<i8"),  # of one order, ticks × lots
        ("max_loss", "<i8"),  # since the start, ticks × lots; then orders may only reduce the position
        ("max_book_age", "<i8"),  # ns since the book's last message was received, 0: any age
    ]
)

# What the loop has emitted so far, an int64 array.
EMITTED: Final = 0
EMITTED_BUY: Final = 1  # lots
EMITTED_SELL: Final = 2
RATE_AT: Final = 3
EMITTED_WORDS: Final = 8


class Risk(NamedTuple):
    """All that the check remembers and is bound by; the loop is the only writer but for the account."""

    account: int  # address of the account's line
    emitted: Any
    rate: Any  # times of the last orders, as many as are allowed in a second
    limits: Any  # one record of LIMITS
    arena: Slots


def limits(
    *,
    max_position: int,
    max_open_orders: int,
    max_order_rate: int,
    price_band: float,
    max_order_size: int = NO_LIMIT,
    max_notional: int = NO_LIMIT,
    max_loss: int = NO_LIMIT,
    max_book_age: int = 0,
) -> Any:
    """Return one record of LIMITS."""
    made = np.zeros(1, dtype=LIMITS)
    made[0] = (
        *(max_position, max_open_orders, max_order_rate, price_band),
        *(max_order_size, max_notional, max_loss, max_book_age),
    )
    return made


def new_rate(max_order_rate: int) -> Any:
    """Return the room in which the times of the last ``max_order_rate`` orders are kept."""
    return np.full(max_order_rate, LONG_AGO, dtype=np.int64)


@lean
def check_book(ring: Ring, symbol: int, epoch: int, scratch: Any, max_age: int) -> int:
    """Return ALLOWED where the book is live, of this epoch, two-sided and fresh; it is in ``scratch`` then."""
    depth = ring.depth
    if not read_book(ring, symbol, HEAD_WORDS + 2 * depth + 2, scratch):
        return BOOK
    if scratch[WORD_EPOCH] != epoch:
        return EPOCH
    if scratch[WORD_STATE] & 0xFFFFFFFF != layout.STATE_LIVE:
        return BOOK
    counts = scratch[WORD_COUNTS]
    if counts & 0xFFFFFFFF == 0 or (counts >> 32) & 0xFFFFFFFF == 0:
        return BOOK
    if max_age > 0 and now_ns(CLOCK_REALTIME) - scratch[WORD_RECEIVE] > max_age:
        return OLD_BOOK
    return ALLOWED


@lean
def check_order(risk: Risk, side: int, price: int, size: int, twice_mid: int, now: int) -> int:
    """Return ALLOWED, or the first reason against an order, whatever the feed.

    ``twice_mid``: best bid plus best ask, ticks; ``now``: ns of a clock that does not step.
    """
    bound = risk.limits[0]
    if price <= 0 or size <= 0:
        return VALUE
    if load_acquire(risk.account + KILLED) != 0:
        return KILL
    if load_acquire(risk.account + READY) == 0:
        return GATEWAY
    # Not `> band`: a band that is no number allows nothing.
    if not abs(2.0 * price - twice_mid) <= bound.price_band * twice_mid:
        return BAND
    if size > bound.max_order_size:
        return SIZE
    if price > bound.max_notional // size:  # a product might not fit
        return NOTIONAL
    settle(risk.arena)
    emitted = risk.emitted
    done_buy = load_acquire(risk.account + DONE_BUY)
    done_sell = load_acquire(risk.account + DONE_SELL)
    resolved = load_acquire(risk.account + RESOLVED)
    position = load_acquire(risk.account + BOUGHT) - load_acquire(risk.account + SOLD)
    if side == BUY:
        worst = position + emitted[EMITTED_BUY] - done_buy + size
    else:
        worst = -position + emitted[EMITTED_SELL] - done_sell + size
    if worst > bound.max_position:
        return POSITION
    if emitted[EMITTED] - resolved >= bound.max_open_orders:
        return OPEN_ORDERS
    if crosses_own(risk.arena, side, price):
        return SELF_CROSSING
    if worst > 0:  # it may add to the position
        if equity(risk.account, twice_mid) < -2 * bound.max_loss:
            return LOSS
        if load_acquire(risk.account + DEGRADED) == ONLY_REDUCE:
            return DEGRADE
    if risk.rate.shape[0] == 0 or now - risk.rate[emitted[RATE_AT]] < SECOND_NS:
        return RATE
    if risk.arena.marks[FREE_COUNT] == 0:
        return SLOTS
    return ALLOWED


@lean
def check(
    ring: Ring, symbol: int, epoch: int, scratch: Any, risk: Risk, side: int, price: int, size: int, now: int
) -> int:
    """Return ALLOWED, or the first reason against an order of ``size`` lots at ``price`` ticks."""
    if price <= 0 or size <= 0:
        return VALUE
    if is_closed(ring) or now - heartbeat_of(ring) > FRESH_HEARTBEAT_NS:
        return FEED
    if epoch_of(ring) != epoch:
        return EPOCH
    reason = check_book(ring, symbol, epoch, scratch, risk.limits[0].max_book_age)
    if reason != ALLOWED:
        return reason
    twice_mid = scratch[HEAD_WORDS] + scratch[HEAD_WORDS + 2 * ring.depth]
    return check_order(risk, side, price, size, twice_mid, now)


@lean
def allowed_size(risk: Risk, size: int) -> int:
    """Return how much of a wanted size may be ordered while degraded."""
    share = load_acquire(risk.account + DEGRADED)
    return size * share // 1000 if share > 0 else size


@lean
def count_order(risk: Risk, side: int, price: int, size: int, now: int) -> int:
    """Count an order that was allowed and will be emitted; return its slot."""
    emitted = risk.emitted
    emitted[EMITTED] += 1
    emitted[EMITTED_BUY if side == BUY else EMITTED_SELL] += size
    risk.rate[emitted[RATE_AT]] = now
    emitted[RATE_AT] = (emitted[RATE_AT] + 1) % risk.rate.shape[0]
    return open_slot(risk.arena, side, price, size)
