"""Reading the ring, compiled: one producer, any number of readers, the sequence in the slot.

A slot's ``seq`` is 2n+1 while tick n is written and 2n+2 when it is complete. A reader copies the words and
accepts them only where the sequence is unchanged after an acquire fence. A reader that was lapped saw tick
``m = (seq - 1) >> 1`` in the place of its own; it goes on at ``max(published - N/2, m - N + 1)`` and knows
exactly how many ticks it lost. (``published`` may lag behind by N/4, hence the bound by m.)
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.atomics import fence_acquire, load_acquire, load_relaxed, load_u32
from quietcore.bridge.compiled import inlined, lean


def offset_of(dtype: np.dtype[np.void], field: str) -> int:
    """Return where a field of one of the schema's structs begins, in bytes."""
    assert dtype.fields is not None
    return int(dtype.fields[field][1])


EPOCH_OFFSET: Final = offset_of(layout.HEADER, "epoch")
CLOSED_OFFSET: Final = offset_of(layout.HEADER, "closed")
HEARTBEAT_OFFSET: Final = offset_of(layout.HEADER, "heartbeat_ns")
PUBLISHED_OFFSET: Final = offset_of(layout.HEADER, "published")


class Ring(NamedTuple):
    """What compiled code needs of an attached segment: addresses and sizes, all int64."""

    header: int
    published: int
    slots: int
    mask: int
    capacity: int
    table: int
    stride: int
    depth: int
    symbols: int


EMPTY: Final = 0
TAKEN: Final = 1
LOST: Final = 2

# A reader's own counters, an int64 array.
NEXT: Final = 0  # number of the tick wanted next
READ: Final = 1
DROPPED: Final = 2
OVERRUNS: Final = 3
FIRST: Final = 4  # number of the tick the reader started with
CURSOR_WORDS: Final = 5


@lean
def word_at(address: int) -> int:
    """Return the u64 at ``address``, loaded with acquire, as int64."""
    return load_acquire(address)


@lean
def epoch_of(ring: Ring) -> int:
    """Return the producer's epoch."""
    return load_acquire(ring.header + EPOCH_OFFSET)


@lean
def heartbeat_of(ring: Ring) -> int:
    """Return the producer's last sign of life, CLOCK_MONOTONIC ns."""
    return load_acquire(ring.header + HEARTBEAT_OFFSET)


@lean
def is_closed(ring: Ring) -> bool:
    """Return whether no more ticks will come."""
    return load_u32(ring.header + CLOSED_OFFSET) != 0


@lean
def take(slots: int, mask: int, n: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Return (EMPTY, TAKEN or LOST, sequence seen, seven words) of tick ``n``; words count only if TAKEN."""
    at = slots + ((n & mask) << 6)
    want = 2 * n + 2
    seen = load_acquire(at)
    if seen - want < 0:
        return EMPTY, seen, 0, 0, 0, 0, 0, 0, 0
    if seen != want:
        return LOST, seen, 0, 0, 0, 0, 0, 0, 0
    a = load_relaxed(at + 8)
    b = load_relaxed(at + 16)
    c = load_relaxed(at + 24)
    d = load_relaxed(at + 32)
    e = load_relaxed(at + 40)
    f = load_relaxed(at + 48)
    g = load_relaxed(at + 56)
    fence_acquire()
    again = load_relaxed(at)
    if again != seen:
        return LOST, again, a, b, c, d, e, f, g
    return TAKEN, seen, a, b, c, d, e, f, g


@inlined
def found_until(slots: int, mask: int, n: int, most: int) -> int:
    """Return the first tick from ``n`` on, of ``most``, that is not in the ring yet."""
    until = n
    while until < n + most and load_relaxed(slots + ((until & mask) << 6)) - (2 * until + 2) >= 0:
        until += 1
    return until


@lean
def resume_at(ring: Ring, seen: int) -> int:
    """Return where a reader goes on that found the sequence ``seen`` instead of its own."""
    newest = (seen - 1) >> 1
    behind = load_acquire(ring.published) - (ring.capacity >> 1)
    return max(behind, newest - ring.capacity + 1)


@lean
def skip_lost(ring: Ring, cursor: Any, seen: int) -> int:
    """Move a lapped reader on and count what it lost; return that number."""
    target = resume_at(ring, seen)
    lost: int = target - cursor[NEXT]
    cursor[DROPPED] += lost
    cursor[OVERRUNS] += 1
    cursor[NEXT] = target
    return lost


@lean
def copy_ticks(ring: Ring, cursor: Any, out: Any) -> int:
    """Copy complete ticks, each checked, into ``out`` (int64[n, 8], slots as they are); return how many."""
    count = 0
    while count < out.shape[0]:
        status, seen, a, b, c, d, e, f, g = take(ring.slots, ring.mask, cursor[NEXT])
        if status == EMPTY:
            break
        if status == LOST:
            skip_lost(ring, cursor, seen)
            continue
        out[count, 0] = seen
        out[count, 1] = a
        out[count, 2] = b
        out[count, 3] = c
        out[count, 4] = d
        out[count, 5] = e
        out[count, 6] = f
        out[count, 7] = g
        cursor[NEXT] += 1
        count += 1
    cursor[READ] += count
    return count


@lean
def claim_batch(ring: Ring, cursor: Any, limit: int) -> int:
    """Return how many complete ticks lie in one piece from the cursor: at most ``limit``, up to the wrap.

    The published cursor bounds it; where that lags, the slots themselves tell. Does not move the cursor,
    except past ticks that are lost already.
    """
    while True:
        n: int = cursor[NEXT]
        seen = load_acquire(ring.slots + ((n & ring.mask) << 6))
        if seen - (2 * n + 2) < 0:
            return 0
        if seen != 2 * n + 2:
            skip_lost(ring, cursor, seen)
            continue
        most = min(limit, ring.capacity - (n & ring.mask))
        ready = load_acquire(ring.published) - n
        if ready > 0:
            return min(ready, most)
        count = 1
        while (
            count < most
            and load_acquire(ring.slots + (((n + count) & ring.mask) << 6)) == 2 * (n + count) + 2
        ):
            count += 1
        return count


@lean
def batch_is_valid(slots: int, mask: int, first: int) -> bool:
    """Return whether nothing of a batch that starts with tick ``first`` was overwritten so far.

    The producer overwrites the oldest slot first, so that one's sequence speaks for all.
    """
    fence_acquire()
    return load_relaxed(slots + ((first & mask) << 6)) == 2 * first + 2


def new_cursor(start: int) -> Any:
    """Return the counters of a reader that begins with tick ``start``."""
    cursor = np.zeros(CURSOR_WORDS, dtype=np.int64)
    cursor[NEXT] = cursor[FIRST] = start
    return cursor
