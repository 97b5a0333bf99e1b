"""The check before every order, compiled: it knows book, clock, what was emitted and what came of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.atomics import CLOCK_MONOTONIC, load_acquire, now_ns
from quietcore.bridge.books import HEAD_WORDS, WORD_COUNTS, WORD_EPOCH, WORD_STATE, read_book
from quietcore.bridge.compiled import compiled
from quietcore.bridge.ring import Ring, epoch_of, heartbeat_of, is_closed
from quietcore.strategy.account import BOUGHT, DONE_BUY, DONE_SELL, READY, RESOLVED, SOLD
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
REASONS: Final = 10

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
}

FRESH_HEARTBEAT_NS: Final = 500_000_000  # the producer stores it at least every 100 ms
SECOND_NS: Final = 1_000_000_000
LONG_AGO: Final = -(1 << 62)

LIMITS: Final = np.dtype(
    [
        ("max_position", "<i8"),  # lots, either way
        ("max_open_orders", "<i8"),
        ("max_order_rate", "<i8"),  # orders in any second
        ("price_band", "<f8"),  # share of the mid price
    ]
)

# What the loop has emitted so far, an int64 array.
EMITTED: Final = 0
EMITTED_BUY: Final = 1  # lots
EMITTED_SELL: Final = 2
RATE_AT: Final = 3
EMITTED_WORDS: Final = 8


def new_rate(max_order_rate: int) -> Any:
    """Return the room in which the times of the last ``max_order_rate`` orders are kept."""
    return np.full(max_order_rate, LONG_AGO, dtype=np.int64)


@compiled
def book_allows(ring: Ring, symbol: int, epoch: int, scratch: Any, price: int, band: float) -> int:
    """Return ALLOWED where the book is live, of this epoch, two-sided, and the price inside the band."""
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
    twice_mid = scratch[HEAD_WORDS] + scratch[HEAD_WORDS + 2 * depth]
    # Not `> band`: a band that is no number allows nothing.
    if not abs(2.0 * price - twice_mid) <= band * twice_mid:
        return BAND
    return ALLOWED


@compiled
def check(
    ring: Ring,
    symbol: int,
    epoch: int,
    scratch: Any,
    account: int,
    emitted: Any,
    rate: Any,
    limits: Any,
    side: int,
    price: int,
    size: int,
) -> int:
    """Return ALLOWED, or the first reason against an order of ``size`` lots at ``price`` ticks."""
    if price <= 0 or size <= 0:
        return VALUE
    if load_acquire(account + READY) == 0:
        return GATEWAY
    now = now_ns(CLOCK_MONOTONIC)
    if is_closed(ring) or now - heartbeat_of(ring) > FRESH_HEARTBEAT_NS:
        return FEED
    if epoch_of(ring) != epoch:
        return EPOCH
    reason = book_allows(ring, symbol, epoch, scratch, price, limits[0].price_band)
    if reason != ALLOWED:
        return reason
    done_buy = load_acquire(account + DONE_BUY)
    done_sell = load_acquire(account + DONE_SELL)
    resolved = load_acquire(account + RESOLVED)
    position = load_acquire(account + BOUGHT) - load_acquire(account + SOLD)
    if side == BUY:
        worst = position + emitted[EMITTED_BUY] - done_buy + size
    else:
        worst = -position + emitted[EMITTED_SELL] - done_sell + size
    if worst > limits[0].max_position:
        return POSITION
    if emitted[EMITTED] - resolved >= limits[0].max_open_orders:
        return OPEN_ORDERS
    if rate.shape[0] == 0 or now - rate[emitted[RATE_AT]] < SECOND_NS:
        return RATE
    return ALLOWED


@compiled
def count_order(emitted: Any, rate: Any, side: int, size: int) -> None:
    """Count an order that was allowed and emitted."""
    emitted[EMITTED] += 1
    emitted[EMITTED_BUY if side == BUY else EMITTED_SELL] += size
    rate[emitted[RATE_AT]] = now_ns(CLOCK_MONOTONIC)
    emitted[RATE_AT] = (emitted[RATE_AT] + 1) % rate.shape[0]
