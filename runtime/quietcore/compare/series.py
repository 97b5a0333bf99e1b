"""What a measurement is made of, and the file that holds it.

A run has metrics; a metric has rounds, one for each turn in which it was measured. Where two configurations were
measured alternately, round i of one stands beside round i of the other. Times are ns, in the order in which they
were measured.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from quietcore.errors import ExitCode, QuietcoreError

VERSION: Final = 1
LOWER, HIGHER = "lower", "higher"


@dataclass
class Metric:
    """One thing measured. ``rates`` are operations a second in short pieces of equal length."""

    unit: str = "ns"
    rounds: list[list[float]] = field(default_factory=list)  # latencies
    rates: list[list[float]] = field(default_factory=list)
    better_rate: str = HIGHER
    resolution: float = 1.0  # ns; a smaller difference of a latency is none

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return sum(len(one) for one in self.rounds)


@dataclass
class Run:
    """Everything measured of one configuration."""

    label: str
    metrics: dict[str, Metric] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # suites that could not be measured, and why
    paired: str = ""  # the same in two runs whose rounds alternated

    @property
    def quotable(self) -> str | None:
        """None, or why nobody should quote these figures."""
        virtual = self.host.get("virtual")
        if virtual == "qemu":
            return "measured on an emulated machine (qemu without KVM): its times are those of the emulation"
        return (
            f"measured on a virtual machine ({virtual}): its host interrupts it unseen" if virtual else None
        )


def write_run(path: Path, run: Run) -> None:
    """Replace the file at ``path``."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"version": VERSION, **asdict(run)}) + "\n")
        beside.replace(path)
    except OSError as error:
        raise QuietcoreError(
            "measurement cannot be written", where=str(path), found=error.strerror
        ) from error


def numbers(value: object) -> bool:
    """Tell whether ``value`` is a list of lists of finite numbers of 0 or more."""
    return isinstance(value, list) and all(
        isinstance(one, list) and all(type(x) in (int, float) and math.isfinite(x) and x >= 0 for x in one)
        for one in value
    )


def read_run(path: Path) -> Run:
    """Return the measurement at ``path``; raise QuietcoreError where it is none."""
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise QuietcoreError(
            "measurement cannot be read",
            where=str(path),
            found=error.strerror,
            remedy="quietcore bench run --out FILE makes one",
        ) from error
    except ValueError as error:
        raise QuietcoreError("measurement is damaged", where=str(path), found=str(error)) from error
    if not isinstance(data, dict) or data.pop("version", None) != VERSION:
        raise QuietcoreError(
            "not a measurement of this version",
            where=str(path),
            expected=f"version {VERSION}",
            code=ExitCode.USAGE,
        )
    try:
        metrics = {name: Metric(**one) for name, one in data.pop("metrics").items()}
        run = Run(metrics=metrics, **data)
    except (TypeError, KeyError, AttributeError) as error:
        raise QuietcoreError("measurement is damaged", where=str(path), found=str(error)) from error
    for name, metric in metrics.items():
        if (
            not numbers(metric.rounds)
            or not numbers(metric.rates)
            or metric.better_rate not in (LOWER, HIGHER)
        ):
            raise QuietcoreError(
                "measurement is damaged",
                where=f"{path}: {name}",
                expected="rounds and rates as lists of lists of numbers of 0 or more",
            )
    return run
