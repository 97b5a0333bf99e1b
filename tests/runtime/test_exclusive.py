"""One runtime for an account and for a status folder: the second is refused by name, before it touches an order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import Market, Run

from quietcore.errors import QuietcoreError
from quietcore.execution import exclusive
from quietcore.execution.exclusive import account_of, claim_account, claim_folder, holder
from quietcore.execution.identity import describe, process_start, send_signal, started_at

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
HOLD = """
import sys, time
from pathlib import Path
from quietcore.execution.exclusive import claim_account, claim_folder
held = claim_account("runtime", sys.argv[1], print), claim_folder(Path(sys.argv[2]), print)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Any]:
    """Another process that holds an account and a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, account(tmp_path), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def account(folder: Path) -> str:
    return account_of("bybit-linear", "sim", f"http://{folder}", "key")


def test_the_second_is_told_who_is_first_and_a_dead_first_is_none(other: Any, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(
        QuietcoreError, match=f"another runtime has this account; found pid {other.pid}, started "
    ):
        claim_account("runtime", account(tmp_path), said.append)
    with pytest.raises(
        QuietcoreError, match=f"this status folder: {tmp_path}; found pid {other.pid}, started "
    ):
        claim_folder(tmp_path, said.append)
    guard = claim_account("guard", account(tmp_path), said.append)
    assert guard is not None, "of another role"
    guard.close()
    # Nothing of it is a file that could be removed, or that stays.
    assert list(tmp_path.iterdir()) == []
    other.send_signal(signal.SIGSTOP)
    with pytest.raises(QuietcoreError, match="another runtime has this account"):
        claim_account("runtime", account(tmp_path), said.append)
    other.kill()
    other.wait()
    held = claim_account("runtime", account(tmp_path), said.append)
    assert held is not None
    assert holder(f"{exclusive.PREFIX}.account.runtime.{account(tmp_path)}") == os.getpid()
    held.close()
    handle = claim_folder(tmp_path, said.append)
    assert handle >= 0
    os.close(handle)
    assert said == []


def test_accounts_are_told_apart_by_what_makes_them_different() -> None:
    same = {
        account_of("bybit-linear", "live", rest, "key")
        for rest in ("https://api.bybit.com", "https://api.bytick.com")
    }
    assert len(same) == 1, "one account has several hosts"
    others = {
        account_of("bybit-linear", "live", "https://api.bybit.com", "other"),
        account_of("bybit-linear", "testnet", "https://api.bybit.com", "key"),
        account_of("bybit-linear", "sim", "http://127.0.0.1:1", "key"),
        account_of("bybit-linear", "sim", "http://127.0.0.1:2", "key"),
    }
    assert len(others | same) == 5
    assert account_of("v", "sim", "http://h/", "k") == account_of("v", "sim", "http://h", "k")
    assert "key" not in same.pop()


def test_where_nothing_can_be_held_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    assert claim_folder(tmp_path / "nowhere", said.append) == -1

    def refused(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", refused)
    assert claim_account("runtime", "x", said.append) is None
    assert "would not be noticed: EMFILE" in said[0]


def test_a_signal_reaches_the_process_that_was_meant() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        start = process_start(process.pid)
        assert abs(started_at(process.pid) - time.time()) < 30
        assert describe(process.pid).startswith(f"pid {process.pid}, started 20")
        assert not send_signal(process.pid, start + 1, signal.SIGKILL), "a number that somebody else has now"
        assert process.poll() is None
        assert send_signal(process.pid, start, signal.SIGKILL)
        process.wait(10)
        assert not send_signal(process.pid, start, signal.SIGKILL)
        assert describe(process.pid) == f"pid {process.pid}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(300)
def test_a_second_runtime_is_refused_before_it_cancels_anything(
    make_writer: MakeWriter, feed: str, tmp_path: Path
) -> None:
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        first = Run(tmp_path, feed, venue)
        try:
            first.ready()
            first.until(lambda: len(venue.created) >= 1)
            for folder, what in ((tmp_path / "other", "account"), (tmp_path, "status folder")):
                folder.mkdir(exist_ok=True)
                (folder / "notify").unlink(missing_ok=True)
                status = folder / "runtime.json"
                second = Run(folder, feed, venue, status=status)
                code, _, errors = second.result()
                second.close()
                assert code == 2
                assert f"another runtime has this {what}" in errors
                assert f"pid {first.process.pid}, started " in errors
                assert "Traceback" not in errors
                assert "earlier run" not in errors, "it has asked the venue nothing"
            first.process.kill()
            first.process.communicate()
            (tmp_path / "notify").unlink()
            third = Run(tmp_path, feed, venue)
            try:
                third.ready()
                assert third.end()[0] == 0
            finally:
                third.close()
        finally:
            first.close()
