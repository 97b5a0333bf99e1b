"""Key and secret are where they were put, and nowhere else: no log, report, process list or core file."""

from __future__ import annotations

import base64
import os
import resource
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.runtime import fake_venue
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import RUNTIME, Market, Run
from tests.secret_search import PIECE, Place, forms, in_files, in_processes

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def holders(folder: Path, words: list[str], but: tuple[str, ...] = ()) -> list[str]:
    """Return the files below ``folder`` that hold one of the words in any form."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    return sorted({str(Path(place).relative_to(folder)) for _, place in in_files(paths, words)})


def may_dump() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def cores_here() -> None:
    """Skip where a core file would not come to lie in the process's own folder."""
    pattern = CORE_PATTERN.read_text().strip()
    if "/" in pattern or pattern.startswith("|"):
        pytest.skip(f"core files go elsewhere here: {CORE_PATTERN} is {pattern!r}")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard != resource.RLIM_INFINITY and os.geteuid() != 0:
        pytest.skip(f"core files are limited to {hard} bytes here")


@pytest.mark.usefixtures("cores_here")
def test_a_key_in_memory_reaches_a_core_file_unless_it_is_kept_secret(tmp_path: Path) -> None:
    """The control: the same search finds a key that was planted, in a core file, a log and a release."""
    word = secrets.token_hex(16)
    program = """
import os, sys
from quietcore.execution.process import keep_memory_secret
secret = sys.stdin.read()
if sys.argv[1] == "kept":
    assert keep_memory_secret(print)
os.abort()
"""
    for how, expected in (("open", 1), ("kept", 0)):
        folder = tmp_path / how
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, how],
            input=word,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(RUNTIME)},
            preexec_fn=may_dump,
            check=False,
        )
        assert done.returncode == -signal.SIGABRT
        assert len(holders(folder, [word])) == expected, how
    for path in (tmp_path / "open").iterdir():
        path.unlink()


@pytest.mark.parametrize("number", range(6))
def test_the_search_finds_what_was_planted(tmp_path: Path, number: int) -> None:
    word = secrets.token_hex(16)
    planted = forms(word)[number]
    # Across the pieces in which a long file is read, too.
    (tmp_path / "journal").write_bytes(b"x" * (PIECE - 10) + planted + b" after")
    (tmp_path / "file").write_bytes(b"before " + planted)
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "file", "deep/file")
    assert holders(tmp_path, [word], ("file",)) == ["journal", "release.tar.gz"]
    assert holders(tmp_path, [secrets.token_hex(16)]) == []


@pytest.mark.parametrize("beside", ["", "k:", "ky:"])
def test_a_word_is_found_in_longer_base64(tmp_path: Path, beside: str) -> None:
    word = secrets.token_hex(16)
    (tmp_path / "log").write_bytes(base64.b64encode(f"{beside}{word}{beside}".encode()))
    assert holders(tmp_path, [word]) == ["log"]


def test_the_search_finds_what_a_process_list_shows() -> None:
    shown, hidden = secrets.token_hex(16), secrets.token_hex(16)
    command = ["/bin/sh", "-c", "read _", shown]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={"HIDDEN": hidden}) as process:
        while b"read _" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)  # it is still this program's own copy
        found = set(in_processes([shown, hidden], [process.pid]))
        process.communicate(b"\n")
    assert found == {(shown, "cmdline of sh"), (hidden, "environ of sh")}


@pytest.mark.usefixtures("cores_here")
def test_runtime_and_guard_keep_the_key_to_themselves(
    make_writer: MakeWriter, feed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = secrets.token_hex(12), secrets.token_hex(20)
    monkeypatch.setattr(fake_venue, "KEY", key)
    monkeypatch.setattr(fake_venue, "SECRET", secret)
    process: dict[str, Any] = {"cwd": tmp_path, "preexec_fn": may_dump}
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, key=key, secret=secret, by_socket=True, process=process)
        guard = subprocess.Popen(
            [
                *(sys.executable, "-m", "quietcore", "guard", "--config", str(tmp_path / "runtime.toml")),
                *("--heartbeat", str(tmp_path / "heartbeat")),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(RUNTIME),
                "QUIETCORE_API_KEY_FILE": str(tmp_path / "key"),
                "QUIETCORE_API_SECRET_FILE": str(tmp_path / "secret"),
            },
            **process,
        )
        shown: list[Place] = []
        try:
            run.ready()
            run.until(lambda: venue.by_socket >= 2)
            assert guard.stderr is not None
            said = ""
            while "watching" not in said:
                line = guard.stderr.readline()
                assert line, said
                said += line
            assert venue.bad_signatures == 0
            for number, one in enumerate((run.process, guard)):
                shown += in_processes([key, secret], [one.pid])
                one.send_signal(signal.SIGABRT)
                out, errors = one.communicate(timeout=60)
                assert one.returncode == -signal.SIGABRT
                (tmp_path / f"journal-{number}").write_text(said + out + errors)
        finally:
            run.close()
            if guard.poll() is None:
                guard.kill()
            guard.communicate()
    assert shown == []
    # Not in any core file, log or status, but where they were put.
    assert holders(tmp_path, [key, secret], ("key", "secret")) == []
    assert holders(tmp_path, [key, secret]) == ["key", "secret"]
