"""Measuring every target on this host, one group after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from quietcore.compare.collect import AbsentError, make_suite
from quietcore.errors import QuietcoreError
from quietcore.jitter.meter import Meter
from quietcore.targets import compiled_steps, feed_handler, pipeline
from quietcore.targets.cache import hit_share
from quietcore.targets.outcome import Absent, Found, Measured, exactly

JITTER_THRESHOLD_NS = 1000
MOST_ROUNDS = 6  # of the pipeline's measurement, until each hop has enough latencies


def rate_of(rates: Any) -> Measured:
    """Return the mean of rates between the bounds of twice its standard error."""
    mean, error = float(np.mean(rates)), float(np.std(rates)) / max(1.0, len(rates) - 1) ** 0.5
    return Measured(mean, mean - 2 * error, mean + 2 * error, f"mean of {len(rates)} pieces")


def of_cores(cpus: list[int], seconds: float) -> Found:
    """Measure jitter, and single steps and a line of the log on the last of the cores."""
    report = Meter(cpus, seconds, JITTER_THRESHOLD_NS).measure(interruptible=False)
    worst = max(report["cores"], key=lambda core: core["p99"] or 0)
    note = f"CPU {worst['cpu']}, {worst['interruptions']:,} interruptions in {worst['seconds']:.0f} s"
    found: Found = {
        "jitter": exactly(float(worst["p99"] or 0), note),
        "log": feed_handler.log_line(cpus[-1]),
    }
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpus[-1]})
    try:
        return found | compiled_steps.measure()
    finally:
        os.sched_setaffinity(0, before)


def of_feed(cpus: list[int], seconds: float) -> Found:
    """Measure reading the ring, its cache hits, and the feed handler's rate."""
    found: Found = {}
    try:
        with make_suite("ring", cpus) as suite:
            taken = suite.measure(seconds)["tick read"]
            found["ring_tick"] = exactly(
                float(np.quantile(taken.latencies, 0.99)), f"{len(taken.latencies):,} batches"
            )
            found["ring_rate"] = rate_of(taken.rates)
            found["cache"] = hit_share(lambda: suite.measure(min(seconds, 0.3)))
        with make_suite("book", cpus) as suite:
            found["messages"] = rate_of(suite.measure(seconds)["messages"].rates)
    except AbsentError as error:
        for key in ("ring_tick", "ring_rate", "cache", "messages"):
            found.setdefault(key, Absent(str(error)))
    return found


def of_pipeline(status_path: Path, seconds: float, *, start: bool) -> tuple[Found, str]:
    """Measure the running pipeline, or one against the simulator that is started for it; say which."""
    status = pipeline.fresh_status(status_path)
    if status is not None:
        found = pipeline.of_threads(status, seconds)
        later = pipeline.fresh_status(status_path) or status
        found["endpoint_switch"] = Absent(
            "a feed that trades is not switched to measure it; `quietcore-feed control switch` says how long it took"
        )
        return found | pipeline.of_hops(later["hops"]), f"the runtime that runs here (pid {status['pid']})"
    if not start:
        return pipeline.without_pipeline(), "none"
    from quietcore.compare.suite_order import OrderSuite

    where = "one against the simulator, not pinned, for this measurement alone"
    try:
        with OrderSuite() as suite:
            suite.measure(seconds)
            status = suite.status()
            for _ in range(MOST_ROUNDS - 1):
                if pipeline.enough(status["hops"]):
                    break
                suite.measure(seconds)
                status = suite.status()
            found = pipeline.of_threads(status, 1.0) | pipeline.of_hops(status["hops"])
            found["endpoint_switch"] = feed_handler.endpoint_switch(*suite.endpoint())
            return found, where
    except (AbsentError, QuietcoreError) as error:
        return dict.fromkeys(pipeline.without_pipeline(), Absent(str(error))), where


def everything(
    cpus: Iterable[int],
    status_path: Path,
    seconds: float,
    *,
    start: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Found, str]:
    """Measure all targets; return what was found, and which pipeline it was."""
    chosen = sorted(cpus)
    tell("cores")
    found = of_cores(chosen, seconds)
    tell("ring and feed")
    found |= of_feed(chosen, min(seconds, 3.0))
    tell("pipeline")
    running, which = of_pipeline(status_path, seconds, start=start)
    return found | running, which
