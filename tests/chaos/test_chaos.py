"""Thirty attacks on the local pipeline, X1 to X7 of the known faults among them, and planted bugs that they catch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.planted import PLANTED

from quietcore.errors import QuietcoreError
from quietcore.local.pipeline import feed_handler

REPOSITORY = Path(__file__).resolve().parents[2]
COULD_NOT = 3

pytestmark = [pytest.mark.chaos, pytest.mark.pace, pytest.mark.timeout(900)]


def chaos(*options: object) -> tuple[int, dict[str, Any]]:
    """Run `python -m tests.chaos`; skip where this machine cannot."""
    try:
        feed_handler()
    except QuietcoreError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--json", *map(str, options)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode == COULD_NOT and "mounts of its own" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_thirty_attacks_hold() -> None:
    code, found = chaos("--attacks", 30, "--jobs", 3)
    assert found["failed"] == []
    assert (code, found["attacks"], found["held"]) == (0, 30, 30)
    assert all(found["by_case"][f"X{number}"] for number in range(1, 8))


@pytest.mark.parametrize("bug", ["guard latched for ever", "order sent again after a lost reply"])
def test_planted_bugs_are_caught(bug: str) -> None:
    """Two of them; `python -m tests.chaos --planted` plays all."""
    code, found = chaos("--only", PLANTED[bug].attacks[0], "--bug", bug)
    assert code == 1
    assert [one["attack"] for one in found["failed"]] == [PLANTED[bug].attacks[0]]
