"""`quietcore vhost` as a command: exit codes and what it prints."""

import io
import json
from pathlib import Path

import pytest

from quietcore.cli.main import main
from quietcore.vhost import progress
from quietcore.vhost.progress import Progress


@pytest.fixture(autouse=True)
def empty_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIETCORE_VHOST_DIR", str(tmp_path))
    monkeypatch.delenv("QUIETCORE_VHOST", raising=False)


def test_status_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vhost", "status"]) == 1
    assert "`quietcore vhost up` makes one" in capsys.readouterr().out
    assert main(["vhost", "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["hosts"] == []


def test_failed_host_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo").mkdir()
    assert main(["vhost", "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["hosts"] == [{"name": "demo", "state": "failed"}]


@pytest.mark.parametrize("words", [["ssh"], ["exec", "--", "true"], ["snapshot", "a"], ["restore", "a"]])
def test_what_needs_a_host_says_how_to_get_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vhost", *words]) == 2
    assert "not up: demo; remedy: quietcore vhost up --name demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exec"], "no command: exec"),
        (["up", "--cpus", "0"], "not a size"),
        (["up", "--memory", "12"], "not a size"),
        (["up", "--name", "../x"], "not a name for a virtual host"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vhost", *words]) == 2
    assert message in capsys.readouterr().err


def test_down_of_nothing_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vhost", "down"]) == 0
    assert capsys.readouterr().out == "demo: nothing there\n"


def test_short_step_is_silent_and_a_long_one_tells_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    with Progress(out).step("short"):
        pass
    assert out.getvalue() == ""
    monkeypatch.setattr(progress, "_FIRST_WORD_AFTER", 0.0)
    with Progress(out).step("long"):
        while "…" not in out.getvalue():
            pass
    assert "vhost: long: done in" in out.getvalue()


def test_failed_step_says_so() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="x"), Progress(out).step("doomed"):
        raise ValueError("x")
    assert "vhost: doomed: failed after" in out.getvalue()
