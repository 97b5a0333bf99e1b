"""Who interrupts the CPUs and the pipeline's threads, by the kernel's own counters.

Read from /proc alone, from wherever the reader runs: no core is disturbed, and none is measured from within, as
`quietcore jitter` does. So there are counts and sums here, no sizes of single interruptions.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from quietcore.host.texts.tasks import TaskStatus, read_sched_stat
from quietcore.host.unreadable import NotUnderstoodError
from quietcore.jitter.counters import Counts, read_counts
from quietcore.monitoring.cores import planned


class Switches(NamedTuple):
    """What happened to a thread since its start."""

    given_up: int
    taken: int
    waited_ns: int


class InterruptionWatch:
    """Looks again and again, at most once in ``least_seconds``: with many CPUs the tables are long."""

    def __init__(self, plan: Path, proc: Path = Path("/proc"), least_seconds: float = 0.9) -> None:
        self._plan, self._proc, self._least = plan, proc, least_seconds
        self._at = 0.0
        self._cores: list[dict[str, Any]] = []

    def look(self, runtime: dict[str, Any] | None, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return ``cores`` and ``threads``, totals since the start of the host or of the thread.

        Each CPU has ``cpu``, ``role``, ``isolated``, ``interrupts``, ``softirqs`` and ``steal_ns``; each thread of a
        runtime that lives, and each feed handler's receiving thread, has ``name``, ``pinned``, ``given_up`` and
        ``taken`` (context switches of its own will, and not), ``waited_ns`` (it could run and did not).
        """
        now = time.monotonic()
        if not self._at or now - self._at >= self._least:
            self._cores, self._at = self._look_at_cores(), now
        return {"cores": self._cores, "threads": self._threads(runtime, feeds)}

    def _look_at_cores(self) -> list[dict[str, Any]]:
        try:
            counts: Counts = read_counts(self._proc)
        except (OSError, NotUnderstoodError):
            return []  # a container may hide them
        roles, isolated = planned(self._plan)
        return [
            {
                "cpu": cpu,
                "role": roles.get(cpu, ""),
                "isolated": cpu in isolated,
                "interrupts": sum(sources.values()),
                "softirqs": sum(counts.softirqs.get(cpu, {}).values()),
                "steal_ns": counts.steal_ns.get(cpu, 0),
            }
            for cpu, sources in sorted(counts.interrupts.items())
        ]

    def _threads(self, runtime: dict[str, Any] | None, feeds: dict[str, Any]) -> list[dict[str, Any]]:
        wanted: dict[str, tuple[int, bool]] = {}
        if runtime is not None and runtime["state"] == "alive":
            # Of several threads of one name the first stands for all.
            for thread in reversed(runtime["threads"]):
                wanted[thread["name"]] = (int(thread["tid"]), str(thread["allowed"]).isdecimal())
        for name, feed in feeds.items():
            if feed.get("producer") == "alive":
                wanted[f"feed {name}"] = (int(feed["pid"]), feed["statistics"]["cpu"] > 0)
        found = []
        for name, (tid, pinned) in wanted.items():
            switches = self._switches(tid)
            if switches is not None:
                found.append({"name": name, "pinned": pinned, **switches._asdict()})
        return found

    def _switches(self, tid: int) -> Switches | None:
        """Return a thread's counts; None where it has ended, or is not ours to see."""
        folder = self._proc / str(tid)
        try:
            status = TaskStatus((folder / "status").read_text(errors="replace"), str(folder / "status"))
            run = read_sched_stat((folder / "schedstat").read_text(), str(folder / "schedstat"))
            return Switches(status.given_up, status.taken, run.waited_ns)
        except (OSError, NotUnderstoodError):
            return None
