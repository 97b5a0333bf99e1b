"""Measures chosen cores at once: a detector pinned to each, and one reader of the kernel's counters beside them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quietcore.bridge.cycles import Counter, counter
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.histogram import BUCKETS, SHARES, highest_value, percentile
from quietcore.host.cpulist import format_cpu_list
from quietcore.jitter.attribution import CAUSES, CONTEXT_SWITCH, Core, competitors, new_pauses
from quietcore.jitter.counters import PROC, read_counts, read_tasks
from quietcore.jitter.detector import (
    ASKING_NS,
    BEGAN_NS,
    ENDED_NS,
    FAULTS,
    LOG,
    LOST_NS,
    STEPS,
    SWITCHES,
    Detector,
    drain,
)

WINDOW_SECONDS = 0.02


class Watched(threading.Thread):
    """The thread on one core; it gives up where the kernel does not let it run there."""

    def __init__(self, cpu: int, clock: Counter, duration_ns: int, threshold_ns: int) -> None:
        super().__init__(name=f"jitter-{cpu}", daemon=True)
        self.cpu = cpu
        self.detector = Detector()
        self.core = Core(cpu)
        self.seen = 0
        self.refused: OSError | None = None
        self.placed = threading.Event()
        self.begin = threading.Event()
        self._clock, self._duration_ns, self._threshold_ns = clock, duration_ns, threshold_ns

    def run(self) -> None:
        """Pin itself, wait for the others, measure."""
        try:
            os.sched_setaffinity(0, {self.cpu})
        except OSError as error:
            self.refused = error
        self.placed.set()
        self.begin.wait()
        if self.refused is None:
            self.detector.run(self._clock.tsc, self._clock.ns_per_step, self._duration_ns, self._threshold_ns)


class Meter:
    """One measurement. Use `start`, then `step` until it returns False, then `report`; or `measure`."""

    def __init__(self, cpus: Iterable[int], seconds: float, threshold_ns: int, proc: Path = PROC) -> None:
        self.cpus = sorted(set(cpus))
        self.threshold_ns = threshold_ns
        self.clock = counter()
        self._proc = proc
        self._out = np.zeros((LOG, 3), dtype=np.int64)
        self._threads = [Watched(cpu, self.clock, int(seconds * 1e9), threshold_ns) for cpu in self.cpus]
        self._allowed = os.sched_getaffinity(0)
        beside = self._allowed - set(self.cpus)
        self.reader_cpus = sorted(beside or self._allowed)
        self.reader_disturbs = not beside
        self._measuring = False

    @property
    def detectors(self) -> list[Detector]:
        """The cores' memory, in the order of ``cpus``."""
        return [thread.detector for thread in self._threads]

    def start(self) -> None:
        """Pin and start everything; raise QuietcoreError where a core may not be used."""
        warm = Detector()
        warm.run(self.clock.tsc, self.clock.ns_per_step, 0, self.threshold_ns)
        drain(warm.words, warm.log, 0, self._out)
        os.sched_setaffinity(0, self.reader_cpus)
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.placed.wait()
        refused = [thread for thread in self._threads if thread.refused is not None]
        self._own = {os.getpid()} | {thread.native_id or 0 for thread in self._threads}
        self._tasks = read_tasks(self._proc)
        if refused:
            self.stop()
            self._end()
            raise QuietcoreError(
                "core cannot be measured",
                where="CPU " + format_cpu_list(thread.cpu for thread in refused),
                found=refused[0].refused.strerror if refused[0].refused else None,
                expected=f"CPUs among {format_cpu_list(self._allowed)}",
                remedy="name CPUs that are on line and that this process may use (taskset, AllowedCPUs=)",
                code=ExitCode.USAGE,
            )
        self._counts = read_counts(self._proc)
        self._measuring = True
        for thread in self._threads:
            thread.begin.set()

    def step(self) -> bool:
        """Take one window; return whether any core is still measured."""
        running = [thread for thread in self._threads if thread.is_alive()]
        if running:
            running[0].join(WINDOW_SECONDS)
        counts = read_counts(self._proc)
        for thread in self._threads:
            logged = drain(thread.detector.words, thread.detector.log, thread.seen, self._out)
            pauses, lost = new_pauses(logged, thread.seen, self._out)
            thread.seen = logged
            thread.core.unlogged += lost
            thread.core.window(self._counts, counts, pauses)
        self._counts = counts
        return bool(running)

    def stop(self) -> None:
        """End it early; what was measured so far is good."""
        for thread in self._threads:
            thread.detector.stop()

    def _end(self) -> None:
        for thread in self._threads:
            thread.begin.set()
            if thread.ident is not None:
                thread.join()
        os.sched_setaffinity(0, self._allowed)

    def measure(self, *, interruptible: bool = True) -> dict[str, Any]:
        """Do all of it. Where ``interruptible``, Ctrl-C ends it early and is no error."""
        try:
            self.start()
            while self.step():
                pass
        except KeyboardInterrupt:
            if not interruptible or not self._measuring:
                raise
        finally:
            self.stop()
            self._end()
        self.step()
        return self.report()

    def report(self) -> dict[str, Any]:
        """Return everything, times in ns."""
        tasks = read_tasks(self._proc)
        return {
            "clock": self.clock.name,
            "threshold_ns": self.threshold_ns,
            "reader": {"cpus": self.reader_cpus, "disturbs": self.reader_disturbs},
            "cores": [
                core_report(thread, competitors(thread.cpu, self._tasks, tasks, self._own))
                for thread in self._threads
            ],
        }

    def pauses(self) -> dict[int, Any]:
        """Return each core's pauses in order, [n, 2]."""
        return {thread.cpu: thread.core.pauses_in_order() for thread in self._threads}


