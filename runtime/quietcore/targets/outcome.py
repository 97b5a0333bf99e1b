"""What a measurement of a target gives: a value with the bounds it is known in, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quietcore.targets.catalogue import TARGETS, Target

MET, MISSED, NOT_HERE = "met", "missed", "not measurable here"


@dataclass(frozen=True)
class Measured:
    """A value between ``low`` and ``high``; ``note`` says on what."""

    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """Why there is no value, and what would help."""

    why: str


Found = dict[str, Measured | Absent]


@dataclass(frozen=True)
class Outcome:
    """One line of the report."""

    target: Target
    verdict: str
    value: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return the line for --json."""
        return {**self.target._asdict(), "verdict": self.verdict, "value": self.value, "note": self.note}


def exactly(value: float, note: str = "") -> Measured:
    """Return a value that is what it is: a percentile of all that was measured, a count."""
    return Measured(value, value, value, note)


def judge(found: Found) -> list[Outcome]:
    """Return the verdict on every target; what nobody tried to measure says so."""
    outcomes = []
    for target in TARGETS:
        one = found.get(target.key, Absent("nothing measures it yet"))
        if isinstance(one, Absent):
            outcomes.append(Outcome(target, NOT_HERE, None, one.why))
            continue
        met = target.met_by(one.low, one.high)
        if met is None:
            note = (
                f"between {one.low:,.4g} and {one.high:,.4g} {target.unit}: this host is too unsteady to tell"
            )
            outcomes.append(Outcome(target, NOT_HERE, one.value, note))
        else:
            outcomes.append(Outcome(target, MET if met else MISSED, one.value, one.note))
    return outcomes
