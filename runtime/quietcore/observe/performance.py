"""Timing of users' own code, in Python and inside compiled loops: `PrecisionTimer`, `PerformanceStats`,
`measure_latency`.

In Python:

    stats = PerformanceStats("parse", targets={"p99": 5_000})
    with PrecisionTimer(stats):
        parse(message)

Inside a compiled loop, where the recorder is one argument of it:

    @compiled
    def loop(recorder, …):
        began = start(recorder)
        …
        stop(recorder, began)

    loop(stats.recorder(), …)

What a measurement costs is measured on this machine: `PrecisionTimer.cost_ns()` for the `with` block and
`compiled_cost_ns()` for a pair of start and stop; neither is taken off what is recorded.
"""

from __future__ import annotations

import functools
import inspect
import statistics
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, ParamSpec, Self, TypeVar, cast

import numpy as np

from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.compiled import lean
from quietcore.bridge.cycles import counter, time_stamp
from quietcore.histogram import (
    BUCKETS,
    COUNT,
    MARKS,
    MAXIMUM,
    SHARES,
    percentile,
    record,
    record_corrected,
    summary,
)

P = ParamSpec("P")
R = TypeVar("R")

COST_PAIRS: Final = 1000
COST_BLOCKS: Final = 15
FIGURES: Final = (*SHARES, "max")


class Recorder(NamedTuple):
    """What `start` and `stop` need inside a compiled loop; its arrays belong to a PerformanceStats."""

    tsc: bool
    ns_per_step: float
    buckets: Any  # [1, BUCKETS]
    marks: Any  # [1, MARKS]


@lean
def start(recorder: Recorder) -> int:
    """Return the time, in steps of the cheapest clock."""
    if recorder.tsc:
        return time_stamp()
    return now_ns(CLOCK_MONOTONIC)


@lean
def stop(recorder: Recorder, began: int) -> int:
    """Record the time since `start` and return it in ns."""
    ended = time_stamp() if recorder.tsc else now_ns(CLOCK_MONOTONIC)
    took = int((ended - began) * recorder.ns_per_step)
    record(recorder.buckets, recorder.marks, 0, took)
    return took


@lean
def stop_corrected(recorder: Recorder, began: int, interval_ns: int) -> int:
    """Do as `stop`, for a load that meant to go every ``interval_ns``: see `record_corrected`."""
    ended = time_stamp() if recorder.tsc else now_ns(CLOCK_MONOTONIC)
    took = int((ended - began) * recorder.ns_per_step)
    record_corrected(recorder.buckets, recorder.marks, 0, took, interval_ns)
    return took


@lean
def _pairs(recorder: Recorder, number: int) -> int:
    """Return the ns that ``number`` pairs of start and stop take."""
    began = now_ns(CLOCK_MONOTONIC)
    for _ in range(number):
        stop(recorder, start(recorder))
    return now_ns(CLOCK_MONOTONIC) - began


