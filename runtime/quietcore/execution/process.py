"""What the runtime asks of the kernel: a CPU of its own, memory that stays, and word to the service manager.

Each wish is verified by reading back what the kernel did. Where it may not be had, the runtime warns, names
the remedy, and goes on.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from quietcore.errors import QuietcoreError

MCL_CURRENT = 1
M_ARENA_MAX = -8
# linux/prctl.h
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME = 3, 4, 15
SELF = Path("/proc/self")
# A compiled loop needs little stack, and every locked stack is locked whole.
THREAD_STACK_BYTES = 512 * 1024

NOTIFY_SECONDS = 0.2  # a manager that is stopped holds nobody up

Warn = Callable[[str], None]


class ThreadInfo(NamedTuple):
    """One thread of this process as the kernel sees it."""

    name: str
    tid: int
    cpu: int  # where it last ran
    allowed: str  # CPU list
    minor_faults: int
    major_faults: int


def planned_cpu(wish: str | int, role: str, plan: Path) -> int:
    """Return the CPU for ``role`` ("strategy", "gateway"), -1 for none: a number, or "plan" to look it up."""
    if wish != "plan":
        return int(wish)
    remedy = "make the plan (quietcore plan), or name a CPU, or -1 for none, in the configuration"
    try:
        sets = json.loads(plan.read_text())["sets"]
        cpus = [int(cpu) for cpu in sets[role]]
    except FileNotFoundError:
        raise QuietcoreError("core plan is missing", where=str(plan), remedy=remedy) from None
    except OSError as error:
        raise QuietcoreError("core plan cannot be read", where=str(plan), found=error.strerror) from error
    except (ValueError, KeyError, TypeError) as error:
        raise QuietcoreError(
            "core plan is damaged", where=str(plan), found=repr(error), expected=f"sets.{role}", remedy=remedy
        ) from error
    if not cpus:
        raise QuietcoreError("core plan has no CPU for", where=f"{plan}: sets.{role}", remedy=remedy)
    return cpus[0]


def pin(cpu: int, what: str, warn: Warn) -> bool:
    """Pin the calling thread to ``cpu`` (-1: leave it) and return whether the kernel confirms it."""
    if cpu < 0:
        return False
    if sys.platform != "linux":
        warn(f"{what} is not pinned: {sys.platform} cannot pin threads")
        return False
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        if error.errno == errno.EINVAL:
            remedy = "name an online CPU that this process may use (systemd: AllowedCPUs=)"
        else:
            remedy = "run as the owner of the process, or with CAP_SYS_NICE"
        warn(f"{what} is not pinned to CPU {cpu}: {error.strerror}; remedy: {remedy}")
        return False
    found = os.sched_getaffinity(0)
    if found != {cpu}:
        warn(f"{what} is not pinned to CPU {cpu}: the kernel allows {sorted(found)}")
        return False
    return True


def make_room(cpu: int) -> None:
    """Keep the calling thread off ``cpu``, which another thread has for itself, where it may run elsewhere."""
    if sys.platform == "linux" and (rest := os.sched_getaffinity(0) - {cpu}):
        os.sched_setaffinity(0, rest)


def name_thread(name: str) -> None:
    """Name the calling thread for ps, top and /proc: at most 15 bytes."""
    # Not by /proc/self/task/TID/comm: that belongs to root where memory is kept secret.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def keep_memory_secret(warn: Warn) -> bool:
    """Let the kernel write no core file of this process, and let no other of its user read its memory.

    For processes that hold a key: a core file would have it. `prctl(2)`, PR_SET_DUMPABLE.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 and libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0:
            return True
    warn(
        "a core file of this process would hold the key; remedy: LimitCORE=0 and no core_pattern with a pipe"
    )
    return False


def threads() -> list[ThreadInfo]:
    """Return every thread of this process."""
    found = []
    for task in sorted((SELF / "task").iterdir(), key=lambda path: int(path.name)):
        try:
            text = (task / "stat").read_text()
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        allowed = lines["Cpus_allowed_list"].strip()
        found.append(
            ThreadInfo(name, int(task.name), int(fields[36]), allowed, int(fields[7]), int(fields[9]))
        )
    return found


def threads_since(faults: dict[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return every thread for a status, page faults since ``faults`` (minor and major by thread); none without /proc.

    Where no descriptor is left for /proc, neither the rest of a status nor the end of a run waits for it.
    """
    try:
        found = threads()
    except OSError:
        return []
    entries = []
    for info in found:
        minor, major = faults.get(info.tid, (info.minor_faults, info.major_faults))
        entry = info._asdict()
        entry["minor_faults"] -= minor
        entry["major_faults"] -= major
        entries.append(entry)
    return entries


def one_heap() -> None:
    """Let all threads share one heap: glibc reserves 64 MiB for each otherwise, and a lock takes it all."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:  # musl has none, and needs none
            mallopt(M_ARENA_MAX, 1)


def locked_kib() -> int:
    """Return how much memory of this process is locked (VmLck)."""
    for line in (SELF / "status").read_text().splitlines():
        if line.startswith("VmLck:"):
            return int(line.split()[1])
    return 0


def lock_memory(warn: Warn) -> int:
    """Lock what is mapped now and return VmLck in KiB, 0 where it was refused.

    MCL_CURRENT alone: with MCL_FUTURE every later stack and every compiler's arena would be locked too.
    """
    if sys.platform != "linux":
        warn(f"memory is not locked: {sys.platform}")
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT) != 0:
        warn(lock_refusal(ctypes.get_errno()))
        return 0
    kib = locked_kib()
    if kib == 0:
        warn("memory is not locked: the kernel agreed, but VmLck is 0; remedy: check the container's limits")
    return kib


def lock_refusal(number: int) -> str:
    """Return the warning for a refused mlockall: the two causes have different remedies."""
    if number == errno.EPERM:
        remedy = "grant CAP_IPC_LOCK (systemd: AmbientCapabilities=CAP_IPC_LOCK) or a memlock limit above 0"
    elif number == errno.ENOMEM:
        remedy = "raise the memlock limit above the process's size (LimitMEMLOCK=infinity; ulimit -l)"
    else:
        remedy = "none known"
    return f"memory is not locked: {errno.errorcode.get(number, number)}; remedy: {remedy}"


_channel: socket.socket | None = None  # made once: later there may be no descriptor left


def notify(message: str) -> bool:
    """Tell the service manager (sd_notify(3)), for example ``READY=1``; False where there is none, or it is deaf."""
    global _channel
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        if _channel is None:
            _channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            _channel.settimeout(NOTIFY_SECONDS)
            atexit.register(_channel.close)
        _channel.sendto(message.encode(), address)
    except OSError:  # a manager that cannot be told is no reason to stop
        return False
    return True
