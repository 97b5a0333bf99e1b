"""Volume-weighted average price of all trades since the last reset; 0 before the first."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge.compiled import fused
from quietcore.indicators.scan import scan

STATE: Final = np.dtype([("worth", "<f8"), ("volume", "<f8")])


@fused
def update(record: Any, price: float, size: float) -> float:
    """Take one trade; return the average."""
    record.worth += price * size
    record.volume += size
    return float(record.worth / record.volume) if record.volume > 0.0 else 0.0


@fused
def reset(record: Any) -> None:
    """Begin anew, for example with a new day."""
    record.worth = 0.0
    record.volume = 0.0


@fused
def series(prices: Any, sizes: Any, out: Any) -> None:
    """Fill ``out`` with the average after each trade. Allocates an array of their length."""
    volume = np.empty(prices.shape[0], dtype=np.float64)
    for i in range(prices.shape[0]):
        out[i] = prices[i] * sizes[i]
    scan(out, 1.0, 1.0, 0.0, out)
    scan(sizes, 1.0, 1.0, 0.0, volume)
    for i in range(prices.shape[0]):
        out[i] = out[i] / volume[i] if volume[i] > 0.0 else 0.0
