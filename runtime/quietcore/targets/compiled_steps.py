"""What single steps cost inside compiled code: indicator, signal, order creation; medians of blocks, with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.compiled import fused
from quietcore.indicators import bollinger, book, ema, vwap
from quietcore.strategy.intents import PLACE, WORDS, IntentRing, pop, push
from quietcore.targets.outcome import Found, Measured

VALUES: Final = 1000
REPEATS: Final = 20
BLOCKS: Final = 25
WINDOW: Final = 64
SIGNAL: Final = np.dtype([("fast", ema.STATE), ("slow", ema.STATE), ("vwap", vwap.STATE), ("ok", "<i8")])


@fused
def indicator_steps(place: Any, ticks: Any) -> int:
    """Take every price into Bollinger bands; return the ns."""
    record = place[0]
    began = now_ns(CLOCK_MONOTONIC)
    for _ in range(REPEATS):
        for i in range(ticks.shape[0]):
            bollinger.update(record, ticks[i, 0], 2.0)
    return now_ns(CLOCK_MONOTONIC) - began


@fused
def signal_steps(place: Any, ticks: Any) -> int:
    """Compute the signal on every tick; return the ns."""
    s = place[0]
    began = now_ns(CLOCK_MONOTONIC)
    for _ in range(REPEATS):
        for i in range(ticks.shape[0]):
            middle = 0.5 * (ticks[i, 0] + ticks[i, 2])
            fast, slow = ema.update(s.fast, middle, 0.1), ema.update(s.slow, middle, 0.02)
            average = vwap.update(s.vwap, ticks[i, 0], ticks[i, 1])
            if fast > slow and middle > average and book.imbalance(ticks[i, 1], ticks[i, 3]) > 0.0:
                s.ok += 1
    return now_ns(CLOCK_MONOTONIC) - began


@fused
def order_steps(address: int, capacity: int, words: Any, out: Any) -> int:
    """Put VALUES intents into the ring, then take them; return the ns of the first."""
    began = now_ns(CLOCK_MONOTONIC)
    for i in range(VALUES):
        words[4] = i
        push(address, capacity, PLACE, words)
    took = now_ns(CLOCK_MONOTONIC) - began
    while pop(address, capacity, out):
        pass
    return took


def median_of(block: Callable[[], float], note: str) -> Measured:
    """Return the median of BLOCKS blocks between the values that enclose it with 95 %, by a sign test."""
    block()  # compiles
    values = sorted(block() for _ in range(BLOCKS))
    below, rank = 0.0, 0
    while rank < BLOCKS // 2:
        below += 2 * math.comb(BLOCKS, rank) / 2.0**BLOCKS
        if below > 0.05:
            break
        rank += 1
    return Measured(statistics.median(values), values[rank - 1], values[BLOCKS - rank], note)


def measure() -> Found:
    """Measure all of them on the CPU that this thread is on."""
    rng = np.random.default_rng(9)
    bids = np.floor(60_000 + np.cumsum(rng.normal(0, 3, VALUES)))
    sizes = rng.integers(1, 50, (2, VALUES)).astype(np.float64)
    ticks = np.ascontiguousarray(np.stack([bids, sizes[0], bids + 2, sizes[1]], axis=1))
    bands, state = np.zeros(1, dtype=bollinger.state(WINDOW)), np.zeros(1, dtype=SIGNAL)
    ring = IntentRing(1024)
    words, out = np.zeros(WORDS, dtype=np.int64), np.zeros(WORDS, dtype=np.int64)
    steps = VALUES * REPEATS
    note = "median of 25 blocks"
    return {
        "indicator": median_of(lambda: indicator_steps(bands, ticks) / steps, note),
        "signal": median_of(lambda: signal_steps(state, ticks) / steps, note),
        "order_creation": median_of(
            lambda: order_steps(ring.address, ring.capacity, words, out) / VALUES, note
        ),
    }
