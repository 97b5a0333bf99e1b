"""Ratios and differences of paired blocks, and the verdict on a goal: met, missed or undecided."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
LARGEST_DRIFT = 0.25
"""A pair is dropped where the reference before and after it differ by more than this share."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the pairs' ratios (or differences) with a 95 % interval; too few pairs leave it unbounded."""

    median: float
    low: float
    high: float
    kept: int
    dropped: int

    def meets(self, goal: float, *, at_most: bool = False) -> bool | None:
        """Tell whether the goal holds: only where the whole interval lies on one side; None where it does not."""
        if at_most:
            return True if self.high <= goal else False if self.low > goal else None
        return True if self.low >= goal else False if self.high < goal else None


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median from the order of the values alone: no distribution is assumed.

    With n values the k-th smallest and the k-th largest enclose the median with probability
    1 - 2 P(Binomial(n, 1/2) < k); fewer than six values enclose it too seldom whatever k is.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside = 0.0
    rank = 0
    while rank < count // 2:
        outside += 2 * math.comb(count, rank) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        rank += 1
    if rank == 0:
        return -math.inf, math.inf
    return ordered[rank - 1], ordered[count - rank]


def paired(references: Sequence[float], values: Sequence[float]) -> Ratio:
    """Compare values with the references measured around them: references[i] before, [i + 1] after values[i]."""
    return _of_pairs(references, values, lambda value, reference: value / reference)


def paired_differences(references: Sequence[float], values: Sequence[float]) -> Ratio:
    """Take from each value the mean of the references around it; as `paired` otherwise."""
    return _of_pairs(references, values, lambda value, reference: value - reference)


def _of_pairs(
    references: Sequence[float], values: Sequence[float], compare: Callable[[float, float], float]
) -> Ratio:
    if len(references) != len(values) + 1:
        raise ValueError(f"{len(values)} values need {len(values) + 1} references, not {len(references)}")
    compared = []
    for value, before, after in zip(values, references, references[1:], strict=False):
        if abs(after - before) <= LARGEST_DRIFT * min(before, after):
            compared.append(compare(value, (before + after) / 2))
    dropped = len(values) - len(compared)
    if not compared:
        return Ratio(math.nan, -math.inf, math.inf, 0, dropped)
    low, high = median_interval(compared)
    return Ratio(statistics.median(compared), low, high, len(compared), dropped)