def core_report(thread: Watched, others: list[tuple[int, str, int]]) -> dict[str, Any]:
    """Return one core's part of the report."""
    words, core = thread.detector.words, thread.core
    spent = max(1, int(words[ENDED_NS] - words[BEGAN_NS]))
    buckets = thread.detector.buckets.sum(axis=0)
    maximum = int(thread.detector.marks[:, 1].max())
    count = int(buckets.sum())
    seconds = spent / 1e9
    causes = []
    for cause in CAUSES:
        histogram = core.pauses[cause]
        number = core.counts[cause]
        figures = histogram.summary()
        entry: dict[str, Any] = {
            "cause": cause,
            "count": number,
            "per_second": number / seconds,
            "lost_ns": core.lost_ns[cause],
            "p50": figures["p50"],
            "p99": figures["p99"],
            "max": figures["max"],
            "sources": [asdict(share) for share in core.sources(cause)],
        }
        if cause == CONTEXT_SWITCH:
            entry["sources"] = [
                {"name": f"{name} ({thread_id})", "count": None, "lost_ns": ran}
                for thread_id, name, ran in others
            ]
        causes.append(entry)
    lost = int(words[LOST_NS])
    return {
        "cpu": core.cpu,
        "seconds": seconds,
        "began_ns": int(words[BEGAN_NS]),
        "step_ns": max(0, spent - lost - int(words[ASKING_NS])) / max(1, int(words[STEPS])),
        "interruptions": count,
        "per_second": count / seconds,
        "lost_ns": lost,
        "lost_share": lost / spent,
        **{
            name: percentile(buckets, count, maximum, share) if count else None
            for name, share in SHARES.items()
        },
        "max": maximum if count else None,
        "causes": sorted(causes, key=lambda entry: -entry["lost_ns"]),
        "kernel": {
            "context_switches": int(words[SWITCHES]),
            "page_faults": int(words[FAULTS]),
            "interrupts": dict(core.interrupts.most_common()),
            "softirqs": dict(core.softirqs.most_common()),
            "steal_ns": core.steal_ns,
        },
        "unlogged": core.unlogged,
        "histogram": [[highest_value(i), int(buckets[i])] for i in range(BUCKETS) if buckets[i]],
    }
