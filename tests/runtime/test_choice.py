"""Strategies of the user's own: begun by a command, checked before they run, refused with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.runtime.conftest import ROOT

from quietcore.cli.main import main
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.strategy.choice import SHIPPED, find, from_file, merged
from quietcore.strategy.trial import SAMPLE_CONTEXT, try_out


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_passes_the_check(name: str) -> None:
    outcome = try_out(find(name), {})
    assert outcome.wishes > 0
    assert outcome.ticks > 10_000


@pytest.mark.parametrize("words", [[], ["--python"]])
def test_a_new_strategy_works_as_it_is_written(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "strategy", "turn_of_tide", "--into", str(tmp_path), "--json", *words]) == 0
    files = json.loads(capsys.readouterr().out)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", files["test"]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert main(["new", "check", files["strategy"], "--json", "--parameter", "span=20"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["wishes"] > 0
    assert outcome["parameters"] == {"span": 20, "least_turn": 0.5}
    assert main(["new", "strategy", "turn_of_tide", "--into", str(tmp_path), *words]) == ExitCode.USAGE
    assert "file is there already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Turn", "a-b", "1a", "", "x" * 41])
def test_bad_names(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "strategy", name, "--into", str(tmp_path)]) == ExitCode.USAGE
    assert "bad name of a strategy" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


GOOD = """
import numpy as np
from quietcore.bridge.compiled import compiled
from quietcore.strategy.interface import Strategy, parameter_record
PARAMETERS = {"size": 1}
@compiled
def on_tick(state, params, books, symbol, kind, flags, a, b, c, d, wish):
    return 0
def make(parameters, context):
    state = np.zeros(1, dtype=np.dtype([("value", "<f8")]))
    return Strategy("mine", on_tick, state, parameter_record(parameters))
"""


@pytest.mark.parametrize(
    ("old", "new", "expected", "code"),
    [
        ("import numpy", "import nothing_of_the_kind; import numpy", "cannot be imported.*ModuleNotFound", 2),
        ("PARAMETERS =", "OTHERS =", "strategy without parameters", 2),
        ('{"size": 1}', '{"size": True}', "strategy without parameters", 2),
        ('{"size": 1}', '{"size": "1"}', "strategy without parameters", 2),
        ("def make", "def other", r"strategy without make\(\)", 2),
        ("return Strategy(", "return tuple(", "no attribute|takes|TypeError|expected", 1),
        ("    return 0", "    return 7", "returns neither 0 nor 1: mine, tick 1; found 7", 1),
        ("    return 0", "    return undefined_name", "strategy fails.*undefined_name", 1),
        ("    return 0", "    wish[0] = 5\n    return 1", "neither to buy nor to sell", 1),
        (
            "    return 0",
            "    wish[0] = 1\n    wish[1] = -a\n    wish[2] = 1\n    return 1",
            "without price or size",
            1,
        ),
        (
            "    return 0",
            "    state[0].value = np.nan\n    return 0",
            "keeps figures that are no numbers",
            1,
        ),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said(
    tmp_path: Path, old: str, new: str, expected: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in GOOD
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace(old, new, 1))
    if "tuple" in new:
        with pytest.raises(TypeError):
            from_file(path).make({}, SAMPLE_CONTEXT)
        return
    assert main(["new", "check", str(path)]) == code
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    import re

    assert re.search(expected, error), error


def test_a_good_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    first = from_file(path)
    assert try_out(first, {}).wishes == 0
    path.write_text(GOOD + "\n# changed\n")
    assert from_file(path).key != first.key, "other content must not find the old machine code"
    elsewhere = tmp_path / "other" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(GOOD)
    assert from_file(elsewhere).key == first.key, "the place does not matter"


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError, match=r"cannot be read.*quietcore new strategy none"):
        from_file(tmp_path / "none.py")
    with pytest.raises(QuietcoreError, match="bad name of a strategy's file"):
        from_file(tmp_path / "My Strategy.py")
    big = tmp_path / "big.py"
    big.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(QuietcoreError, match="too large"):
        from_file(big)
    with pytest.raises(QuietcoreError, match=r"unknown strategy.*crossing, panic"):
        find("luck")


def test_parameters_are_merged_by_kind() -> None:
    defaults = {"whole": 3, "share": 0.5}
    assert merged(defaults, {"share": 1}, "p") == {"whole": 3, "share": 1.0}
    assert isinstance(merged(defaults, {"share": 1}, "p")["share"], float)
    for wanted, expected in (
        ({"other": 1}, r"unknown key: p\.other; expected one of whole, share"),
        ({"whole": 1.5}, r"wrong type: p\.whole; found 1\.5; expected a whole number"),
        ({"share": float("nan")}, r"bad value: p\.share; found nan"),
        ({"whole": 1 << 63}, r"bad value: p\.whole"),
    ):
        with pytest.raises(QuietcoreError, match=expected):
            merged(defaults, wanted, "p")
    with pytest.raises(QuietcoreError, match="none: it has no parameters"):
        merged({}, {"a": 1}, "p")
