"""Which of several steps has made a host better or worse: each measurement compared with the one before it.

A row of measurements, taken as it was, after each step, and at the end. The 1 % that a report may be wrong in is
divided by the comparisons of all steps together. A step that only takes effect at the next boot shows at the step
in which the host was rebooted, together with all others of that kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quietcore.compare.report import STYLES, change, headline, method, remarks, value
from quietcore.compare.series import Run
from quietcore.compare.verdict import BETTER, ORDER, SAME, WORSE, Comparison, Row, compare, comparisons_of
from quietcore.errors import QuietcoreError


@dataclass(frozen=True)
class Step:
    """One step: its name, and its comparison with the step before."""

    name: str
    found: Comparison


@dataclass(frozen=True)
class Attribution:
    """All steps in their order, and what they come to together."""

    steps: list[Step]
    whole: Comparison

    @property
    def changes(self) -> list[tuple[str, Row]]:
        """What a step has changed, regressions first, then improvements; each with the step's name."""
        found = [
            (step.name, row)
            for step in self.steps
            for row in step.found.rows
            if row.verdict in (WORSE, BETTER)
        ]
        return sorted(found, key=lambda item: (ORDER[item[1].verdict], -abs(item[1].change)))

    @property
    def worst(self) -> str:
        """WORSE where any step, or all together, made something worse."""
        verdicts = {row.verdict for _, row in self.changes} | {row.verdict for row in self.whole.rows}
        return WORSE if WORSE in verdicts else SAME

    def to_json(self) -> dict[str, Any]:
        """Return everything for --json."""
        return {
            "steps": [{"name": step.name, **step.found.to_json()} for step in self.steps],
            "whole": self.whole.to_json(),
        }


def attribute(runs: Sequence[Run]) -> Attribution:
    """Compare each run with the one before it, and the last with the first; raise QuietcoreError for fewer than 3."""
    if len(runs) < 3:
        raise QuietcoreError(
            "too few measurements",
            found=len(runs),
            expected="as it was, after each step, and at the end: 3 or more",
            remedy="two are compared with quietcore bench compare",
        )
    pairs = list(pairwise(runs))
    number = sum(comparisons_of(before, after) for before, after in [*pairs, (runs[0], runs[-1])])
    steps = [Step(after.label, compare(before, after, comparisons=number)) for before, after in pairs]
    return Attribution(steps, compare(runs[0], runs[-1], comparisons=number))


def summary(found: Attribution) -> Table:
    """Return a line a step."""
    table = Table(title="step by step", title_justify="left")
    table.add_column("step", no_wrap=True)
    table.add_column("outcome")
    for step in found.steps:
        table.add_row(step.name, headline(step.found))
    table.add_section()
    table.add_row("all together", headline(found.whole))
    return table


def tables(found: Attribution) -> RenderableType:
    """Return the report for a terminal: who made what worse, then better, then each step in a line."""
    parts: list[RenderableType] = []
    if found.changes:
        table = Table(title="what changed, and by which step", title_justify="left")
        for column in ("step", "metric", "figure", "before", "after", "change", "verdict"):
            table.add_column(column, no_wrap=column in ("step", "figure", "change", "verdict"))
        for name, row in found.changes:
            assert row.estimate is not None  # a verdict has one
            cells = [value(row, row.estimate.before), value(row, row.estimate.after), change(row)]
            table.add_row(name, row.metric, row.figure, *cells, Text(row.verdict, style=STYLES[row.verdict]))
        parts.append(table)
    else:
        parts.append("no step has changed anything that could be told from chance")
    parts.append(summary(found))
    parts.append(method(found.whole))
    return Group(*parts, *remarks(found.whole))
