"""Indicators inside compiled code: each step of the incremental forms, and a whole series of 1,000 prices.

Blocks of 1,000 values; the empty loop over the same values is subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.measure import Result, figure
from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.compiled import fused
from quietcore.indicators import bollinger, book, ema, rsi, scan, sma, variance, vwap

VALUES = 1000
REPEATS = 200
WINDOW = 64


def step_ema(record: Any, x: float, y: float) -> None:
    """One value."""
    ema.update(record, x, 0.1)


def step_sma(record: Any, x: float, y: float) -> None:
    """One value."""
    sma.update(record, x)


def step_variance(record: Any, x: float, y: float) -> None:
    """One value."""
    variance.update(record, x)


def step_bollinger(record: Any, x: float, y: float) -> None:
    """One value."""
    bollinger.update(record, x, 2.0)


def step_rsi(record: Any, x: float, y: float) -> None:
    """One value."""
    record.strength = rsi.update(record.rsi, x, 14)


def step_vwap(record: Any, x: float, y: float) -> None:
    """One trade."""
    vwap.update(record, x, y)


def step_imbalance(record: Any, x: float, y: float) -> None:
    """One pair of sizes."""
    record.value += book.imbalance(x, y)


def step_microprice(record: Any, x: float, y: float) -> None:
    """One quote."""
    record.value += book.microprice(x, y, x + 1.0, y + 2.0)


RSI = np.dtype([("rsi", rsi.STATE), ("strength", "<f8")])
ONE = np.dtype([("value", "<f8")])
STEPS: dict[str, tuple[Any, np.dtype[np.void]]] = {
    "EMA": (step_ema, ema.STATE),
    f"SMA, window {WINDOW}": (step_sma, sma.state(WINDOW)),
    f"rolling variance, window {WINDOW}": (step_variance, variance.state(WINDOW)),
    f"Bollinger, window {WINDOW}": (step_bollinger, bollinger.state(WINDOW)),
    "RSI": (step_rsi, RSI),
    "VWAP": (step_vwap, vwap.STATE),
    "imbalance": (step_imbalance, ONE),
    "microprice": (step_microprice, ONE),
}


def timed(step: Any) -> Callable[..., int]:
    """Return compiled code that gives the ns of ``REPEATS`` passes over the values, each value one step."""
    inner: Any = fused(step)

    def run(place: Any, values: Any, sizes: Any) -> int:
        record = place[0]
        begin = now_ns(CLOCK_MONOTONIC)
        for _ in range(REPEATS):
            for i in range(values.shape[0]):
                inner(record, values[i], sizes[i])
        return now_ns(CLOCK_MONOTONIC) - begin

    made: Callable[..., int] = fused_here(run)
    return made


def fused_here(function: Any) -> Any:
    """Compile as `fused` does, but keep nothing: closures of one name would find each other's code."""
    import numba

    return numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")(function)


def step_nothing(record: Any, x: float, y: float) -> None:
    """Read the values and keep the last sum: the loop without an indicator."""
    record.value = x + y


def measure() -> Iterator[Result]:
    """Yield the results."""
    rng = np.random.default_rng(5)
    values = np.floor(60_000 + np.cumsum(rng.normal(0, 3, VALUES)))
    sizes = rng.integers(1, 50, VALUES).astype(np.float64)
    empty = timed(step_nothing)
    nothing = np.zeros(1, dtype=ONE)
    empty(nothing, values, sizes)
    for name, (step, dtype) in STEPS.items():
        run, place = timed(step), np.zeros(1, dtype=dtype)
        run(place, values, sizes)

        def block(run: Any = run, place: Any = place) -> float:
            took = run(place, values, sizes) - empty(nothing, values, sizes)
            return float(took) / (REPEATS * VALUES)

        yield figure(f"incremental {name}", block, "ns", 2.0)

    out = np.empty(VALUES)

    def whole(prices: Any, result: Any) -> int:
        begin = now_ns(CLOCK_MONOTONIC)
        for _ in range(REPEATS):
            ema.series(prices, 0.1, result)
            prices[0] += result[5] * 1e-12  # so that no pass can be left out
        return now_ns(CLOCK_MONOTONIC) - begin

    series = fused_here(whole)
    form = "vectors" if scan.VECTORS else "plain"
    yield figure(
        "EMA over 1,000 prices", lambda: series(values, out) / REPEATS, "ns", 500.0, note=f"form: {form}"
    )
