"""Which process is meant: a number is given to another one when its owner is gone, a number and a start are not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from quietcore.host.texts.tasks import read_task_stat
from quietcore.host.unreadable import NotUnderstoodError

PROC = Path("/proc")
ENDED = ("Z", "X", "x")


def process_start(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 where there is none, or it only waits to be reaped."""
    where = PROC / str(pid) / "stat"
    try:
        found = read_task_stat(where.read_text(errors="replace"), str(where))
    except (OSError, NotUnderstoodError):
        return 0
    return 0 if found.state in ENDED else found.start


def started_at(pid: int) -> float:
    """Return when a process began, Unix time; 0.0 where there is none."""
    ticks = process_start(pid)
    if ticks == 0:
        return 0.0
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - since_boot


def describe(pid: int) -> str:
    """Return a process for a message: its number, when it began, and its command line."""
    began = started_at(pid)
    if not began:
        return f"pid {pid}"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began))
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = ""
    command = " ".join(words.split())[-120:]
    return f"pid {pid}, started {since}" + (f" ({command})" if command else "")


def send_signal(pid: int, start: int, number: signal.Signals) -> bool:
    """Signal the process ``pid`` that began at ``start`` (clock ticks since boot); False where it is gone.

    The descriptor of a process holds on to that process: between the look at its start and the signal, nobody else
    can get its number. Raises PermissionError where it belongs to somebody else.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if process_start(pid) != start:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
