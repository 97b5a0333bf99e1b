"""Exponential moving average: begins with the first value, then value += alpha · (x - value)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators.scan import scan

STATE: Final = np.dtype([("value", "<f8"), ("count", "<i8")])


def alpha_of(span: float) -> float:
    """Return the weight of the newest value for a span in values: 2 / (span + 1)."""
    return 2.0 / (span + 1.0)


@fused
def update(record: Any, x: float, alpha: float) -> float:
    """Take one value; return the average."""
    record.value = alpha * x + (1.0 - alpha) * record.value if record.count else x
    record.count += 1
    return float(record.value)


@fused
def series(values: Any, alpha: float, out: Any) -> None:
    """Fill ``out`` with the average after each of ``values``, both contiguous float64 of one length."""
    if values.shape[0]:
        out[0] = values[0]
        scan(values[1:], alpha, 1.0 - alpha, values[0], out[1:])
