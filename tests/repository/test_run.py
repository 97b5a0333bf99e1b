"""tests/run: a part fails where any of its commands does, also the one beside the others."""

from __future__ import annotations

import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN: dict[str, Any] = runpy.run_path(str(ROOT / "tests/run"))
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
        (Part(["true"], beside="sh -c 'exit 3'"), "failed: sh -c 'exit 3'"),
        (Part(["false"], beside="false"), "failed: false; false"),
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


def collected(expression: str) -> set[str]:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        expression,
        "tests/sim",
        "tests/virtual_host",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_the_two_halves_of_the_python_tests_are_the_whole() -> None:
    part = RUN["PARTS"]["python"]
    halves = [collected(shlex.split(command)[2]) for command in (*part.commands, part.beside)]
    assert all(halves)
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == collected(RUN["NO_HOST"])


def test_an_interrupt_ends_what_runs_beside(tmp_path: Path) -> None:
    """Both are gone, with what they started, when it returns."""
    code = (
        f"import runpy; run = runpy.run_path({str(ROOT / 'tests/run')!r}); "
        f"run['run']('part', run['Part'](['sleep 61'], beside='sleep 62'), {{}})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while len(sleepers(process.pid)) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the keyboard does
    assert process.wait(timeout=30) != 0
    assert sleepers(process.pid) == []


def sleepers(session: int) -> list[str]:
    """Return what sleeps in a session."""
    done = subprocess.run(
        ["ps", "-o", "stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    return [
        line
        for line in done.stdout.splitlines()
        if "sleep 6" in line.partition(" ")[2] and line[0] != "Z" and "-c" not in line
    ]
