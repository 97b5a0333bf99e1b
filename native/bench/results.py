"""One line of the benchmark's result, and how it is written and shown."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairing import Ratio


@dataclass(frozen=True, slots=True)
class Result:
    """A figure and, where it has one, its reference in the same run, their ratio, and the goal of that ratio."""

    name: str
    value: float
    unit: str
    reference: str | None = None
    reference_value: float | None = None
    ratio: Ratio | None = None
    goal: float | None = None
    at_most: bool = False
    limit: bool = False
    """The goal is one of the value itself, not of a ratio."""
    differences: bool = False
    """`ratio` holds differences from the reference, in the unit of the value, and the goal is one of these."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """True, False, or None: undecided, or no goal."""
        if self.goal is None:
            return None
        if self.limit:
            return self.value <= self.goal
        return self.ratio.meets(self.goal, at_most=self.at_most) if self.ratio is not None else None

    def as_json(self) -> dict[str, Any]:
        """Return the object that results.json holds."""
        known: dict[str, Any] = {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "reference": self.reference,
            "ratio": None,
            "goal": self.goal,
            "met": self.met,
        }
        if self.goal is not None:
            known["goal_is"] = "at most" if self.at_most or self.limit else "at least"
        if self.reference_value is not None:
            known["reference_value"] = rounded(self.reference_value)
        if self.ratio is not None:
            known |= {
                "difference" if self.differences else "ratio": rounded(self.ratio.median),
                "interval": [rounded(self.ratio.low), rounded(self.ratio.high)],
                "pairs": self.ratio.kept,
                "dropped_pairs": self.ratio.dropped,
            }
        return known | self.facts


def rounded(value: float) -> float | None:
    """Return four significant digits; None for what is no number, which JSON does not know."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.4g}") if abs(value) < 1e4 else round(value)


def write(results: list[Result], path: Path) -> None:
    """Replace the file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n")
    os.replace(beside, path)  # noqa: PTH105


def table(results: list[Result]) -> str:
    """Return the lines for the terminal."""
    rows = [("", "value", "unit", "reference", "ratio", "95 %", "goal", "")]
    for result in results:
        ratio, interval, goal, verdict = "", "", "", ""
        if result.ratio is not None:
            ratio = f"{result.ratio.median:{'+' if result.differences else ''}.3g}"
            interval = f"{result.ratio.low:.3g}–{result.ratio.high:.3g}"
        if result.goal is not None:
            goal = f"{'≤' if result.at_most or result.limit else '≥'} {result.goal:g}"
            verdict = {True: "met", False: "MISSED", None: "undecided"}[result.met]
        reference = result.reference or ""
        if result.reference_value is not None:
            reference += f" {result.reference_value:,.4g}"
        value = f"{result.value:,.0f}" if abs(result.value) >= 1000 else f"{result.value:.4g}"
        rows.append((result.name, value, result.unit, reference, ratio, interval, goal, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
