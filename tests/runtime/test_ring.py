"""The ring's reader: what its compiled code is, that no tick is torn, that it knows what it lost."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numba
import numpy as np
import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.ring_writer import write_pattern

from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.atomics import load_acquire, load_relaxed
from quietcore.bridge.compiled import compiled
from quietcore.bridge.ring import (
    DROPPED,
    EMPTY,
    LOST,
    NEXT,
    OVERRUNS,
    READ,
    TAKEN,
    Ring,
    batch_is_valid,
    claim_batch,
    copy_ticks,
    new_cursor,
    skip_lost,
    take,
    word_at,
)
from quietcore.bridge.segment import attach
from quietcore.bridge.ticks import Trade


def llvm_of(function: Any, *signature: Any) -> str:
    """Compile anew, past the cache (which keeps machine code only), and return the optimised LLVM."""
    dispatcher = numba.njit(nogil=True)(function.py_func)
    dispatcher.compile(signature)
    return "\n".join(dispatcher.inspect_llvm().values())


@pytest.mark.machine_code
def test_compiled_reader_holds_its_ordering() -> None:
    code = llvm_of(take, numba.int64, numba.int64, numba.int64)
    loads = [line for line in code.splitlines() if "load atomic i64" in line]
    assert sum("acquire" in line for line in loads) >= 1, code
    assert sum("monotonic" in line for line in loads) >= 8, code
    assert "fence acquire" in code
    at = code.index
    assert (
        at("acquire, align 8")
        < at("monotonic, align 8")
        < at("fence acquire")
        < code.rindex("monotonic, align 8")
    )


@pytest.mark.machine_code
def test_a_plain_load_would_have_none() -> None:
    """The control of the test above: without the intrinsics nothing atomic is left."""

    def plain(words: Any, n: int) -> int:
        return int(words[n])

    dispatcher = numba.njit(nogil=True)(plain)
    dispatcher.compile((numba.int64[:], numba.int64))
    assert "load atomic" not in "\n".join(dispatcher.inspect_llvm().values())


@compiled
def hunt(ring: Ring, cursor: Any, limit: int, recheck: bool, stop: Any) -> int:
    """Take ``limit`` ticks of the pattern writer and return how many were torn or out of place."""
    torn = 0
    while cursor[READ] < limit and stop[0] == 0:
        n = cursor[NEXT]
        if recheck:
            status, seen, a, b, c, d, e, f, g = take(ring.slots, ring.mask, n)
        else:
            at = ring.slots + ((n & ring.mask) << 6)
            seen = load_acquire(at)
            status = EMPTY if seen < 2 * n + 2 else TAKEN if seen == 2 * n + 2 else LOST
            a, b, c = load_relaxed(at + 8), load_relaxed(at + 16), load_relaxed(at + 24)
            d, e, f, g = (
                load_relaxed(at + 32),
                load_relaxed(at + 40),
                load_relaxed(at + 48),
                load_relaxed(at + 56),
            )
        if status == EMPTY:
            continue
        if status == LOST:
            skip_lost(ring, cursor, seen)
            continue
        if a != n or b != n or c != n or d != n or e != n or f != n or g != n:
            torn += 1
        cursor[NEXT] = n + 1
        cursor[READ] += 1
    return torn


def race(recheck: bool, reads: int, seconds: float, *, until_torn: bool) -> tuple[int, Any, int]:
    """Let a writer lap a reader on a ring of 16 slots; return torn ticks, the cursor, ticks written."""
    memory = np.zeros(16 * 8 + 32, dtype=np.int64)
    start = (-memory.ctypes.data) % 128 // 8
    slots = memory[start:].ctypes.data
    ring = Ring(0, slots + 16 * 64, slots, 15, 16, 0, 0, 0, 0)
    cursor = new_cursor(0)
    stop = np.zeros(1, dtype=np.int64)
    written: list[int] = []
    write_pattern(slots, 15, ring.published, 0, 0, stop)
    hunt(ring, cursor, 0, recheck, stop)

    def write() -> None:
        written.append(write_pattern(slots, 15, ring.published, 0, 1 << 60, stop))

    writer = threading.Thread(target=write)
    writer.start()
    torn = 0
    end = time.monotonic() + seconds
    try:
        while cursor[READ] < reads and time.monotonic() < end and not (until_torn and torn):
            torn += hunt(ring, cursor, min(reads, int(cursor[READ]) + 20_000), recheck, stop)
    finally:
        stop[0] = 1
        writer.join()
    return torn, cursor, written[0]


@pytest.mark.machine_code
def test_no_torn_tick_is_ever_taken() -> None:
    # `make ring-proof` asks for 10⁹ reads, and gives them the time.
    asked = os.environ.get("QUIETCORE_TORN_READS")
    reads, seconds = (int(asked), 3600.0) if asked else (50_000_000, 20.0)
    torn, cursor, written = race(True, reads, seconds, until_torn=False)
    print(f"{cursor[READ]} reads, {cursor[DROPPED]} lost, {torn} torn")
    assert cursor[READ] > 10_000
    assert cursor[DROPPED] > 0, "the writer never lapped the reader: nothing was tested"
    assert torn == 0
    assert cursor[READ] + cursor[DROPPED] == cursor[NEXT] <= written


@pytest.mark.machine_code
def test_without_the_recheck_torn_ticks_are_taken() -> None:
    """The negative control: the race above does tear where nobody looks twice."""
    torn, _cursor, _written = race(False, 1 << 60, 60.0, until_torn=True)
    assert torn > 0


def test_overrun_is_counted_exactly(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    bridge = SharedMemoryBridge(feed, from_start=True).connect()
    for n in range(writer.capacity * 3 + 7):
        writer.trade(n, 1)
    newest = writer.capacity * 3 + 6
    ticks = list(bridge.read_ticks(1 << 20))
    stats = bridge.get_stats()
    # tick 0's slot holds tick 3N: m = 3N, published = 3N + 7
    target = max(writer.capacity * 3 + 7 - writer.capacity // 2, writer.capacity * 3 - writer.capacity + 1)
    assert stats.dropped_ticks == target
    assert stats.overruns == 1
    assert [tick.price for tick in ticks if isinstance(tick, Trade)] == list(range(target, newest + 1))
    assert stats.read_ticks + stats.dropped_ticks == newest + 1
    assert stats.lag == 0
    bridge.close()


def test_overrun_where_published_lags(make_writer: MakeWriter, feed: str) -> None:
    """Bounded by the tick seen in the slot: a stale published cursor must not lead backwards."""
    writer = make_writer()
    segment = attach(feed)
    for n in range(writer.capacity + 5):
        writer.tick(layout.KIND_TRADE, a=n)
    assert word_at(segment.ring.published) == 0
    cursor = new_cursor(0)
    room = np.zeros((4096, 8), dtype=np.int64)
    count = copy_ticks(segment.ring, cursor, room)
    # slot 0 holds tick N: go on with tick 1, whose slot holds N + 1: with tick 2, … until tick 5
    assert (cursor[DROPPED], cursor[OVERRUNS], count) == (5, 5, writer.capacity)
    assert room[:count, 4].tolist() == list(range(5, writer.capacity + 5))


def test_empty_half_written_and_dead_writer(make_writer: MakeWriter, feed: str) -> None:
    from tests.runtime.ring_writer import store_relaxed_now

    writer = make_writer()
    segment = attach(feed)
    ring = segment.ring
    assert take(ring.slots, ring.mask, 0)[0] == EMPTY
    store_relaxed_now(writer.slots, 1)  # a writer died in tick 0
    assert take(ring.slots, ring.mask, 0)[0] == EMPTY
    writer.trade(5, 1)
    assert take(ring.slots, ring.mask, 0)[0] == TAKEN


def test_batch_ends_at_the_wrap_and_knows_when_it_is_overwritten(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    bridge = SharedMemoryBridge(feed).connect()
    assert len(bridge.read_batch()) == 0
    for n in range(1000):
        writer.trade(n, 1)
    first = bridge.read_batch()
    assert first.ticks["a"].tolist() == list(range(1000))
    assert first.ticks.base is not None
    assert not first.ticks.flags.writeable
    for n in range(1000, 1100):
        writer.trade(n, 1)
    assert not first.valid(), "76 of its slots hold newer ticks"
    second = bridge.read_batch()
    assert second.ticks["a"].tolist() == list(range(1000, 1024))
    third = bridge.read_batch()
    assert third.ticks["a"].tolist() == list(range(1024, 1100))
    assert second.valid()
    assert third.valid()
    assert bridge.get_stats().dropped_ticks == 0
    bridge.close()
    assert second.ticks["a"][0] == 1000, "a batch keeps its mapping"


def test_batch_where_published_lags(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    segment = attach(feed)
    for n in range(10):
        writer.tick(layout.KIND_TRADE, a=n)
    cursor = new_cursor(0)
    assert claim_batch(segment.ring, cursor, 7) == 7
    assert claim_batch(segment.ring, cursor, 100) == 10
    assert batch_is_valid(segment.ring.slots, segment.ring.mask, 0)


def test_two_readers_know_nothing_of_each_other(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    with SharedMemoryBridge(feed) as one, SharedMemoryBridge(feed) as two:
        for n in range(50):
            writer.trade(n, 1)
        assert len(list(one.read_ticks(20))) == 20
        assert len(list(two.read_ticks(100))) == 50
        assert len(list(one.read_ticks(100))) == 30


@pytest.mark.parametrize("count", [0, 1, 5])
def test_read_ticks_reads_no_more_than_asked(make_writer: MakeWriter, feed: str, count: int) -> None:
    writer = make_writer()
    with SharedMemoryBridge(feed) as bridge:
        for n in range(5):
            writer.trade(n, 1)
        assert len(list(bridge.read_ticks(count))) == count
        assert len(list(bridge.read_ticks(100))) == 5 - count
