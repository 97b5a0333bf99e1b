"""Latency histograms, log-linear like HDR's: 64 buckets an octave, so a percentile is at most 1.6 % too high.

A set of histograms is two int64 arrays, ``buckets`` [hops, BUCKETS] and ``marks`` [hops, MARKS]; compiled
loops record into them without allocating, and sets add up by plain addition (maxima aside).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from quietcore.bridge.atomics import bit_length
from quietcore.bridge.compiled import constant, inlined, lean

SUB_BITS: Final = 6
LINEAR: Final = 1 << (SUB_BITS + 1)  # below it every nanosecond has its own bucket
LARGEST: Final = (1 << 42) - 1  # 73 minutes; anything longer counts as that
BUCKETS: Final = (42 - SUB_BITS + 1) << SUB_BITS

COUNT: Final = 0
MAXIMUM: Final = 1
NOT_COMPARABLE: Final = 2
MARKS: Final = 4

FIRST: Final = constant(0)

# Bounds at which counts leave the process (metrics, web page), in ns: 100 ns to 10 s, three a decade.
BOUNDS_NS: Final = (*(step * 10**power for power in range(2, 10) for step in (1.0, 2.5, 5.0)), 1e10)
SHARES: Final = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}


@inlined
def bucket_of(value: int) -> int:
    """Return the bucket of a value of 0 or more."""
    if value < LINEAR:
        return value
    value = min(value, LARGEST)
    shift = bit_length(value) - (SUB_BITS + 1)
    return (shift << SUB_BITS) + (value >> shift)


@inlined
def record(buckets: Any, marks: Any, hop: int, value: int) -> None:
    """Count one latency in ns. A negative one tells that the two clocks disagree: it is no latency."""
    if value < 0:
        marks[hop, NOT_COMPARABLE] += 1
        return
    buckets[hop, bucket_of(value)] += 1
    marks[hop, COUNT] += 1
    if value > marks[hop, MAXIMUM]:
        marks[hop, MAXIMUM] = value


@lean
def record_corrected(buckets: Any, marks: Any, hop: int, value: int, interval: int) -> None:
    """Count one latency of a load that meant to send every ``interval`` ns and waited for the answer instead.

    What could not be sent meanwhile would have waited, too: value - interval, value - 2 interval … (coordinated
    omission; the rule of HdrHistogram's recordValueWithExpectedInterval).
    """
    record(buckets, marks, hop, value)
    if interval > 0:
        missed = value - interval
        while missed >= interval:
            record(buckets, marks, hop, missed)
            missed -= interval


@inlined
def refuse(marks: Any, hop: int) -> None:
    """Count one pair of times that cannot be compared."""
    marks[hop, NOT_COMPARABLE] += 1


def highest_value(bucket: int) -> int:
    """Return the largest value that falls into ``bucket``."""
    if bucket < LINEAR:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return (((bucket & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS) + 1) << shift) - 1


def percentile(buckets: Any, count: int, maximum: int, share: float) -> int:
    """Return the value in ns that ``share`` of ``count`` samples do not exceed, 0 where there are none."""
    if count <= 0:
        return 0
    rank = max(1, int(np.ceil(share * count)))
    bucket = int(np.searchsorted(np.cumsum(buckets), rank))
    return min(highest_value(bucket), maximum)


def summary(buckets: Any, marks: Any) -> dict[str, Any]:
    """Return one hop's figures as they stand in the status: ns, None where nothing could be measured.

    ``buckets`` are [number, count] of those that are not empty: histograms of several times or hosts add up.
    Another thread may record meanwhile: what is told is of one moment.
    """
    # Compiled code records without the GIL, and numpy counts before it collects: it raises where the two differ.
    buckets = buckets.copy()
    count, maximum = int(marks[COUNT]), int(marks[MAXIMUM])
    figures = {
        name: percentile(buckets, count, maximum, share) if count else None for name, share in SHARES.items()
    }
    return {
        "count": count,
        **figures,
        "max": maximum if count else None,
        "not_comparable": int(marks[NOT_COMPARABLE]),
        "buckets": [[int(i), int(buckets[i])] for i in np.flatnonzero(buckets)],
    }


@cache
def _edges() -> tuple[Any, Any]:
    """Return how many buckets lie wholly at or below each bound, and each bucket's middle."""
    highest = np.array([highest_value(bucket) for bucket in range(BUCKETS)], dtype=np.float64)
    lowest = np.concatenate(([0.0], highest[:-1] + 1))
    return np.searchsorted(highest, np.array(BOUNDS_NS), side="right"), (lowest + highest) / 2


def cumulative(buckets: Any) -> dict[str, Any]:
    """Return how many samples lie at or below each of ``BOUNDS_NS``, and the sum of all in ns.

    A sample up to 1.6 % below a bound may be counted above it, never the other way; the sum is that of the buckets'
    middles, at most 0.8 % off.
    """
    below, middles = _edges()
    running = np.concatenate(([0], np.cumsum(buckets)))
    return {"counts": running[below].tolist(), "sum": int(np.dot(buckets, middles))}


class Histogram:
    """One histogram in Python's hands."""

    def __init__(self) -> None:
        self.buckets = np.zeros((1, BUCKETS), dtype=np.int64)
        self.marks = np.zeros((1, MARKS), dtype=np.int64)

    def record(self, value: int) -> None:
        """Count one latency in ns; a negative one counts as not comparable."""
        record(self.buckets, self.marks, FIRST, value)

    def summary(self) -> dict[str, Any]:
        """Return the figures as they stand in the status."""
        return summary(self.buckets[0], self.marks[0])
