"""The command's entry point: exit codes, and a clear word where a command cannot run."""

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
    assert "unknown command 'adit'" in capsys.readouterr().err


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
