"""What the pipeline's own measuring costs: the ring followed with and without it, in turns, and the timers for
users' code.

The loop reads the clock and records three hops once a message, by its first tick; the figure is spread over the
ticks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from tests.runtime.ring_writer import RingWriter

from bench.measure import Result, figure
from quietcore.bridge import layout
from quietcore.bridge.atomics import CLOCK_MONOTONIC, CLOCK_REALTIME, now_ns
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follow import absorb, begin
from quietcore.bridge.follower import Follower
from quietcore.bridge.ring import NEXT, READ, TAKEN, take
from quietcore.bridge.segment import attach
from quietcore.observe.histogram import BUCKETS, MARKS
from quietcore.observe.performance import PrecisionTimer, compiled_cost_ns
from quietcore.strategy.loop import sample_hops
from quietcore.strategy.workspace import HOPS

CAPACITY = 1 << 13
GOAL_NS_A_TICK = 10.0


@compiled
def without(ring: Any, books: Any, counters: Any, count: int) -> int:
    """Follow ``count`` ticks; return the ns."""
    began = now_ns(CLOCK_MONOTONIC)
    for _ in range(count):
        n = counters[NEXT]
        status, _seen, word, _receive, _deltas, a, b, c, d = take(ring.slots, ring.mask, n)
        if status != TAKEN:
            return -1
        counters[NEXT] = n + 1
        counters[READ] += 1
        absorb(ring, books, counters, n, word, a, b, c, d)
    return now_ns(CLOCK_MONOTONIC) - began


@compiled
def measuring(ring: Any, books: Any, counters: Any, count: int, buckets: Any, hops: Any) -> int:
    """Follow ``count`` ticks as the strategy loop does, with its clock and its histograms; return the ns."""
    began = now_ns(CLOCK_MONOTONIC)
    fresh = True
    for _ in range(count):
        n = counters[NEXT]
        status, _seen, word, receive, deltas, a, b, c, d = take(ring.slots, ring.mask, n)
        if status != TAKEN:
            return -1
        if fresh:
            sample_hops(buckets, hops, word, receive, deltas, now_ns(CLOCK_REALTIME))
        fresh = (word >> 48) & 0xFFFF == 0
        counters[NEXT] = n + 1
        counters[READ] += 1
        absorb(ring, books, counters, n, word, a, b, c, d)
    return now_ns(CLOCK_MONOTONIC) - began


def fill(writer: RingWriter) -> int:
    """Publish messages of several ticks each until the ring is nearly full; return the number of ticks."""
    rng = np.random.default_rng(3)
    middle = 60_000
    while writer.next < CAPACITY - 64:
        middle += int(rng.integers(-1, 2))
        bids = [(middle - 1 - i, int(rng.integers(1, 50))) for i in range(5)]
        asks = [(middle + 1 + i, int(rng.integers(1, 50))) for i in range(5)]
        writer.message(bids, asks, state=layout.STATE_LIVE)
    return writer.next


def measure() -> Iterator[Result]:
    """Yield the results."""
    writer = RingWriter(f"bench-{os.getpid()}", capacity=CAPACITY)
    try:
        ticks = fill(writer)
        segment = attach(writer.feed)
        follower = Follower(segment, from_start=True)
        buckets = np.zeros((HOPS, BUCKETS), dtype=np.int64)
        hops = np.zeros((HOPS, MARKS), dtype=np.int64)

        def once(run: Any, *more: Any) -> int:
            follower.counters[NEXT] = 0
            begin(segment.ring, follower.books, follower.counters)
            took = int(run(segment.ring, follower.books, follower.counters, ticks, *more))
            if took < 0:
                raise AssertionError("a tick is missing: nothing was measured")
            return took

        def block() -> float:
            # In turns, the quickest of each: what else the machine does comes on top of both.
            pairs = [(once(measuring, buckets, hops), once(without)) for _ in range(9)]
            return float(min(one for one, _ in pairs) - min(other for _, other in pairs)) / ticks

        note = f"{ticks:,} ticks, with and without in turns"
        yield figure("measuring the hops in the loop", block, "ns/tick", GOAL_NS_A_TICK, note=note)
        yield figure("following the ring without it", lambda: once(without) / ticks, "ns/tick")
    finally:
        writer.remove()
    yield figure("PerformanceStats in compiled code: start and stop", compiled_cost_ns, "ns")
    yield figure("PrecisionTimer in Python: a with block that records", PrecisionTimer.cost_ns, "ns")
