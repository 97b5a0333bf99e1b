"""What a tick costs inside the loop: the signal with its risk check, and an intent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tests.runtime.ring_writer import RingWriter

from bench.indicators import fused_here
from bench.measure import Result, figure
from quietcore.bridge import layout
from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.segment import attach
from quietcore.indicators import book, ema, vwap
from quietcore.strategy import risk
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import BUY, PLACE, WORDS, IntentRing, pop, push

TICKS = 1000
REPEATS = 100
STATE = np.dtype(
    [("fast", ema.STATE), ("slow", ema.STATE), ("vwap", vwap.STATE), ("sum", "<f8"), ("ok", "<i8")]
)


def signals(place: Any, ticks: Any) -> int:
    """Two EMAs, VWAP and imbalance on every tick; return the ns."""
    s = place[0]
    begin = now_ns(CLOCK_MONOTONIC)
    for _ in range(REPEATS):
        for i in range(ticks.shape[0]):
            mid = 0.5 * (ticks[i, 0] + ticks[i, 2])
            fast = ema.update(s.fast, mid, 0.1)
            slow = ema.update(s.slow, mid, 0.02)
            average = vwap.update(s.vwap, ticks[i, 0], ticks[i, 1])
            lean = book.imbalance(ticks[i, 1], ticks[i, 3])
            if fast > slow and mid > average and lean > 0.0:
                s.ok += 1
    return now_ns(CLOCK_MONOTONIC) - begin


def checked(place: Any, ticks: Any, bounds: Any, now: int) -> int:
    """Do the same with the risk check of an order on every tick; return the ns."""
    s = place[0]
    begin = now_ns(CLOCK_MONOTONIC)
    for _ in range(REPEATS):
        for i in range(ticks.shape[0]):
            mid = 0.5 * (ticks[i, 0] + ticks[i, 2])
            fast = ema.update(s.fast, mid, 0.1)
            slow = ema.update(s.slow, mid, 0.02)
            average = vwap.update(s.vwap, ticks[i, 0], ticks[i, 1])
            lean = book.imbalance(ticks[i, 1], ticks[i, 3])
            price = int(ticks[i, 2])
            reason = risk.check_order(bounds, BUY, price, 1, int(ticks[i, 0]) + price, now + i)
            if fast > slow and mid > average and lean > 0.0 and reason == 0:
                s.ok += 1
    return now_ns(CLOCK_MONOTONIC) - begin


def whole_check(ring: Any, scratch: Any, bounds: Any, price: int) -> int:
    """Do the whole check, with clock, heartbeat and book table; return the ns of 1,000, or -1 if it refuses."""
    begin = now_ns(CLOCK_MONOTONIC)
    for _ in range(TICKS):
        now = now_ns(CLOCK_MONOTONIC)
        if risk.check(ring, 0, 1, scratch, bounds, BUY, price, 1, now) != 0:
            return -1
    return now_ns(CLOCK_MONOTONIC) - begin


def nothing(place: Any, ticks: Any) -> int:
    """Read the ticks; return the ns."""
    s = place[0]
    begin = now_ns(CLOCK_MONOTONIC)
    for _ in range(REPEATS):
        for i in range(ticks.shape[0]):
            s.sum += ticks[i, 0] + ticks[i, 1] + ticks[i, 2] + ticks[i, 3]
    return now_ns(CLOCK_MONOTONIC) - begin


def pushes(address: int, capacity: int, words: Any, out: Any) -> int:
    """Emit 1,000 intents, then take them; return the ns of the first."""
    begin = now_ns(CLOCK_MONOTONIC)
    for i in range(TICKS):
        words[4] = i
        push(address, capacity, PLACE, words)
    took = now_ns(CLOCK_MONOTONIC) - begin
    while pop(address, capacity, out):
        pass
    return took


def measure() -> Iterator[Result]:
    """Yield the results."""
    rng = np.random.default_rng(9)
    bids = np.floor(60_000 + np.cumsum(rng.normal(0, 3, TICKS)))
    sizes = rng.integers(1, 50, (2, TICKS)).astype(np.float64)
    ticks = np.ascontiguousarray(np.stack([bids, sizes[0], bids + 2, sizes[1]], axis=1))
    account = Account()
    account.ready(True)
    bounds = risk.Risk(
        account=account.address,
        emitted=np.zeros(risk.EMITTED_WORDS, dtype=np.int64),
        rate=risk.new_rate(10),
        limits=risk.limits(max_position=1000, max_open_orders=10, max_order_rate=10, price_band=0.01),
        arena=OrderArena().slots,
    )
    run, run_checked, empty = fused_here(signals), fused_here(checked), fused_here(nothing)
    place = np.zeros(1, dtype=STATE)
    now = np.int64(time.monotonic_ns())
    run(place, ticks), run_checked(place, ticks, bounds, now), empty(place, ticks)

    def plain() -> float:
        return float(run(place, ticks) - empty(place, ticks)) / (REPEATS * TICKS)

    def with_check() -> float:
        return float(run_checked(place, ticks, bounds, now) - empty(place, ticks)) / (REPEATS * TICKS)

    yield figure("signal: two EMAs, VWAP, imbalance", plain, "ns/tick")
    note = "on every tick; the loop checks only where the strategy wants an order"
    yield figure("signal, and the check of an order", with_check, "ns/tick", 25.0, note=note)
    yield from whole(bounds)
    ring = IntentRing(1024)
    words, out = np.zeros(WORDS, dtype=np.int64), np.zeros(WORDS, dtype=np.int64)
    create = fused_here(pushes)
    yield figure("intent creation", lambda: create(ring.address, 1024, words, out) / TICKS, "ns", 100.0)


def whole(bounds: Any) -> Iterator[Result]:
    """Measure the check as the loop calls it at a signal: with two clocks, heartbeat and book table."""
    feed = f"bench-{os.getpid()}"
    writer = RingWriter(feed)
    try:
        writer.message([(60_000, 5)], [(60_002, 5)], state=layout.STATE_LIVE)
        segment = attach(feed)
        scratch = np.zeros(512, dtype=np.int64)
        run = fused_here(whole_check)

        def block() -> float:
            writer.beat()
            took = run(segment.ring, scratch, bounds, 60_002)
            if took < 0:
                raise AssertionError("the check refuses: nothing was measured")
            return float(took) / TICKS

        run(segment.ring, scratch, bounds, 60_002)
        yield figure("whole check at a signal (clock, heartbeat, book)", block, "ns")
    finally:
        writer.remove()
