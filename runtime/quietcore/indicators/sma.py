"""Simple moving average over a window of values; until the window is full, over what there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators.scan import scan

SEGMENT = 1024  # values after which running sums begin anew, so that rounding cannot pile up


def state(window: int) -> np.dtype[np.void]:
    """Return the record's dtype for ``window`` values, at least 1."""
    return np.dtype(
        [
            ("total", "<f8"),
            (
                "fresh",
                "<f8",
            ),  # of the values since the ring began anew: replaces the total, with its rounding
            ("count", "<i8"),  # values in the window
            ("at", "<i8"),
            ("ring", "<f8", (window,)),
        ]
    )


@fused
def update(record: Any, x: float) -> float:
    """Take one value; return the mean of the window."""
    at, window = record.at, record.ring.shape[0]
    record.total += x - record.ring[at]
    record.ring[at] = x
    record.fresh += x
    if record.count < window:
        record.count += 1
    at += 1
    if at == window:
        at = 0
        record.total = record.fresh
        record.fresh = 0.0
    record.at = at
    return float(record.total / record.count)


@fused
def series(values: Any, window: int, out: Any) -> None:
    """Fill ``out`` with the mean after each of ``values``. Allocates room for a segment."""
    n = values.shape[0]
    total = 0.0
    for i in range(min(window, n)):
        total += values[i]
        out[i] = total / (i + 1)
    room = np.empty(window + max(SEGMENT, window), dtype=np.float64)
    start = window
    while start < n:
        count = min(n - start, room.shape[0] - window)
        first = start - window
        base = values[first]
        sums = room[: window + count]
        for i in range(window + count):
            sums[i] = values[first + i] - base
        scan(sums, 1.0, 1.0, 0.0, sums)
        for i in range(count):
            out[start + i] = base + (sums[window + i] - sums[i]) / window
        start += count
