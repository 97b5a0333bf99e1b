"""The qemu process of a virtual host: start, find, watch and end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost.monitor import SOCKET_NAME, Monitor
from quietcore.vhost.places import Places

_KEPT_CONSOLES = 5
_FATAL = ("Kernel panic - not syncing", "You are in emergency mode", "Entering emergency mode", "ALERT!  ")


def running_pid(host: Places) -> int | None:
    """Return qemu's process number, None where the host is not running.

    A number left in the file after a crash may belong to somebody else by now: only a process that works in the
    host's own folder counts.
    """
    try:
        pid = int(host.pid_file.read_text(encoding="ascii"))
        at_home = Path(f"/proc/{pid}/cwd").readlink() == host.folder.resolve()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if at_home and b"qemu" in command.split(b"\0", 1)[0] else None


def _rotate(console: Path) -> None:
    for number in range(_KEPT_CONSOLES - 1, 0, -1):
        older = console.with_name(f"{console.name}.{number}")
        if older.is_file():
            older.rename(console.with_name(f"{console.name}.{number + 1}"))
    if console.is_file():
        console.rename(console.with_name(f"{console.name}.1"))


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last non-empty lines of a log, free of control characters."""
    with contextlib.suppress(OSError):
        text = file.read_bytes()[-20000:].decode(errors="replace")
        lines = ("".join(c for c in line if c.isprintable()).strip() for line in text.splitlines())
        return [line for line in lines if line][-count:]
    return []


def console_shows(host: Places, words: bytes) -> bool:
    """Return whether the present boot's console has said ``words``."""
    try:
        return words in host.console.read_bytes()
    except OSError:
        return False


def launch(host: Places, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start qemu in the host's folder and return when its monitor answers.

    It gets a session of its own: a Ctrl-C meant for us must not end a host that is up.
    """
    _rotate(host.console)
    (host.folder / SOCKET_NAME).unlink(missing_ok=True)
    with host.qemu_log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=host.folder,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(QuietcoreError), Monitor(host.folder):
                return process
            if process.poll() is not None:
                raise QuietcoreError(
                    "qemu did not start",
                    where=str(host.qemu_log),
                    found=" | ".join(last_lines(host.qemu_log, 3)) or f"exit status {process.returncode}",
                    code=ExitCode.UNKNOWN,
                )
            if time.monotonic() > end:
                raise QuietcoreError(
                    "qemu does not answer on its monitor", where=str(host.qemu_log), code=ExitCode.UNKNOWN
                )
            time.sleep(0.05)
    except BaseException:
        process.kill()
        process.wait()
        raise


def wait_for(
    host: Places,
    ready: Callable[[], bool],
    seconds: float,
    *,
    what: str,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Poll until ``ready``; raise QuietcoreError when qemu ends, the guest says it is lost, or time is over."""
    end = clock() + seconds
    while not ready():
        failure = None
        if running_pid(host) is None:
            failure = "qemu ended"
        else:
            text = "\n".join(last_lines(host.console, 60))
            failure = next((f"the console says {sign.strip()!r}" for sign in _FATAL if sign in text), None)
        if failure is None and clock() > end:
            failure = f"not within {seconds:.0f} s"
        if failure:
            shown = last_lines(host.console, 3) or last_lines(host.qemu_log, 3)
            raise QuietcoreError(
                f"{what}: {failure}",
                where=str(host.console),
                found="last lines: " + (" | ".join(shown) or "none"),
                remedy="read the console log there; `quietcore vhost down` and `up` start afresh",
                code=ExitCode.UNKNOWN,
            )
        time.sleep(0.3)


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)  # ours, when started by this very process
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True
    return state == "Z"


def _wait_gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not _gone(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def power_down(host: Places, seconds: float) -> bool:
    """Press the power button and return whether the guest went down by itself within ``seconds``."""
    pid = running_pid(host)
    if pid is None:
        return True
    with contextlib.suppress(QuietcoreError), Monitor(host.folder) as monitor:
        monitor.command("system_powerdown")
    return _wait_gone(pid, seconds)


def end(host: Places) -> bool:
    """End qemu, kindly first; return whether there was one."""
    pid = running_pid(host)
    if pid is None:
        return False
    asked = False
    with contextlib.suppress(QuietcoreError), Monitor(host.folder, timeout=10) as monitor:
        monitor.command("quit")
        asked = True
    if not asked or not _wait_gone(pid, 10):
        for ask in (signal.SIGTERM, signal.SIGKILL):
            if running_pid(host) != pid:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, ask)
            if _wait_gone(pid, 10):
                break
    host.pid_file.unlink(missing_ok=True)
    return True


def keep_logs(host: Places) -> None:
    """Move the logs of a host that goes away to where the next one of its name finds them replaced."""
    target = host.root / "logs" / host.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for log in (host.qemu_log, *host.folder.glob(f"{host.console.name}*")):
        if log.is_file():
            log.rename(target / log.name)


def remove(host: Places) -> bool:
    """Remove the host's folder; return whether there was one."""
    found = host.folder.is_dir()
    shutil.rmtree(host.folder, ignore_errors=True)
    return found
