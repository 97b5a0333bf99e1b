"""How long processes were ready to run and got no CPU: a bound is stretched by that, and by nothing else.

On a machine that has a core for everybody it is next to nothing; beside a compiler's run it can be most of the time.
Source: /proc/PID/task/TID/schedstat, second number, ns (Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

MOST_SECONDS = 60.0
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
        """Return what the thread that was starved most has waited, at most MOST_SECONDS."""
        found = waits(self._pids())
        worst = max((now - self._before.get(thread, 0) for thread, now in found.items()), default=0)
        return min(worst / 1e9, MOST_SECONDS)
