"""A kill holds: on a full, read-only or lost disk, without a descriptor, against a stopped process, over a restart."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.small_disk import small_disk
from tests.runtime.test_run import Market, Run

from quietcore.cli.main import main
from quietcore.execution import heartbeat, kill_client, process
from quietcore.execution.identity import process_start
from quietcore.execution.kill_keeper import KillKeeper, address_of
from quietcore.execution.kill_switch import KillSwitch
from quietcore.execution.reserve import Reserve
from quietcore.shortage import LEAST_FILES

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def goes_on(run: Run, venue: FakeVenue) -> None:
    sent = len(venue.created)
    run.until(lambda: len(venue.created) > sent + 2)


def stays_off(run: Run, venue: FakeVenue, seconds: float = 1.0) -> None:
    run.until(lambda: run.status()["killed"] != "")
    sent = len(venue.created)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert run.process.poll() is None
        time.sleep(0.05)
    assert len(venue.created) == sent, "an order went out while the kill switch was on"


def outcome(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.timeout(400)
def test_kill_on_a_full_a_read_only_and_a_lost_disk(
    make_writer: MakeWriter, feed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kill file's disk is full from the start; then freed; then read-only; then the process is killed."""
    with (
        small_disk(tmp_path / "disk") as disk,
        FakeVenue() as venue,
        Market(make_writer(capacity=65536)),
    ):
        kill_file = disk.path / "kill"
        disk.fill()
        run = Run(tmp_path, feed, venue, kill_folder=disk.path)
        words = ["--file", str(kill_file), "--status", str(run.status_path)]
        page = tmp_path / "heartbeat"
        try:
            run.ready()
            goes_on(run, venue)
            # A signal alone, as `kill -USR1` sends it.
            run.process.send_signal(signal.SIGUSR1)
            stays_off(run, venue, 2.0)
            assert not kill_file.exists()
            run.until(lambda: heartbeat.killed(page) != "")
            assert main(["clear", *words]) == 0
            goes_on(run, venue)
            assert heartbeat.killed(page) == ""
            capsys.readouterr()
            # The command.
            assert main(["kill", *words, "--reason", "too hot", "--json"]) == 0
            said = outcome(capsys)
            assert (said["way"], said["kept"], said["nothing_open"]) == ("signal", "heartbeat", True)
            assert "ENOSPC" in said["file_problem"]
            assert said["pids"] == [run.process.pid]
            stays_off(run, venue)
            # Space again: the kill reaches its file, and outlives that too.
            disk.free()
            run.until(kill_file.exists)
            run.until(lambda: heartbeat.killed(page) == "")
            kill_file.unlink()
            stays_off(run, venue, 1.5)
            run.until(kill_file.exists)
            assert main(["clear", *words]) == 0
            goes_on(run, venue)
            run.until((disk.path / "kill.spare").exists)
            # Full again, but now a file with its space is kept ready.
            disk.fill()
            capsys.readouterr()
            assert main(["kill", *words, "--reason", "still hot", "--json"]) == 0
            said = outcome(capsys)
            assert (said["way"], said["kept"], said["file_problem"]) == ("both", "file", "")
            assert said["reason"].endswith("still hot")
            assert main(["clear", *words]) == 0
            disk.free()
            goes_on(run, venue)
            # Read-only.
            disk.read_only(True)
            capsys.readouterr()
            assert main(["kill", *words, "--json"]) == 0
            assert outcome(capsys)["way"] == "signal"
            stays_off(run, venue)
            run.until(lambda: heartbeat.killed(page) != "")
            run.process.kill()
            run.process.wait(20)
            log = run.process.communicate()[1]
            # The next run knows of it, though no kill file could be written.
            (tmp_path / "notify").unlink()
            second = Run(tmp_path, feed, venue, kill_folder=disk.path, words=["--json"])
            sent = len(venue.created)
            try:
                second.ready()
                second.until(lambda: second.status()["pid"] == second.process.pid)
                stays_off(second, venue, 2.0)
                assert len(venue.created) == sent
                disk.read_only(False)
                assert main(["clear", *words]) == 0
                goes_on(second, venue)
            finally:
                second.close()
        finally:
            run.close()
    assert "orders again; it was" not in log
    assert log.count("kill switch is cleared: orders again") == 3, "only by the explicit ones"
    assert log.count("no space is kept for the kill file") == 1
    assert "found ENOSPC" in log


