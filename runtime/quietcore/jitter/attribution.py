"""From pauses and counters to causes.

Two causes are known for each pause: it switched the thread out, or it was a page fault of its own. The rest are
shared out in windows of some ms: of G such pauses in a window in which the kernel counted I interrupts on that
core, min(G, I) were interrupts, spread over the sources as the counts are; the longest of them, as many as softirqs
ran, were interrupts with softirqs behind them. What is left, the shortest, nobody counted: hypervisor, firmware,
frequency change.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quietcore.histogram import Histogram
from quietcore.jitter.counters import Counts, Task, grown
from quietcore.jitter.detector import FAULTED, LOG, OTHER, SWITCHED

CONTEXT_SWITCH: Final = "context switch"
PAGE_FAULT: Final = "page fault"
INTERRUPT: Final = "interrupt"
SOFTIRQ: Final = "softirq"
UNEXPLAINED: Final = "unexplained"
CAUSES: Final = (CONTEXT_SWITCH, PAGE_FAULT, INTERRUPT, SOFTIRQ, UNEXPLAINED)
MOST_SOURCES: Final = 8


@dataclass(frozen=True)
class Share:
    """How many pauses, and how much of the time, one source has by the counts."""

    name: str
    count: float
    lost_ns: float


class Core:
    """What is known of one core so far."""

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu
        self.pauses = {cause: Histogram() for cause in CAUSES}
        self.lost_ns: dict[str, int] = dict.fromkeys(CAUSES, 0)
        self.counts: Counter[str] = Counter()
        self.interrupts: Counter[str] = Counter()
        self.softirqs: Counter[str] = Counter()
        self.steal_ns = 0
        self.unlogged = 0
        self._shares: dict[tuple[str, str], list[float]] = {}
        self.series: list[Any] = []  # arrays [n, 2]: end of the pause in CLOCK_MONOTONIC ns, its length

    def window(self, before: Counts, after: Counts, pauses: Any) -> None:
        """Take one window: ``pauses`` [n, 3] int64, as `drain` gives them."""
        interrupts = grown(before.interrupts.get(self.cpu, {}), after.interrupts.get(self.cpu, {}))
        softirqs = grown(before.softirqs.get(self.cpu, {}), after.softirqs.get(self.cpu, {}))
        self.interrupts.update(interrupts)
        self.softirqs.update(softirqs)
        self.steal_ns += max(0, after.steal_ns.get(self.cpu, 0) - before.steal_ns.get(self.cpu, 0))
        if not len(pauses):
            return
        self.series.append(pauses[:, :2].copy())
        lengths, rows = pauses[:, 1], pauses[:, 2]
        self._add(CONTEXT_SWITCH, lengths[rows == SWITCHED])
        self._add(PAGE_FAULT, lengths[rows == FAULTED])
        others = np.sort(lengths[rows == OTHER])[::-1]
        by_interrupt = min(len(others), sum(interrupts.values()))
        with_softirq = min(by_interrupt, sum(softirqs.values()))
        self._add(SOFTIRQ, others[:with_softirq], softirqs)
        self._add(INTERRUPT, others[with_softirq:by_interrupt], interrupts)
        if with_softirq:
            # The interrupt that brought the softirq is worth knowing, too.
            self._share(SOFTIRQ, others[:with_softirq], interrupts, "after interrupt ")
        self._add(UNEXPLAINED, others[by_interrupt:])

    def _add(self, cause: str, lengths: Any, sources: dict[str, int] | None = None) -> None:
        for length in lengths.tolist():
            self.pauses[cause].record(length)
        self.counts[cause] += len(lengths)
        self.lost_ns[cause] += int(lengths.sum())
        if sources and len(lengths):
            self._share(cause, lengths, sources, "")

    def _share(self, cause: str, lengths: Any, sources: dict[str, int], prefix: str) -> None:
        total, lost = sum(sources.values()), float(lengths.sum())
        for name, count in sources.items():
            share = self._shares.setdefault((cause, prefix + name), [0.0, 0.0])
            share[0] += len(lengths) * count / total
            share[1] += lost * count / total

    def sources(self, cause: str) -> list[Share]:
        """Return the sources of a cause, those with the most time first."""
        found = [Share(name, *share) for (owner, name), share in self._shares.items() if owner == cause]
        return sorted(found, key=lambda share: -share.lost_ns)[:MOST_SOURCES]

    def pauses_in_order(self) -> Any:
        """Return [n, 2] int64: when each pause ended (CLOCK_MONOTONIC ns) and how long it was."""
        return np.concatenate(self.series) if self.series else np.zeros((0, 2), dtype=np.int64)


def new_pauses(logged: int, seen: int, out: Any) -> tuple[Any, int]:
    """Return the pauses that `drain` wrote, and how many of the new ones the log no longer had."""
    fresh = logged - seen
    kept = min(fresh, LOG)
    return out[:kept], fresh - kept


def competitors(
    cpu: int, before: dict[int, Task], after: dict[int, Task], own: set[int]
) -> list[tuple[int, str, int]]:
    """Return (thread id, name, ns it ran) of the others seen last on ``cpu``, those that ran longest first.

    A thread that began and ended in between is not seen; one that moved between CPUs counts where it was last.
    """
    found = []
    for thread, task in after.items():
        earlier = before.get(thread)
        ran = task.ran_ns - (earlier.ran_ns if earlier is not None else 0)
        if task.cpu == cpu and ran > 0 and thread not in own:
            found.append((thread, task.name, ran))
    return sorted(found, key=lambda item: -item[2])[:MOST_SOURCES]
