"""Medians of blocks with their interval, and verdicts.

The interval of the median comes from the order of the blocks (a sign test), so it assumes nothing of their
distribution. A goal is met where the whole interval lies inside it, missed where it lies outside, else undecided.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

BLOCKS = 25
MET, MISSED, UNDECIDED, NO_GOAL = "met", "missed", "undecided", ""

Block = Callable[[], float]


class Result(NamedTuple):
    """One line of the report. ``value`` with its 95 % interval, in ``unit``; ``goal``: its bound as text."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    goal: str
    verdict: str
    blocks: int
    note: str = ""


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median; without enough values, everything."""
    ordered, n = sorted(values), len(values)
    below = 0.0
    for k in range(n // 2):
        below += math.comb(n, k) / 2.0**n
        if 2 * below > 0.05:
            return (ordered[k - 1], ordered[n - k]) if k else (-math.inf, math.inf)
    return -math.inf, math.inf


def verdict(low: float, high: float, goal: float) -> str:
    """Return whether the interval lies inside a goal that is an upper bound."""
    return MET if high <= goal else MISSED if low > goal else UNDECIDED


def figure(
    name: str, block: Block, unit: str, goal: float | None = None, *, note: str = "", blocks: int = BLOCKS
) -> Result:
    """Take the median of blocks against a bound on the figure itself, where there is one."""
    block()
    values = [block() for _ in range(blocks)]
    low, high = interval(values)
    judged = NO_GOAL if goal is None else verdict(low, high, goal)
    text = "" if goal is None else f"≤ {goal:g} {unit}"
    return Result(name, statistics.median(values), low, high, unit, text, judged, blocks, note)
