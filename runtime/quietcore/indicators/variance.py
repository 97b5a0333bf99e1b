"""Rolling variance (of the population: divided by n) over a window; until it is full, over what there is.

Sums are of differences to a value of the window's own neighbourhood, and begin anew with each turn of the ring:
squares of whole prices would leave nothing of a small variance. Exact where values are ticks or their halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators.scan import scan
from quietcore.indicators.sma import SEGMENT


def state(window: int) -> np.dtype[np.void]:
    """Return the record's dtype for ``window`` values, at least 1."""
    return np.dtype(
        [
            ("base", "<f8"),
            ("total", "<f8"),  # of the differences to base
            ("squares", "<f8"),
            ("next_base", "<f8"),  # the same for the values since the ring began anew
            ("next_total", "<f8"),
            ("next_squares", "<f8"),
            ("count", "<i8"),
            ("at", "<i8"),
            ("ring", "<f8", (window,)),
        ]
    )


@fused
def update(record: Any, x: float) -> float:
    """Take one value; return the variance of the window."""
    at, window = record.at, record.ring.shape[0]
    if record.count == 0:
        record.base = x
        record.next_base = x
    new = x - record.base
    if record.count == window:
        old = record.ring[at] - record.base
        record.total += new - old
        record.squares += new * new - old * old
    else:
        record.count += 1
        record.total += new
        record.squares += new * new
    record.ring[at] = x
    new = x - record.next_base
    record.next_total += new
    record.next_squares += new * new
    at += 1
    if at == window:
        at = 0
        record.base, record.total, record.squares = (
            record.next_base,
            record.next_total,
            record.next_squares,
        )
        record.next_base, record.next_total, record.next_squares = x, 0.0, 0.0
    record.at = at
    return spread(record.total, record.squares, record.count)


@fused
def mean(record: Any) -> float:
    """Return the mean of the window."""
    return float(record.base + record.total / record.count)


@fused
def spread(total: float, squares: float, count: int) -> float:
    """Return the variance of ``count`` differences by their sum and the sum of their squares."""
    n = float(count)
    return max((n * squares - total * total) / (n * n), 0.0)


@fused
def series(values: Any, window: int, means: Any, out: Any) -> None:
    """Fill ``means`` and ``out`` with mean and variance after each of ``values``. Allocates room for a segment."""
    n = values.shape[0]
    total = squares = 0.0
    for i in range(min(window, n)):
        d = values[i] - values[0]
        total += d
        squares += d * d
        means[i] = values[0] + total / (i + 1)
        out[i] = spread(total, squares, i + 1)
    room = np.empty((2, window + max(SEGMENT, window)), dtype=np.float64)
    start = window
    while start < n:
        count = min(n - start, room.shape[1] - window)
        first = start - window
        base = values[first]
        sums, powers = room[0, : window + count], room[1, : window + count]
        for i in range(window + count):
            d = values[first + i] - base
            sums[i] = d
            powers[i] = d * d
        scan(sums, 1.0, 1.0, 0.0, sums)
        scan(powers, 1.0, 1.0, 0.0, powers)
        for i in range(count):
            total = sums[window + i] - sums[i]
            means[start + i] = base + total / window
            out[start + i] = spread(total, powers[window + i] - powers[i], window)
        start += count
