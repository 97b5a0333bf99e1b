"""Without memory, descriptors, threads or disk a command ends with one line, and no traceback."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.small_disk import small_disk

from quietcore import shortage
from quietcore.cli import clear
from quietcore.cli.main import main
from quietcore.errors import QuietcoreError

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
CONFIG = """
feed = "none"
feed_timeout = 0.0
strategy_cpu = -1
gateway_cpu = -1
kill_file = "{folder}/kill"
[risk]
order_size = "0.001"
max_position = "0.01"
"""


def quietcore(
    *words: str, limit: Callable[[], None] | None = None, out: str | None = None
) -> tuple[int, str]:
    """Run a command below a limit; return exit code and its error output."""
    sink = subprocess.PIPE if out is None else os.open(out, os.O_WRONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "quietcore", *words],
            stdout=sink,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
            preexec_fn=limit,
            timeout=110,
            check=False,
        )
    finally:
        if out is not None:
            os.close(sink)
    return done.returncode, done.stderr


def one_line(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    assert len(lines) == 1, errors
    assert "remedy" in lines[0]
    return lines[0]


def test_the_line_names_what_is_short_however_deep_it_lies() -> None:
    assert shortage.explain(ValueError("a fault of ours")) is None
    assert "LimitNOFILE" in (shortage.explain(OSError(errno.EMFILE, "Too many open files")) or "")
    assert "/x: ENOSPC" in (shortage.explain(OSError(errno.ENOSPC, "No space left", "/x")) or "")
    library = ImportError("libx.so: failed to map segment from shared object")
    assert "not enough memory" in (shortage.explain(library) or "")
    assert "TasksMax" in (shortage.explain(RuntimeError("can't start new thread")) or "")
    outer = SystemError("returned NULL without setting an exception")
    outer.__context__ = MemoryError()
    assert "not enough memory" in (shortage.explain(outer) or "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files", "/etc/x"), "/etc/x: EMFILE"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
)
def test_a_command_that_runs_short_ends_with_a_line(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: object) -> int:
        raise error

    monkeypatch.setattr(clear, "run", run)
    monkeypatch.setattr("quietcore.cli.main.forget_output", lambda: None)
    assert main(["clear"]) == 3
    assert expected in one_line(capfd.readouterr().err)
    fault = ZeroDivisionError("ours")

    def broken(arguments: object) -> int:
        raise fault

    monkeypatch.setattr(clear, "run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["clear"])


def test_output_that_nothing_takes(tmp_path: Path) -> None:
    code, errors = quietcore("status", "--json", "--feed", "none", out="/dev/full")
    assert code == 3
    assert "ENOSPC" in one_line(errors)


def test_kill_and_clear_without_descriptors_or_memory(tmp_path: Path) -> None:
    """The kill file is written before anything else is needed."""
    file, status = str(tmp_path / "kill"), str(tmp_path / "runtime.json")

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (64 << 20, 64 << 20))

    for limit in (few_files, little_memory):
        code, errors = quietcore("kill", "--file", file, "--status", status, limit=limit)
        assert (code, errors) == (0, "")
        assert (tmp_path / "kill").exists()
        code, errors = quietcore("clear", "--file", file, "--status", status, limit=limit)
        assert (code, errors) == (0, "")

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))

    code, errors = quietcore("kill", "--file", file, "--status", status, limit=no_files)
    assert code != 0
    assert "Traceback" not in errors or "quietcore" not in errors.split("Traceback")[0]


def test_kill_on_a_full_disk_has_a_line_for_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        disk.fill()
        words = ("--file", str(disk.path / "kill"), "--status", str(tmp_path / "runtime.json"))
        code, errors = quietcore("kill", *words)
        assert code == 2
        assert "ENOSPC" in errors
        assert "nothing is switched off" in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["run", "guard", "status"])
@pytest.mark.parametrize("megabytes", [60, 120, 300, 600])
def test_a_little_memory_is_said_and_no_traceback(tmp_path: Path, command: str, megabytes: int) -> None:
    """Limits between what the interpreter takes and what the command does; some commands fit into some of them."""
    config = tmp_path / "runtime.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    words = {
        "run": ["run", "--config", str(config), "--status", str(tmp_path / "runtime.json")],
        "guard": ["guard", "--config", str(config)],
        "status": ["status", "--feed", "none"],
    }

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    code, errors = quietcore(*words[command], limit=little_memory)
    assert code in (2, 3), errors
    assert "Traceback" not in errors
    assert errors.count("\n") <= 2, errors


@pytest.mark.parametrize("command", ["run", "guard"])
@pytest.mark.parametrize("files", [5, 8, 16, 30])
def test_few_descriptors_are_said_and_no_traceback(tmp_path: Path, command: str, files: int) -> None:
    config = tmp_path / "runtime.toml"
    config.write_text(CONFIG.format(folder=tmp_path))

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    code, errors = quietcore(command, "--config", str(config), limit=few_files)
    assert code == 3
    assert f"found a limit of {files} open files" in one_line(errors)
    assert "LimitNOFILE" in errors


def test_an_error_of_the_system_has_its_name_and_a_remedy() -> None:
    error = QuietcoreError("x")
    assert error.remedy is None
    assert shortage.explain(OSError("no number")) == "no number; remedy: see what the system refuses there"
