"""The command's entry point: exit codes, and a clear word where a command cannot run."""

import json
import sys

import pytest

from quietcore.cli.main import COMMANDS, main
from quietcore.errors import ExitCode


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in shown
        assert command.summary in shown


def test_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adit"]) == ExitCode.USAGE
    assert "unknown command; found 'adit'; remedy: did you mean audit?" in capsys.readouterr().err
    assert main(["zzz"]) == ExitCode.USAGE
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["adit", "--json"], "unknown command"),
        (["status", "--json", "--watch", "-1"], "bad option"),
        (["status", "--json", "--count", "x"], "argument --count: invalid int value: 'x'"),
        (["plan", "--json", "--root", "/nonexistent"], None),
    ],
)
def test_errors_are_json_too_where_it_was_asked_for(
    words: list[str], what: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(words)
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert error["code"] == code != ExitCode.OK
    assert set(error) == {"what", "where", "found", "expected", "remedy", "code"}
    assert what is None or error["what"] == what
    assert error["what"] in shown.err


def test_without_json_nothing_is_printed_but_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--watch", "-1"]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: quietcore " + name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("system", "name"), [("darwin", "run"), ("win32", "sim"), ("win32", "audit"), ("darwin", "demo")]
)
def test_another_system_is_refused_clearly(
    system: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert main([name]) == ExitCode.USAGE
    assert f"not on this system: {system}; expected linux" in capsys.readouterr().err
