"""Timers for users' own code, in Python and inside compiled loops, and what the pipeline's own measuring costs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietcore.bridge.compiled import compiled
from quietcore.histogram import Histogram, record_corrected
from quietcore.observe.performance import (
    PerformanceStats,
    PrecisionTimer,
    Recorder,
    compiled_cost_ns,
    measure_latency,
    start,
    stop,
    stop_corrected,
)


def test_a_timer_measures_the_block_and_records_it() -> None:
    stats = PerformanceStats("nap")
    with PrecisionTimer(stats) as timer:
        time.sleep(0.002)
    assert timer.elapsed_ns >= 2_000_000
    assert stats.count == 1
    assert stats.figure("max") == timer.elapsed_ns
    with pytest.raises(ZeroDivisionError), PrecisionTimer(stats):
        _ = 1 // 0
    assert stats.count == 2, "a block that raises took its time, too"


def test_targets() -> None:
    stats = PerformanceStats("order", targets={"p50": 100, "p99": 1000, "max": 5000})
    assert stats.meets_targets() is None
    assert stats.report() == "order: nothing measured"
    for _ in range(95):
        stats.record(50)
    for _ in range(5):
        stats.record(2000)
    assert stats.meets_targets() is False
    assert set(stats.missed()) == {"p99"}
    assert "above 1000 ns" in stats.report()
    assert "p50 50 ns (within 100 ns)" in stats.report()
    assert stats.summary()["met"] is False
    stats.targets["p99"] = 2100
    assert stats.meets_targets() is True
    stats.clear()
    assert stats.count == 0


@pytest.mark.parametrize("targets", [{"p42": 1}, {"p99": 0}])
def test_a_target_that_is_none_is_refused(targets: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected one of p50"):
        PerformanceStats("x", targets)


def test_stats_add_up() -> None:
    one, other = PerformanceStats("x"), PerformanceStats("x")
    one.record(10)
    other.record(500)
    one.add(other)
    assert one.count == 2
    assert one.figure("max") == 500
    assert one.figure("p50") == 10


def test_functions_and_coroutines_are_measured() -> None:
    stats = PerformanceStats("call")

    @measure_latency(stats)
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    @measure_latency(stats)
    async def nap() -> str:
        await asyncio.sleep(0.002)
        return "done"

    assert add(1, b=5) == 6
    assert add.__doc__ == "Add."
    assert stats.count == 1
    assert asyncio.run(nap()) == "done"
    assert stats.count == 2
    most = stats.figure("max")
    assert most is not None
    assert most >= 1_500_000, "the wait inside the coroutine counts"


@compiled
def measured_loop(recorder: Recorder, values: Any, rounds: int) -> int:
    total = 0
    for _ in range(rounds):
        began = start(recorder)
        for i in range(values.shape[0]):
            total += values[i]
        stop(recorder, began)
    return total


@compiled
def stop_at(recorder: Recorder, began: int, interval: int) -> int:
    return stop_corrected(recorder, began, interval)


@pytest.mark.machine_code
def test_a_compiled_loop_records() -> None:
    short, long = PerformanceStats("short"), PerformanceStats("long")
    values = np.arange(100_000, dtype=np.int64)
    assert measured_loop(short.recorder(), values[:10], 200) == 45 * 200
    assert measured_loop(long.recorder(), values, 200) > 0
    assert short.count == long.count == 200
    fast, slow = short.figure("p50"), long.figure("p50")
    assert fast is not None
    assert slow is not None
    assert slow > fast


@pytest.mark.machine_code
def test_a_pair_costs_what_is_said() -> None:
    """A bound that no machine of these days misses: it is a few reads of a clock, not a call of the kernel."""
    assert 0 < compiled_cost_ns() < 2_000
    assert 0 < PrecisionTimer.cost_ns() < 100_000


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 50), st.integers(1, 1000))
def test_what_a_stalled_load_did_not_send_counts(times: int, interval: int) -> None:
    histogram = Histogram()
    value = times * interval
    record_corrected(histogram.buckets, histogram.marks, 0, value, interval)
    summary = histogram.summary()
    assert summary["count"] == times, "value, value - interval … down to one interval"
    assert summary["max"] == value


def test_a_stall_in_a_compiled_load_is_corrected() -> None:
    stats = PerformanceStats("load")
    recorder = stats.recorder()
    began = measured_begin(recorder)
    time.sleep(0.01)
    took = stop_at(recorder, began, 1_000_000)
    assert stats.count == took // 1_000_000


@compiled
def measured_begin(recorder: Recorder) -> int:
    return start(recorder)


@pytest.mark.machine_code
def test_the_pipelines_measuring_costs_little() -> None:
    """The goal is 10 ns a tick on a quiet machine (runtime/bench); here only that it has not become another order."""
    from bench.instrumentation import measure

    result = next(measure())
    assert result.unit == "ns/tick"
    assert result.low < 100
