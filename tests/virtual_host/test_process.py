"""Finding, watching and ending qemu, with stand-ins for it."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost import accelerator, image, lifecycle, machine, process, programs, record
from quietcore.vhost.monitor import SOCKET_NAME, Monitor
from quietcore.vhost.places import Places, chosen_name
from quietcore.vhost.progress import Progress

QUIET = Progress(quiet=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("QUIETCORE_VHOST_DIR", str(tmp_path / "state"))
    found = Places(tmp_path / "state", "test")
    found.folder.mkdir(parents=True)
    return found


def start_stand_in(host: Places, cwd: Path, name: str = "qemu-stand-in") -> subprocess.Popen[bytes]:
    program = host.root / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    found = subprocess.Popen([str(program), "60"], cwd=cwd)
    host.pid_file.write_text(f"{found.pid}\n")
    end = time.monotonic() + 10
    while not Path(f"/proc/{found.pid}/cmdline").read_bytes() and time.monotonic() < end:
        time.sleep(0.01)  # it is empty while the program is loaded
    return found


@pytest.fixture
def stand_in(host: Places) -> Iterator[subprocess.Popen[bytes]]:
    found = start_stand_in(host, host.folder)
    yield found
    found.kill()
    found.wait()


def test_names() -> None:
    assert chosen_name("a-1") == "a-1"
    for bad in ("", "../up", "images", "logs", "Demo", "a" * 40, ".hidden"):
        if bad:
            with pytest.raises(QuietcoreError, match="not a name"):
                chosen_name(bad)


def test_name_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIETCORE_VHOST", "mine")
    assert chosen_name() == "mine"
    assert chosen_name("other") == "other"
    monkeypatch.delenv("QUIETCORE_VHOST")
    assert chosen_name() == "demo"


def test_running_host_is_found_and_ended(host: Places, stand_in: subprocess.Popen[bytes]) -> None:
    assert process.running_pid(host) == stand_in.pid
    assert process.end(host)
    assert stand_in.poll() is not None or process._gone(stand_in.pid)
    assert process.running_pid(host) is None
    assert not host.pid_file.exists()


def test_stale_number_of_somebody_elses_process_is_left_alone(host: Places, tmp_path: Path) -> None:
    foreign = start_stand_in(host, tmp_path)
    try:
        assert process.running_pid(host) is None
        assert not process.end(host)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_process_in_the_folder_that_is_not_qemu_is_left_alone(host: Places) -> None:
    shell = start_stand_in(host, host.folder, name="shell")
    try:
        assert process.running_pid(host) is None
    finally:
        shell.kill()
        shell.wait()


def test_panic_on_the_console_ends_the_wait_at_once(host: Places, stand_in: subprocess.Popen[bytes]) -> None:
    host.console.write_text("[ 1.0] Kernel panic - not syncing: no root\r\n[ 1.1] ---[ end ]---\r\n")
    with pytest.raises(
        QuietcoreError, match=r"the console says 'Kernel panic.*console\.log; found last lines: .*end"
    ) as caught:
        process.wait_for(host, lambda: False, 60, what="no answer")
    assert caught.value.code == ExitCode.UNKNOWN


def test_wait_ends_with_qemu_and_with_its_time(host: Places, stand_in: subprocess.Popen[bytes]) -> None:
    ticks = iter(range(1000))
    with pytest.raises(QuietcoreError, match="no answer: not within 5 s"):
        process.wait_for(host, lambda: False, 5, what="no answer", clock=lambda: float(next(ticks)) * 3)
    stand_in.kill()
    stand_in.wait()
    with pytest.raises(QuietcoreError, match="no answer: qemu ended"):
        process.wait_for(host, lambda: False, 60, what="no answer")


def test_console_logs_are_kept_apart_by_boot(host: Places) -> None:
    for boot in range(8):
        process._rotate(host.console)
        host.console.write_text(f"boot {boot}")
    kept = {file.name: file.read_text() for file in host.folder.glob("console.log*")}
    assert kept["console.log"] == "boot 7"
    assert kept["console.log.1"] == "boot 6"
    assert len(kept) == 6


def test_qemu_that_does_not_start_is_quoted(host: Places) -> None:
    with pytest.raises(QuietcoreError, match=r"qemu did not start: .*qemu\.log; found qemu: no such device"):
        process.launch(host, ["sh", "-c", "echo 'qemu: no such device' >&2; exit 1"])


def test_host_that_fails_to_come_up_leaves_no_qemu(host: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything up to qemu is stood in for; qemu starts, and the wait for ssh is interrupted as by Ctrl-C."""
    started: list[subprocess.Popen[bytes]] = []

    def launch(at: Places, command: list[str]) -> subprocess.Popen[bytes]:
        started.append(start_stand_in(at, at.folder))
        return started[0]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    made = image.Image(host.root / "images" / "bookworm-0")
    made.folder.mkdir(parents=True)
    made.host_key.write_text("ssh-ed25519 AAAA host")
    monkeypatch.setattr(programs, "require_tools", lambda _: None)
    monkeypatch.setattr(programs, "run", lambda *_, **__: None)
    monkeypatch.setattr(machine, "find_firmware", lambda: machine.Firmware(Path("code"), Path("vars")))
    monkeypatch.setattr(image, "build", lambda *_, **__: made)
    monkeypatch.setattr(accelerator, "choose", lambda *_: accelerator.Choice("tcg", "asked"))
    monkeypatch.setattr(process, "launch", launch)
    monkeypatch.setattr(process, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.up("test", cold=True, progress=QUIET)
    assert started
    assert started[0].poll() is not None or process._gone(started[0].pid)
    assert record.info("test") is None


def test_stopped_host_keeps_its_image_and_its_release(host: Places) -> None:
    assert lifecycle._kept_image(host, None) is None
    host.disk.touch()
    host.record.write_text('{"image": "bookworm-0"}')
    assert lifecycle._kept_image(host, None) is None, "the image is gone: the disk is of no use"
    made = image.Image(host.images / "bookworm-0")
    made.folder.mkdir(parents=True)
    made.disk.touch()
    assert lifecycle._kept_image(host, None) == made
    assert lifecycle._kept_image(host, "bookworm") == made
    with pytest.raises(QuietcoreError, match="another release: test; found bookworm; expected trixie"):
        lifecycle._kept_image(host, "trixie")


def test_down_removes_the_host_keeps_its_logs_and_says_whether_there_was_one(host: Places) -> None:
    host.console.write_text("last words")
    assert record.names() == ["test"]
    assert lifecycle.down("test", progress=QUIET)
    assert not host.folder.exists()
    assert (host.root / "logs" / "test" / "console.log").read_text() == "last words"
    assert record.names() == []
    assert not lifecycle.down("test", progress=QUIET)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}'])
