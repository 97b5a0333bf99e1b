"""The ring through numba against C++: throughput of a drain, of a batch view, and the round trip between two cores."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.runtime.ring_writer import RingWriter, write_pattern

from bench.measure import NO_GOAL, Result, ratio
from bench.native import load
from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.atomics import pause, store_release
from quietcore.bridge.compiled import compiled
from quietcore.bridge.ring import TAKEN, take

CAPACITY = 1 << 16
ROUNDS = 8
TRIPS = 20_000


@compiled
def drain(slots: int, mask: int, first: int, count: int, rounds: int) -> int:
    """Take ticks as the loop does; return the sum of a payload word of all."""
    total = 0
    for _ in range(rounds):
        for n in range(first, first + count):
            status, _seen, _word, _receive, _deltas, a, _b, _c, _d = take(slots, mask, n)
            if status == TAKEN:
                total += a
    return total


@compiled
def sum_batch(ticks: Any) -> int:
    """Return the sum of a payload word of a batch."""
    total = 0
    for i in range(ticks.shape[0]):
        total += ticks[i].a
    return total


@compiled
def answer(slots: int, mask: int, first: int, count: int, back: int) -> None:
    """Take ticks as they come, and say so by a word."""
    for n in range(first, first + count):
        while take(slots, mask, n)[0] != TAKEN:
            pause()
        store_release(back, n + 1)


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def pair(here: Callable[[], object], there: Callable[[], object], cpus: list[int]) -> float:
    """Run two ends on two cores; return how long that takes."""

    def pinned() -> None:
        os.sched_setaffinity(0, {cpus[1]})
        ready.set()
        there()

    ready = threading.Event()
    other = threading.Thread(target=pinned)
    other.start()
    ready.wait()
    took = seconds(here)
    other.join()
    return took


def measure() -> Iterator[Result]:
    """Yield the results."""
    library = load()
    feed = f"bench-{os.getpid()}"
    writer = RingWriter(feed, capacity=CAPACITY)
    try:
        stop = np.zeros(1, dtype=np.int64)
        write_pattern(writer.slots, CAPACITY - 1, writer.address + 384, 0, CAPACITY, stop)
        with SharedMemoryBridge(feed, from_start=True) as bridge:
            yield from drains(library, bridge)
        yield round_trip(library)
    finally:
        writer.remove()
        Path(f"/dev/shm/quietcore.{feed}.lock").unlink(missing_ok=True)  # noqa: S108


def drains(library: Any, bridge: SharedMemoryBridge) -> Iterator[Result]:
    """Compare drains of a full ring that nobody writes to."""
    ring = bridge.segment.ring
    first, total = 0, ROUNDS * sum(range(CAPACITY))
    batch = bridge.read_batch()
    assert len(batch) == CAPACITY

    def native() -> float:
        return seconds(lambda: expect(library.drain(ring.header, first, CAPACITY, ROUNDS), total))

    def through_numba() -> float:
        return seconds(lambda: expect(drain(ring.slots, ring.mask, first, CAPACITY, ROUNDS), total))

    def by_batch() -> float:
        def work() -> None:
            found = 0
            for _ in range(ROUNDS):
                found += sum_batch(batch.ticks)
                assert batch.valid()
            expect(found, total)

        return seconds(work)

    rate = ROUNDS * CAPACITY / min(native() for _ in range(5)) / 1e6
    note = f"C++: {rate:.0f} M ticks/s"
    # Times of the thing over times of the reference: turned round, these are throughputs.
    for name, block, goal in (
        ("drain: numba / C++", through_numba, 0.85),
        ("batch view: numba / C++ drain", by_batch, 0.95),
    ):
        yield turned(ratio(name, block, native, 1 / goal, at_most=True, note=note), goal)


def turned(result: Result, goal: float) -> Result:
    """Return a ratio of times as one of throughputs."""
    return result._replace(
        value=1 / result.value,
        low=1 / result.high if result.high else 0.0,
        high=1 / result.low if result.low > 0 else float("inf"),
        goal=f"≥ {goal:g}",
    )


def expect(found: int, wanted: int) -> None:
    """Raise unless the drain saw every tick."""
    if found != wanted:
        raise AssertionError(f"sum {found} instead of {wanted}")


def round_trip(library: Any) -> Result:
    """Compare a tick there and a word back with a word there and a word back."""
    name = "round trip: tick through numba / raw"
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return Result(name, float("nan"), 0, 0, "×", "≤ 1.1", NO_GOAL, 0, "not measurable here: one CPU")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpus[0]})
    # A slot's line, and the answer's: far enough apart that no prefetcher joins them.
    memory = np.zeros(16 * 1024, dtype=np.int64)
    base = memory.ctypes.data + (-memory.ctypes.data % 4096)
    there, back, slots, mask = base, base + 4096, base + 8192, 1023
    np.zeros(1)
    answer(slots, mask, 0, 0, back)

    def raw() -> float:
        memory[:] = 0
        return pair(lambda: library.ping(there, back, TRIPS), lambda: library.pong(there, back, TRIPS), cpus)

    def ticks() -> float:
        memory[:] = 0
        return pair(
            lambda: library.ping_ticks(slots, mask, 0, back, TRIPS),
            lambda: answer(slots, mask, 0, TRIPS, back),
            cpus,
        )

    try:
        once = min(raw() for _ in range(3)) / TRIPS * 1e9
        return ratio(name, ticks, raw, 1.10, at_most=True, note=f"raw: {once:.0f} ns")
    finally:
        os.sched_setaffinity(0, before)


assert layout.SLOT.itemsize == 64