@pytest.mark.timeout(300)
def test_kill_without_a_descriptor_and_of_a_stopped_process(
    make_writer: MakeWriter, feed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def least() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_FILES["run"], hard))

    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, process={"preexec_fn": least})
        words = ["--file", str(tmp_path / "kill"), "--status", str(run.status_path)]
        try:
            run.ready()
            run.until(lambda: run.status()["orders"]["open"] >= 1)
            # Whatever is free from here on is beyond the limit.
            used = len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))
            soft, hard = resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used, hard))
            assert soft > used
            time.sleep(2.5)  # some periods in which no status can be made
            assert run.process.poll() is None
            assert main(["kill", *words, "--json"]) == 0
            said = outcome(capsys)
            assert (said["way"], said["kept"], said["nothing_open"]) == ("both", "file", True)
            assert {order["orderStatus"] for order in venue.orders.values()} == {"Cancelled"}
            resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert main(["clear", *words]) == 0
            run.until(lambda: run.status()["killed"] == "" and run.status()["orders"]["open"] >= 1)
            # No memory beyond what is mapped now.
            pages = int(Path(f"/proc/{run.process.pid}/statm").read_text().split()[0])
            room = resource.prlimit(run.process.pid, resource.RLIMIT_AS)
            resource.prlimit(run.process.pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), room[1]))
            capsys.readouterr()
            assert main(["kill", *words, "--json"]) == 0
            assert outcome(capsys)["nothing_open"] is True
            resource.prlimit(run.process.pid, resource.RLIMIT_AS, room)
            assert main(["clear", *words]) == 0
            run.until(lambda: run.status()["killed"] == "" and run.status()["orders"]["open"] >= 1)
            # A process that is stopped takes the kill when it goes on; until then nobody says that it is done.
            run.process.send_signal(signal.SIGSTOP)
            assert main(["kill", *words, "--timeout", "1"]) == 3
            assert main(["clear", *words]) == 3
            run.process.send_signal(signal.SIGCONT)
            stays_off(run, venue)
            run.until(lambda: run.status()["orders"]["open"] == 0)
            assert main(["clear", *words]) == 0
            run.until(lambda: run.status()["killed"] == "" and run.status()["orders"]["open"] >= 1)
            # Without descriptors it ends in order when it is told to.
            used = len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))
            resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used - 8, hard))
            code, _, errors, _ = run.end()
            assert code == 0, errors
            assert {order["orderStatus"] for order in venue.orders.values()} == {"Cancelled"}
            assert "EMFILE" in errors
            assert "Traceback" not in errors
        finally:
            run.close()


def test_kill_says_which_way_worked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = str(tmp_path / "runtime.json")
    assert main(["kill", "--file", str(tmp_path / "kill"), "--status", status]) == 0
    assert "no runtime runs here: armed for its next start" in capsys.readouterr().out
    assert main(["kill", "--file", "/proc/nowhere/kill", "--status", status, "--json"]) == 2
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["way"], found["kept"], found["runtime"], found["nothing_open"]) == (
        "none",
        "",
        False,
        False,
    )
    assert "kill file cannot be written: /proc/nowhere/kill; found ENOENT" in said.err


def test_a_number_that_another_process_has_by_now_is_not_signalled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status of a dead run names a pid that was given out again."""
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        status = tmp_path / "runtime.json"
        known = {"version": 1, "final": False, "pid": bystander.pid, "killed": "", "orders": {"open": 1}}
        words = ["kill", "--file", str(tmp_path / "kill"), "--status", str(status), "--timeout", "0.2"]
        for more, written in (({}, time.time() - 3600), ({"process_start": 1}, time.time())):
            status.write_text(json.dumps({**known, **more}))
            os.utime(status, (written, written))
            assert main(words) == 0, "no runtime runs"
            assert "no runtime runs here" in capsys.readouterr().out
        time.sleep(0.2)
        assert bystander.poll() is None
        status.write_text(json.dumps({**known, "process_start": process_start(bystander.pid)}))
        assert main(words) == 3
        assert bystander.wait(10) == -signal.SIGUSR1
    finally:
        bystander.kill()
        bystander.wait()


class Keeper:
    """A keeper with everything it calls noted."""

    def __init__(self, folder: Path) -> None:
        self.switch = KillSwitch(folder / "kill")
        self.said: list[str] = []
        self.calls: list[str] = []
        self.noted = ""
        self.can_note = True
        self.reserve = Reserve(2)
        self.keeper = KillKeeper(
            self.switch,
            self.said.append,
            off=lambda: self.calls.append("off"),
            on=lambda: self.calls.append("on"),
            open_orders=lambda: 0,
            note=self._note,
            reserve=self.reserve,
        )

    def _note(self, reason: str) -> bool:
        self.noted = reason
        return self.can_note

    def close(self) -> None:
        self.keeper.stop()
        self.reserve.release()


def until(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def send_usr1() -> None:
    """To the keeper's thread alone: this process has others, which do not block it."""
    for thread in threading.enumerate():
        if thread.name == "kill-signal" and thread.ident is not None:
            signal.pthread_kill(thread.ident, signal.SIGUSR1)


