"""The plug-in by which coverage.py sees compiled functions: their lines show, and they do what machine code does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[2]
HISTOGRAM = ROOT / "runtime/quietcore/histogram.py"
# Without what would make coverage.py measure these processes for a run that is going on around this one.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join([str(ROOT / "runtime"), str(ROOT)])

TEST = """
import numpy as np
import pytest
from quietcore.bridge.books import HASH_START, mix
from quietcore.bridge.compiled import compiled, fused
from quietcore.histogram import bucket_of

POINT = np.dtype([("base", "<i8"), ("deep", [("value", "<f8")])])


@compiled
def add_to(points, amount):
    point = points[0]
    point.base += amount
    point.deep.value = point.base / 2
    return point.deep.value


@fused
def divided(a, b):
    return a / b


def test_the_same_either_way():
    assert bucket_of(5) == 5
    assert type(bucket_of(5)) is int
    assert mix(HASH_START, -5) == 5808594255196850313, "it wraps"
    points = np.zeros(1, dtype=POINT)
    assert add_to(points, 3) == 1.5
    assert (points["base"][0], points["deep"]["value"][0]) == (3, 1.5)
    assert divided(1.0, 0.0) == float("inf")


@pytest.mark.machine_code
def test_machine_code():
    assert bucket_of.stats is not None
"""


def lines_run(folder: Path, *options: str) -> tuple[set[int], str]:
    """Run TEST under coverage.py; return the lines of the histogram that ran, and what pytest said."""
    data = folder / f"data{len(options)}"
    words = ["-m", "coverage", "run", f"--data-file={data}", f"--include={HISTOGRAM}", "--rcfile=/dev/null"]
    words += [
        "-m",
        "pytest",
        *options,
        "-p",
        "no:cacheprovider",
        "-q",
        "--no-header",
        str(folder / "test_it.py"),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = coverage.CoverageData(str(data))
    found.read()
    return set(found.lines(str(HISTOGRAM)) or ()), done.stdout


def test_lines_of_compiled_functions_show_only_without_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    text = HISTOGRAM.read_text().splitlines()
    begin = text.index("def bucket_of(value: int) -> int:")
    body = {number for number in range(begin + 2, begin + 12) if "return" in text[number - 1]}
    compiled, said = lines_run(tmp_path)
    assert "2 passed" in said
    assert not compiled & body, "the control: machine code leaves no trace"
    python, said = lines_run(tmp_path, "-p", "tests.uncompiled")
    assert "1 passed, 1 deselected" in said
    assert python & body
    assert compiled < python


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import quietcore, tests.uncompiled", "are there already"),
        (
            "import tests.uncompiled; from numba.extending import intrinsic\n"
            "@intrinsic\ndef unheard_of(context): pass",
            "say in tests/uncompiled.py what it does",
        ),
    ],
)
def test_it_refuses(program: str, complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert complaint in done.stderr
