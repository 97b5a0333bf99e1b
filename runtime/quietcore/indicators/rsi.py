"""Relative strength index by Wilder: 100 · gain / (gain + loss), both smoothed by 1 / period.

The first ``period`` changes are averaged plainly; before that the figure is not a number. Without any change it
is 50.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators.scan import scan

STATE: Final = np.dtype([("gain", "<f8"), ("loss", "<f8"), ("previous", "<f8"), ("count", "<i8")])


@fused
def strength(gain: float, loss: float) -> float:
    """Return the index of two averages."""
    total = gain + loss
    return 100.0 * gain / total if total > 0.0 else 50.0


@fused
def update(record: Any, x: float, period: int) -> float:
    """Take one value; return the index, not a number until there were ``period`` changes."""
    change = x - record.previous
    record.previous = x
    count = record.count
    record.count = count + 1
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if count > period:
        weight = 1.0 / period
        record.gain = (1.0 - weight) * record.gain + weight * gain
        record.loss = (1.0 - weight) * record.loss + weight * loss
        return strength(record.gain, record.loss)
    if count == 0:
        return math.nan
    record.gain += gain / period
    record.loss += loss / period
    return strength(record.gain, record.loss) if count == period else math.nan


@fused
def series(values: Any, period: int, out: Any) -> None:
    """Fill ``out`` with the index after each of ``values``. Allocates two arrays of their length."""
    n = values.shape[0]
    gains, losses = np.empty(n, dtype=np.float64), np.empty(n, dtype=np.float64)
    for i in range(1, n):
        change = values[i] - values[i - 1]
        gains[i] = max(change, 0.0)
        losses[i] = max(-change, 0.0)
    gain = loss = 0.0
    for i in range(min(period, n)):
        out[i] = math.nan
    if n <= period:
        return
    for i in range(1, period + 1):
        gain += gains[i] / period
        loss += losses[i] / period
    out[period] = strength(gain, loss)
    weight = 1.0 / period
    first = period + 1
    scan(gains[first:], weight, 1.0 - weight, gain, gains[first:])
    scan(losses[first:], weight, 1.0 - weight, loss, losses[first:])
    for i in range(first, n):
        out[i] = strength(gains[i], losses[i])
