"""The host's CPUs: what the plan sets each aside for, how busy it was since the last look, and who ran on it.

Read from /proc alone, which disturbs no core: the kernel keeps these counts whether or not anybody reads them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.texts.tasks import read_task_stat

PLAN = Path("/etc/quietcore/plan.json")
MOST_RUNNERS = 4


class Ran(NamedTuple):
    """What a thread has used so far, and where it ran last."""

    name: str
    clock_ticks: int
    cpu: int


def planned(plan: Path) -> tuple[dict[int, str], set[int]]:
    """Return what each CPU is set aside for by the core plan, and those that are isolated; nothing without a plan."""
    try:
        found = json.loads(plan.read_text(encoding="utf-8"))
        roles: dict[int, str] = {}
        for name, cpus in found["sets"].items():
            for cpu in cpus:
                roles[cpu] = f"{roles[cpu]}, {name}" if cpu in roles else name
        return roles, set(found["isolated"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, set()


class CoreWatch:
    """Looks at CPUs and threads; shares are of the time between two looks, at least ``least_seconds`` apart."""

    def __init__(self, plan: Path = PLAN, proc: Path = Path("/proc"), least_seconds: float = 0.9) -> None:
        self._plan, self._proc, self._least = plan, proc, least_seconds
        self._hertz = os.sysconf("SC_CLK_TCK")
        self._at = 0.0
        self._busy: dict[int, tuple[int, int]] = {}
        self._threads: dict[tuple[int, int], Ran] = {}
        self._shown: list[dict[str, Any]] = []

    def look(self) -> list[dict[str, Any]]:
        """Return one entry a CPU: ``cpu``, ``role``, ``isolated``, ``busy`` (0 to 1, None at first), ``ran``.

        ``ran`` lists the threads that used it most, busiest first: name, pid, tid, share.
        """
        now = time.monotonic()
        if self._at and now - self._at < self._least:
            return self._shown
        seconds = now - self._at if self._at else 0.0
        roles, isolated = planned(self._plan)
        busy, threads = dict(self._cpu_times()), dict(self._thread_times())
        ran: dict[int, list[dict[str, Any]]] = {}
        if seconds:
            for key, thread in threads.items():
                before = self._threads.get(key)
                used = thread.clock_ticks - (before.clock_ticks if before else 0)
                # A thread that appeared meanwhile used its time since its start, not since the last look.
                if used > 0 and (before is not None or used <= seconds * self._hertz):
                    share = min(1.0, used / self._hertz / seconds)
                    entry = {"name": thread.name, "pid": key[0], "tid": key[1], "share": round(share, 3)}
                    ran.setdefault(thread.cpu, []).append(entry)
        shown = []
        for cpu, (working, total) in sorted(busy.items()):
            before_working, before_total = self._busy.get(cpu, (working, total))
            passed = total - before_total
            runners = sorted(ran.get(cpu, []), key=lambda entry: -entry["share"])[:MOST_RUNNERS]
            shown.append(
                {
                    "cpu": cpu,
                    "role": roles.get(cpu, ""),
                    "isolated": cpu in isolated,
                    "busy": self._share(working - before_working, passed),
                    "ran": runners,
                }
            )
        self._at, self._busy, self._threads, self._shown = now, busy, threads, shown
        return shown

    @staticmethod
    def _share(worked: int, passed: int) -> float | None:
        """Return a share of the time; the kernel's idle time may step back a little (proc(5))."""
        return round(min(1.0, max(0.0, worked / passed)), 3) if passed > 0 else None

    def _cpu_times(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield each CPU's clock ticks at work and in all, from /proc/stat."""
        place = self._proc / "stat"
        for cpu, times in read_cpu_times(place.read_text(), str(place)).items():
            yield cpu, (times.working, times.total)

    def _thread_times(self) -> Iterator[tuple[tuple[int, int], Ran]]:
        for process in self._proc.iterdir():
            if not process.name.isdecimal():
                continue
            try:
                tasks = list((process / "task").iterdir())
            except OSError:
                continue  # it ended while we looked
            for task in tasks:
                try:
                    text = (task / "stat").read_text(errors="replace")
                except OSError:
                    continue
                stat = read_task_stat(text, str(task / "stat"))
                ticks = stat.user_ticks + stat.system_ticks
                yield (int(process.name), stat.tid), Ran(stat.name, ticks, stat.processor)