def test_unreadable_record_means_not_up(text: str, host: Places, stand_in: subprocess.Popen[bytes]) -> None:
    host.record.write_text(text)
    assert record.info("test") is None
    host.record.write_text(json.dumps({"pid": stand_in.pid, "field": "of another version"}))
    assert record.info("test") is None
    with pytest.raises(QuietcoreError, match="not up: test; remedy: quietcore vhost up --name test"):
        record.require_up("test")


def test_too_little_memory_is_said_before_qemu_starts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000000 kB\nMemAvailable:    1048576 kB\n")
    lifecycle._demand_memory(machine.Shape(memory=1024), meminfo)
    with pytest.raises(
        QuietcoreError, match=r"not enough memory.*found 1024 MiB available; expected 2048 MiB"
    ):
        lifecycle._demand_memory(machine.Shape(), meminfo)


def test_silent_qemu_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError, match=r"qemu does not answer on its monitor: .*No such file"):
        Monitor(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / SOCKET_NAME))
        server.listen()
        with pytest.raises(QuietcoreError, match="nothing within 0 s"):
            Monitor(tmp_path, timeout=0.2)


def test_monitor_speaks_over_a_socket_with_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    descriptor = os.open(folder, os.O_PATH)
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    os.close(descriptor)
    server.listen()

    def qemu() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as lines:
            lines.write('{"QMP": {}}\n')
            for answer in (
                '{"return": {}}',
                '{"event": "RESUME"}\n{"return": "said"}',
                '{"error": {"desc": "no"}}',
            ):
                lines.flush()
                lines.readline()
                lines.write(answer + "\n")

    thread = threading.Thread(target=qemu)
    thread.start()
    with Monitor(folder, timeout=20) as monitor:
        assert monitor.human("info version") == "said"
        with pytest.raises(QuietcoreError, match="qemu refused stop; found no"):
            monitor.command("stop")
    thread.join()
    server.close()
