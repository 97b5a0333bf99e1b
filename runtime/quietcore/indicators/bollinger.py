"""Bollinger bands: the mean of a window, and ``width`` standard deviations (of the population) above and below."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators import variance


def state(window: int) -> np.dtype[np.void]:
    """Return the record's dtype for ``window`` values, at least 1."""
    return np.dtype(
        [("window", variance.state(window)), ("middle", "<f8"), ("upper", "<f8"), ("lower", "<f8")]
    )


@fused
def update(record: Any, x: float, width: float) -> None:
    """Take one value; the bands are the record's."""
    deviation = width * math.sqrt(variance.update(record.window, x))
    middle = variance.mean(record.window)
    record.middle = middle
    record.upper = middle + deviation
    record.lower = middle - deviation


@fused
def series(values: Any, window: int, width: float, middle: Any, upper: Any, lower: Any) -> None:
    """Fill three arrays with the bands after each of ``values``. Allocates room for a segment."""
    variance.series(values, window, middle, upper)
    for i in range(values.shape[0]):
        deviation = width * math.sqrt(upper[i])
        upper[i] = middle[i] + deviation
        lower[i] = middle[i] - deviation
