"""tests/run: a part fails where any of its commands does, also the one beside the others."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

RUN: dict[str, Any] = runpy.run_path(str(Path(__file__).resolve().parents[1] / "run"))
Part = RUN["Part"]


def ended(part: Any, before: dict[str, str] | None = None) -> str:
    how: str = RUN["run"]("part", part, before or {})
    return how


@pytest.mark.parametrize(
    ("part", "how"),
    [
        (Part(["true", "true"]), "passed"),
        (Part(["true", "false", "exit 3"]), "failed: false"),
        (Part(["true"], beside="true"), "passed"),
        (Part(["true"], beside="exit 3"), "failed: exit 3"),
        (Part(["false"], beside="exit 3"), "failed: false"),
        (Part(["true"], needs=("build",)), "passed"),
    ],
)
def test_what_fails_is_named(part: Any, how: str) -> None:
    assert ended(part) == how


def test_what_needs_a_part_that_failed_is_not_run() -> None:
    assert ended(Part(["false"], needs=("build",)), {"build": "failed: make"}) == "not run: needs build"


def test_what_runs_beside_has_the_lowest_priority_and_is_shown_last(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert ended(Part(["sleep 0.3; echo first"], beside='echo "priority $(nice)"')) == "passed"
    out = capfd.readouterr().out
    assert out.index("first") < out.index("priority 19")


def test_the_two_halves_of_the_python_tests_are_the_whole() -> None:
    part = RUN["PARTS"]["python"]
    assert part.commands == [f"pytest -m 'live and {RUN['NO_HOST']}'"]
    assert part.beside == f"pytest -m 'not live and {RUN['NO_HOST']}'"