@pytest.fixture
def keeper(tmp_path: Path) -> Any:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    found = Keeper(tmp_path)
    yield found
    found.close()
    send_usr1()  # lets the thread that waits for it end
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("kill-")])
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_what_undoes_a_kill_and_what_does_not(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper.keeper.start()
    send_usr1()
    until(lambda: keeper.switch.path.exists() and keeper.keeper.kept == "file")
    assert keeper.calls == ["off"]

    # Unreadable, then readable, then gone, then with its folder gone.
    def unreadable(self: KillSwitch) -> tuple[int, int] | None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(KillSwitch, "identity", unreadable)
        until(lambda: any("EIO" in line for line in keeper.said))
    until(lambda: any("orders stay off" in line for line in keeper.said))
    keeper.switch.path.unlink()
    until(lambda: keeper.switch.path.exists())
    assert any("is gone; only `quietcore clear` ends a kill" in line for line in keeper.said)
    assert keeper.calls == ["off"]
    assert keeper.keeper.clear() == ""
    assert keeper.calls == ["off", "on"]
    assert not keeper.switch.path.exists()
    # Put aside by a clear from where no socket of ours can be reached.
    send_usr1()
    until(lambda: keeper.keeper.kept == "file")
    assert keeper.switch.clear()
    until(lambda: keeper.calls == ["off", "on"] * 2)
    # A file that cannot be removed: the clear is not given.
    send_usr1()
    until(lambda: keeper.keeper.kept == "file")
    keeper.switch.path.unlink()
    keeper.switch.path.mkdir()
    assert "cannot be cleared" in keeper.keeper.clear()
    assert keeper.keeper.is_off


def test_an_unreadable_switch_holds_orders_back_until_it_can_be_read(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[OSError] = [OSError(24, "Too many open files")]
    real = KillSwitch.identity

    def identity(self: KillSwitch) -> tuple[int, int] | None:
        if errors:
            raise errors[0]
        return real(self)

    monkeypatch.setattr(KillSwitch, "identity", identity)
    keeper.keeper.start()
    assert keeper.calls == ["off"], "before anything can be ordered"
    errors.clear()
    until(lambda: keeper.calls == ["off", "on"])
    assert not keeper.switch.path.exists(), "nobody gave a kill"


def test_a_kill_that_nothing_can_keep_is_kept_in_memory_and_said(keeper: Keeper) -> None:
    keeper.can_note = False
    keeper.keeper.start()
    keeper.switch.spare.unlink()
    keeper.switch.path.parent.rmdir()
    keeper.switch.path.parent.write_text("in the way")
    keeper.keeper.kill("by the test")
    until(lambda: any("a restart would not know of it" in line for line in keeper.said))
    assert keeper.keeper.state()["kept"] == ""
    keeper.switch.path.parent.unlink()
    until(lambda: keeper.switch.path.exists(), 5.0)
    assert keeper.keeper.reason == "by the test"


def test_the_keepers_threads_outlive_their_errors(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that runs out in the middle of a kill: what failed is done again."""
    tries: list[int] = []

    def off() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise MemoryError
        keeper.calls.append("off")

    monkeypatch.setattr(keeper.keeper, "_off", off)
    keeper.keeper.start()
    send_usr1()
    until(lambda: keeper.calls == ["off"])
    assert any("MemoryError" in line for line in keeper.said)


def test_who_may_talk_to_the_keeper_and_what_it_ignores(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.keeper.start()
    address = "\0" + address_of(keeper.switch.path, os.getpid())

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(5)
        connection.connect(address)
        return connection

    for request in (b"", b"{", b"[]", b'{"do": "dance"}'):
        with connect() as connection:
            connection.send(request)
            assert connection.recv(100) == b"", "what is not known ends the conversation"
    # A clear from somebody who has gone by the time that it is read.
    keeper.keeper.kill("by the test")
    with connect() as connection:
        connection.send(b'{"do": "clear"}')
    time.sleep(0.3)
    with monkeypatch.context() as patch:

        def refused(*_: object, **__: object) -> None:
            raise OSError(24, "Too many open files")

        patch.setattr(socket, "socket", refused)
        assert kill_client.runtimes(keeper.switch.path) == [], "the file and the status are left"
    (found,) = kill_client.runtimes(keeper.switch.path)
    assert found.pid == os.getpid()
    answer = found.ask("state", 5.0)
    assert answer is not None
    assert (answer["killed"], answer["off"], answer["open"]) == ("by the test", True, 0)
    answer = found.ask("clear", 5.0)
    assert answer is not None
    assert (answer["problem"], answer["off"]) == ("", False)
    found.close()
    if os.geteuid() == 0:
        program = (
            "import os, socket, sys\nos.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.settimeout(5)\n"
            "s.connect(bytes.fromhex(sys.argv[1]))\n"
            'try:\n    s.send(b\'{"do": "clear"}\')\n    print(s.recv(100))\n'
            "except ConnectionError:\n    print(b'')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, address.encode().hex()],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout.strip() == "b''", "another user is not heard"


def test_reserve_gives_back_descriptors_below_a_lowered_limit() -> None:
    reserve = Reserve(3)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    hogs = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hogs), limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            [os.open("/dev/null", os.O_RDONLY) for _ in range(top + 2)]
        assert reserve.lend()
        os.close(os.open("/dev/null", os.O_RDONLY))
        reserve.release()
        assert not reserve.lend()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for handle in hogs:
            os.close(handle)
    assert reserve.fill()
    reserve.release()


def test_a_manager_that_is_deaf_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not process.notify("WATCHDOG=1")
