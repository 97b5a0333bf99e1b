"""How long processes were ready to run and got no CPU: a bound is stretched by that, and by nothing else.

On a machine that has a core for everybody it is next to nothing; beside a compiler's run it can be most of the time.
Source: /proc/PID/task/TID/schedstat, second number, ns (Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

Waits = dict[tuple[int, str], int]


def waits(pids: Iterable[int]) -> Waits:
    """Return the ns that each thread of these processes has waited for a CPU."""
    found: Waits = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    found[pid, task.name] = int((task / "schedstat").read_text().split()[1])
    return found


class Starvation:
    """Counts from its making. ``pids``: asked again at each look, for processes come and go."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._before = waits(pids())

    def seconds(self) -> float:
        """Return the sum over the processes, which wait for each other, of what their worst thread has waited."""
        worst: dict[int, int] = {}
        for (pid, task), now in waits(self._pids()).items():
            more = now - self._before.get((pid, task), 0)
            worst[pid] = max(worst.get(pid, 0), more)
        return sum(worst.values()) / 1e9
