"""The verdicts: better, worse, no difference or too few, over all comparisons at once.

One run against itself shall be called different in 1 of 100 reports at most: that 1 % is divided by the number of
comparisons in the report (Bonferroni), so every interval of a report holds at once with 99 %. The maximum is a single
value that says little about the next run's: it is shown, and never judged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from quietcore.compare.bootstrap import LEAST_BEYOND, LEAST_BLOCKS, Estimate, Pair
from quietcore.compare.series import HIGHER, Metric, Run

ALPHA: Final = 0.01
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
RATE = "rate"
BETTER, WORSE, SAME, TOO_FEW = "better", "worse", "no difference", "too few"
# Regressions first; what could not be judged stands before what is well.
ORDER: Final = {WORSE: 0, TOO_FEW: 1, BETTER: 2, SAME: 3}


@dataclass(frozen=True)
class Row:
    """One comparison. ``n`` are the values on either side; ``needed`` is how many a verdict wants."""

    metric: str
    figure: str
    unit: str
    n: tuple[int, int]
    rounds: tuple[int, int]
    estimate: Estimate | None
    verdict: str
    needed: int = 0

    @property
    def change(self) -> float:
        """How much the figure changed, as a share of what it was."""
        return self.estimate.ratio - 1 if self.estimate is not None else 0.0


@dataclass(frozen=True)
class Comparison:
    """The whole report."""

    before: str
    after: str
    rows: list[Row]
    maxima: dict[str, tuple[float, float]]
    only: dict[str, str]  # metrics that only one run has
    absent: dict[str, str]
    warnings: list[str]
    comparisons: int

    @property
    def worst(self) -> str:
        """The verdict of the first row, SAME without any."""
        return self.rows[0].verdict if self.rows else SAME

    def to_json(self) -> dict[str, Any]:
        """Return everything for --json."""
        return {
            "before": self.before,
            "after": self.after,
            "alpha": ALPHA,
            "comparisons": self.comparisons,
            "rows": [asdict(row) for row in self.rows],
            "maxima": self.maxima,
            "only": self.only,
            "absent": self.absent,
            "warnings": self.warnings,
        }


def judge(found: Estimate, *, higher_is_better: bool, resolution: float) -> str:
    """Return the verdict of one comparison from its interval."""
    if abs(found.after - found.before) < resolution or found.low <= 1.0 <= found.high:
        return SAME
    return BETTER if (found.ratio > 1.0) == higher_is_better else WORSE


def needed_for(p: float) -> int:
    """Return how many values a verdict on a quantile needs, so that enough lie beyond it."""
    return max(4 * LEAST_BLOCKS, round(LEAST_BEYOND / min(p, 1 - p)))


def figures_of(metric: Metric, other: Metric) -> list[str]:
    """Return what can be compared of a metric that both runs have."""
    figures = list(QUANTILES) if metric.count and other.count else []
    return figures + ([RATE] if any(metric.rates) and any(other.rates) else [])


def compare_metric(
    name: str, before: Metric, after: Metric, *, alpha: float, paired: bool, rng: np.random.Generator
) -> list[Row]:
    """Compare one metric."""
    rows = []
    if before.count and after.count:
        counts, rounds = (before.count, after.count), (len(before.rounds), len(after.rounds))
        pair = Pair(filled(before.rounds), filled(after.rounds), paired=paired, rng=rng)
        resolution = max(before.resolution, after.resolution)
        for figure, p in QUANTILES.items():
            if min(counts) < needed_for(p):
                rows.append(Row(name, figure, before.unit, counts, rounds, None, TOO_FEW, needed_for(p)))
                continue
            found = pair.quantile(p, alpha)
            verdict = judge(found, higher_is_better=False, resolution=resolution)
            rows.append(Row(name, figure, before.unit, counts, rounds, found, verdict))
    if any(before.rates) and any(after.rates):
        pieces = sum(map(len, before.rates)), sum(map(len, after.rates))
        rounds = len(before.rates), len(after.rates)
        if min(pieces) < 2 * LEAST_BLOCKS:
            rows.append(Row(name, RATE, "1/s", pieces, rounds, None, TOO_FEW, 2 * LEAST_BLOCKS))
        else:
            found = Pair(filled(before.rates), filled(after.rates), paired=paired, rng=rng).mean(alpha)
            verdict = judge(found, higher_is_better=before.better_rate == HIGHER, resolution=0.0)
            rows.append(Row(name, RATE, "1/s", pieces, rounds, found, verdict))
    return rows


def filled(rounds: list[list[float]]) -> list[list[float]]:
    """Return the rounds that have values: a round without an interruption says so by its rate alone."""
    return [one for one in rounds if one]


def comparisons_of(before: Run, after: Run) -> int:
    """Return how many comparisons two runs allow."""
    return sum(
        len(figures_of(metric, after.metrics[name]))
        for name, metric in before.metrics.items()
        if name in after.metrics
    )


def compare(before: Run, after: Run, *, seed: int = 1, comparisons: int | None = None) -> Comparison:
    """Compare everything that both runs have. ``seed`` makes the draws the same each time.

    ``comparisons``: how many the report has in all, where this is a part of it.
    """
    rng = np.random.default_rng(seed)
    common = [name for name in before.metrics if name in after.metrics]
    number = comparisons_of(before, after) if comparisons is None else comparisons
    paired = bool(before.paired) and before.paired == after.paired
    rows: list[Row] = []
    maxima = {}
    for name in common:
        one, other = before.metrics[name], after.metrics[name]
        rows += compare_metric(name, one, other, alpha=ALPHA / max(1, number), paired=paired, rng=rng)
        if one.count and other.count:
            maxima[name] = max(map(max, filled(one.rounds))), max(map(max, filled(other.rounds)))
    rows.sort(key=lambda row: (ORDER[row.verdict], -abs(row.change)))
    only = {name: before.label for name in before.metrics if name not in after.metrics}
    only |= {name: after.label for name in after.metrics if name not in before.metrics}
    warnings = []
    for run in (before, after):
        if run.quotable is not None and run.quotable not in warnings:
            warnings.append(run.quotable)
    for fact in ("cpu", "kernel", "cpus"):
        if before.host.get(fact) != after.host.get(fact):
            warnings.append(
                f"not the same {fact}: {before.host.get(fact)} before, {after.host.get(fact)} after"
            )
    return Comparison(
        before.label, after.label, rows, maxima, only, {**before.absent, **after.absent}, warnings, number
    )
