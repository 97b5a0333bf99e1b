"""A guest that hangs in translated code, and one that does not, on a real emulator: boot sectors of a few bytes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quietcore.errors import QuietcoreError
from quietcore.vhost import machine, stale_code
from quietcore.vhost.monitor import Monitor

pytestmark = pytest.mark.skipif(
    shutil.which(machine.QEMU) is None,
    reason=f"{machine.QEMU} is not installed: ansible/controller/setup.py host",
)

DEAF = b"\xfa\xeb\xfe"  # cli; jmp $
IDLE = b"\xfb\xf4\xeb\xfc"  # sti; hlt; jmp to sti
BUSY = b"\xfb\xeb\xfe"  # sti; jmp $

Boot = Callable[[bytes], Monitor]

REGISTERS = """\
CPU#0
RAX=0000000000000000 RBX=ffff89a4bbd72b40
RIP=ffffffffa2017a0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 00000000 00000000
CPU#1
RIP=ffffffffa1746755 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0

CPU#2
EIP=0000fff0 EFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CPU#11
EIP=00007c01 EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
CPU#12
EIP=00007c01 EFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
"""


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Boot a sector; the monitor is the watch's own."""
    running: list[subprocess.Popen[bytes]] = []
    monitors: list[Monitor] = []

    def start(code: bytes) -> Monitor:
        (tmp_path / "disk").write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        command = [
            *(machine.QEMU, "-nodefaults", "-machine", "q35", "-display", "none"),
            *machine.accelerator_arguments("tcg"),
            *("-drive", "file=disk,format=raw"),
            *stale_code.arguments("tcg"),
        ]
        running.append(subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL))
        end = time.monotonic() + 60
        while True:
            try:
                monitors.append(Monitor(tmp_path, name=stale_code.MONITOR_SOCKET))
                break
            except QuietcoreError:
                assert running[-1].poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
        while not re.search(r"[ER]IP=0*7c0", said := monitors[-1].human("info registers")):
            assert time.monotonic() < end, said
            time.sleep(0.1)
        return monitors[-1]

    yield start
    for monitor in monitors:
        monitor.close()
    for process in running:
        process.kill()
        process.wait()


def processes() -> Iterator[tuple[Path, list[bytes]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield folder, (folder / "cmdline").read_bytes().split(b"\0")


def watchers(at: Path) -> list[int]:
    words = [b"quietcore.vhost.emulator_watch", str(at).encode()]
    return [int(folder.name) for folder, command in processes() if command[-3:-1] == words]


def qemus(at: Path) -> list[int]:
    found = []
    for folder, command in processes():
        with contextlib.suppress(OSError):
            if machine.QEMU.encode() in command[0] and (folder / "cwd").readlink() == at:
                found.append(int(folder.name))
    return found


def flushes(monitor: Monitor, least: int = 0) -> int:
    """Return how often the emulator forgot its translations; wait for so many, since it does in its own time."""
    end = time.monotonic() + 20
    while True:
        found = re.search(r"TB flush count\s+(\d+)", monitor.human("info jit"))
        assert found
        if int(found[1]) >= least or time.monotonic() > end:
            return int(found[1])
        time.sleep(0.1)


def test_registers_say_who_works_with_interrupts_off() -> None:
    assert stale_code.deaf_cpus(REGISTERS) == {1, 11}
    assert stale_code.deaf_cpus("nothing of the kind") == set()


def test_the_guest_goes_on_after_a_flush(boot: Boot, tmp_path: Path) -> None:
    monitor = boot(BUSY)
    before = flushes(monitor)
    stale_code.flush(tmp_path)
    assert flushes(monitor, before + 1) == before + 1
    status = monitor.command("query-status")
    assert isinstance(status, dict)
    assert status["running"] is True
    stale_code.flush(tmp_path)
    assert flushes(monitor, before + 2) == before + 2


@pytest.mark.parametrize(("code", "hangs"), [(DEAF, True), (BUSY, False), (IDLE, False)])
def test_a_guest_that_hangs_is_flushed_and_no_other(
    boot: Boot, tmp_path: Path, code: bytes, hangs: bool
) -> None:
    monitor, said = boot(code), list[str]()
    monitor.taken_events()
    before = flushes(monitor)
    watch = stale_code.Watch(tmp_path, monitor, said.append)
    for _ in range(stale_code.LOOKS - 1):
        watch.look()
    assert said == []
    watch.look()
    wanted = ["interrupts off for 16 s on CPU 0; its translated code was thrown away"] if hangs else []
    assert said == wanted
    assert flushes(monitor, before + hangs) == before + hangs
    watch.look()
    assert said == wanted, "it counts from the start"


def test_a_reset_is_followed_by_a_flush(boot: Boot, tmp_path: Path) -> None:
    monitor, said = boot(IDLE), list[str]()
    monitor.taken_events()
    watch = stale_code.Watch(tmp_path, monitor, said.append)
    monitor.command("system_reset")
    end = time.monotonic() + 20
    while not said and time.monotonic() < end:
        watch.look()
    assert said == ["the guest was reset; its translated code was thrown away"]


def test_a_stopped_guest_is_left_alone(boot: Boot, tmp_path: Path) -> None:
    monitor, said = boot(DEAF), list[str]()
    monitor.command("stop")
    watch = stale_code.Watch(tmp_path, monitor, said.append)
    for _ in range(2 * stale_code.LOOKS):
        watch.look()
    assert said == []


def test_the_watch_ends_with_qemu(boot: Boot, tmp_path: Path) -> None:
    monitor, log = boot(DEAF), tmp_path / "log"
    monitor.close()  # the socket serves one at a time
    stale_code.start(tmp_path, log)
    end = time.monotonic() + 60
    while b"thrown away" not in log.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.2)
    assert watchers(tmp_path)
    for pid in qemus(tmp_path):
        os.kill(pid, signal.SIGKILL)
    while watchers(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert log.read_bytes().count(b"\n") == 1, "a line, and no warning"


def test_a_debugger_that_does_not_answer_is_said(boot: Boot, tmp_path: Path) -> None:
    monitor, said = boot(DEAF), list[str]()
    (tmp_path / stale_code.DEBUGGER_SOCKET).unlink()
    watch = stale_code.Watch(tmp_path, monitor, said.append)
    for _ in range(stale_code.LOOKS):
        watch.look()
    (line,) = said
    assert line.startswith("interrupts off for 16 s on CPU 0; its translated code stays: ")
