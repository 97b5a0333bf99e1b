"""Paired blocks, ratios with their interval, and verdicts.

Blocks of a thing and of its reference alternate; a pair counts only where the references before and after it agree
within a quarter. The interval of the median comes from the order of the ratios (a sign test), so it assumes nothing of
their distribution. A goal is met where the whole interval lies inside it, missed where it lies outside, else undecided.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

LARGEST_DRIFT = 0.25
PAIRS = 25
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


def verdict(low: float, high: float, goal: float, *, at_most: bool) -> str:
    """Return whether the interval lies inside the goal."""
    if at_most:
        return MET if high <= goal else MISSED if low > goal else UNDECIDED
    return MET if low >= goal else MISSED if high < goal else UNDECIDED


def ratio(
    name: str,
    thing: Block,
    reference: Block,
    goal: float,
    *,
    at_most: bool,
    note: str = "",
    pairs: int = PAIRS,
) -> Result:
    """Compare blocks of ``thing`` with blocks of ``reference``, both returning the same kind of figure."""
    thing(), reference()
    ratios, before = [], reference()
    for _ in range(pairs):
        value, after = thing(), reference()
        if abs(after - before) <= LARGEST_DRIFT * min(after, before):
            ratios.append(value / ((before + after) / 2))
        before = after
    text = f"{'≤' if at_most else '≥'} {goal:g}"
    if not ratios:
        nothing = "the reference did not hold still"
        return Result(name, math.nan, -math.inf, math.inf, "×", text, UNDECIDED, 0, nothing)
    low, high = interval(ratios)
    judged = verdict(low, high, goal, at_most=at_most)
    return Result(name, statistics.median(ratios), low, high, "×", text, judged, len(ratios), note)


def figure(
    name: str, block: Block, unit: str, goal: float | None = None, *, note: str = "", blocks: int = PAIRS
) -> Result:
    """Take the median of blocks against a bound on the figure itself, where there is one."""
    block()
    values = [block() for _ in range(blocks)]
    low, high = interval(values)
    judged = NO_GOAL if goal is None else verdict(low, high, goal, at_most=True)
    text = "" if goal is None else f"≤ {goal:g} {unit}"
    return Result(name, statistics.median(values), low, high, unit, text, judged, blocks, note)