class PerformanceStats:
    """Latencies of one piece of code, with the targets it shall meet.

    Args:
        name: what is measured.
        targets: upper bounds in ns of p50, p90, p99, p99.9, p99.99 or max.

    Raises:
        ValueError: for a target that is none of these, or not above 0.

    >>> stats = PerformanceStats("parse", targets={"p99": 1_000})
    >>> stats.meets_targets() is None  # nothing was measured yet
    True
    >>> stats.record(800)
    >>> stats.meets_targets()
    True
    """

    def __init__(self, name: str, targets: Mapping[str, int] | None = None) -> None:
        self.name = name
        self.targets = dict(targets or {})
        for figure, bound in self.targets.items():
            if figure not in FIGURES or bound <= 0:
                raise ValueError(f"target {figure} {bound}: expected one of {', '.join(FIGURES)} above 0 ns")
        self.buckets = np.zeros((1, BUCKETS), dtype=np.int64)
        self.marks = np.zeros((1, MARKS), dtype=np.int64)

    def record(self, nanoseconds: int) -> None:
        """Count one latency; a negative one counts as not comparable."""
        record(self.buckets, self.marks, _ROW, nanoseconds)

    def record_corrected(self, nanoseconds: int, interval_ns: int) -> None:
        """Count one latency of a load that meant to send every ``interval_ns``."""
        record_corrected(self.buckets, self.marks, _ROW, nanoseconds, interval_ns)

    def recorder(self) -> Recorder:
        """Return the argument for compiled loops. One thread at a time may record into it."""
        clock = counter()
        return Recorder(clock.tsc, clock.ns_per_step, self.buckets, self.marks)

    def add(self, other: PerformanceStats) -> None:
        """Take over what another one has measured: of another thread, or another run."""
        self.buckets += other.buckets
        most = max(int(self.marks[0, MAXIMUM]), int(other.marks[0, MAXIMUM]))
        self.marks += other.marks
        self.marks[0, MAXIMUM] = most

    def clear(self) -> None:
        """Forget everything but the targets."""
        self.buckets[:] = 0
        self.marks[:] = 0

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return int(self.marks[0, COUNT])

    def figure(self, name: str) -> int | None:
        """Return p50, p90, p99, p99.9, p99.99 or max in ns, at most 1.6 % too high; None where nothing was measured."""
        if not self.count:
            return None
        most = int(self.marks[0, MAXIMUM])
        return most if name == "max" else percentile(self.buckets[0], self.count, most, SHARES[name])

    def missed(self) -> dict[str, int]:
        """Return the figures that are above their target."""
        found = {name: self.figure(name) for name in self.targets}
        return {name: at for name, at in found.items() if at is not None and at > self.targets[name]}

    def meets_targets(self) -> bool | None:
        """Tell whether every target is met; None where nothing was measured."""
        return not self.missed() if self.count else None

    def summary(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "name": self.name,
            **summary(self.buckets[0], self.marks[0]),
            "targets": self.targets,
            "met": self.meets_targets(),
        }

    def report(self) -> str:
        """Return name, count and figures in one line, each missed target beside its figure."""
        if not self.count:
            return f"{self.name}: nothing measured"
        parts = []
        missed = self.missed()
        for name in FIGURES:
            text = f"{name} {self.figure(name)} ns"
            if name in self.targets:
                text += f" ({'above' if name in missed else 'within'} {self.targets[name]} ns)"
            parts.append(text)
        return f"{self.name}: {self.count:,} measured: {', '.join(parts)}"


_ROW: Final = cast(int, np.int64(0))


class PrecisionTimer:
    """Times a block in ns by CLOCK_MONOTONIC; records it where ``stats`` is given, an exception or not.

    >>> with PrecisionTimer() as timer:
    ...     _ = sum(range(10))
    >>> timer.elapsed_ns > 0
    True
    """

    __slots__ = ("_began", "_stats", "elapsed_ns")

    def __init__(self, stats: PerformanceStats | None = None) -> None:
        self._stats = stats
        self.elapsed_ns = 0

    def __enter__(self) -> Self:
        self._began = time.monotonic_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.elapsed_ns = time.monotonic_ns() - self._began
        if self._stats is not None:
            self._stats.record(self.elapsed_ns)

    @staticmethod
    def cost_ns() -> float:
        """Return what an empty block costs that records: the median of some blocks of 1,000."""
        stats = PerformanceStats("cost")
        costs = []
        for _ in range(COST_BLOCKS):
            began = time.monotonic_ns()
            for _ in range(COST_PAIRS):
                with PrecisionTimer(stats):
                    pass
            costs.append((time.monotonic_ns() - began) / COST_PAIRS)
        return statistics.median(costs)


def compiled_cost_ns() -> float:
    """Return what a pair of start and stop costs inside compiled code: the median of some blocks of 1,000."""
    recorder = PerformanceStats("cost").recorder()
    _pairs(recorder, 1)
    return statistics.median(_pairs(recorder, COST_PAIRS) / COST_PAIRS for _ in range(COST_BLOCKS))


def measure_latency(stats: PerformanceStats) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Record every call of a function, or of a coroutine from its first step to its end, into ``stats``.

    >>> stats = PerformanceStats("add")
    >>> @measure_latency(stats)
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add(1, 2), stats.count
    (3, 1)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with PrecisionTimer(stats):
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with PrecisionTimer(stats):
                return function(*args, **kwargs)

        return called

    return decorate
