"""Threads: which there are, where each may run, and moving them.

A thread is named `PID:TID:START` (its process, its number and its start in clock ticks since boot), so that a number
that was given to another thread meanwhile is not mistaken for it.
"""

from __future__ import annotations

import errno
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cpulist import format_cpu_list, parse_cpu_list
from .machine import AbsentError, Machine, UnreadableError

# include/linux/sched.h
_PF_NO_SETAFFINITY = 0x04000000
_PF_KTHREAD = 0x00200000
POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
# Positions in /proc/PID/stat after the name, which stands in parentheses (proc(5), fields 3 and on).
_FLAGS, _START, _PRIORITY, _POLICY = 6, 19, 37, 38


@dataclass(frozen=True)
class Thread:
    """One thread. `allowed` is where it may run, `group` its control group (`/system.slice/ssh.service`)."""

    pid: int
    tid: int
    name: str
    start: int
    flags: int
    policy: str
    priority: int
    allowed: frozenset[int]
    group: str

    @property
    def key(self) -> str:
        """Return the name by which it is told from a later thread of the same number."""
        return f"{self.pid}:{self.tid}:{self.start}"

    @property
    def kernel(self) -> bool:
        """Whether it is a thread of the kernel."""
        return bool(self.flags & _PF_KTHREAD)

    @property
    def bound(self) -> bool:
        """Whether the kernel refuses to move it (one for each CPU, such as ksoftirqd/3)."""
        return bool(self.flags & _PF_NO_SETAFFINITY)


def read_threads(machine: Machine, pids: Iterable[int] | None = None) -> list[Thread]:
    """Return all threads, or those of some processes, by number; those that end meanwhile are left out.

    Raises UnreadableError where /proc shows no process at all.
    """
    if pids is None:
        try:
            names = [path.name for path in machine.path("/proc").iterdir()]
        except OSError as error:
            raise UnreadableError(f"/proc: {error.strerror}") from error
        pids = [int(name) for name in names if name.isdecimal()]
        if not pids:
            raise UnreadableError("/proc shows no process")
    found: list[Thread] = []
    for pid in sorted(set(pids)):
        try:
            group = _group(machine.read(f"/proc/{pid}/cgroup"))
            tasks = sorted(int(path.name) for path in machine.path(f"/proc/{pid}/task").iterdir())
        except (AbsentError, UnreadableError, OSError):
            if machine.exists(f"/proc/{pid}/task"):
                raise
            continue
        for tid in tasks:
            thread = read_thread(machine, pid, tid, group)
            if thread is not None:
                found.append(thread)
    return found


def processes_of(machine: Machine, pattern: str) -> list[int]:
    """Return the processes of the units of this name or pattern. Raises UnreadableError."""
    try:
        pids = [int(path.name) for path in machine.path("/proc").iterdir() if path.name.isdecimal()]
    except OSError as error:
        raise UnreadableError(f"/proc: {error.strerror}") from error
    if not pids:
        raise UnreadableError("/proc shows no process")
    found: list[int] = []
    for pid in pids:
        try:
            group = _group(machine.read(f"/proc/{pid}/cgroup"))
        except (AbsentError, UnreadableError):
            if machine.exists(f"/proc/{pid}/cgroup"):
                raise
            continue
        if unit_of(group, pattern):
            found.append(pid)
    return sorted(found)


def unit_of(group: str, pattern: str) -> str:
    """Return the unit of a control group where its name is of this pattern, else an empty text."""
    return next((part for part in group.split("/") if fnmatch.fnmatchcase(part, pattern)), "")


def read_thread(machine: Machine, pid: int, tid: int, group: str = "") -> Thread | None:
    """Return one thread, None where it has ended. Raises UnreadableError."""
    folder = f"/proc/{pid}/task/{tid}"
    try:
        name, fields = _stat(machine.read(f"{folder}/stat"))
        status = machine.read(f"{folder}/status")
        return Thread(
            pid=pid,
            tid=tid,
            name=name,
            start=int(fields[_START]),
            flags=int(fields[_FLAGS]),
            policy=POLICIES.get(int(fields[_POLICY]), fields[_POLICY]),
            priority=int(fields[_PRIORITY]),
            allowed=parse_cpu_list(_line(status, "Cpus_allowed_list")),
            group=group,
        )
    except (AbsentError, UnreadableError):
        if machine.exists(f"{folder}/stat"):
            raise
        return None
    except (IndexError, ValueError) as error:
        raise UnreadableError(f"{folder}: {error}") from error


def masks(machine: Machine, keys: Iterable[str]) -> dict[str, str]:
    """Return where threads may run, by key; those that have ended are left out. Raises UnreadableError."""
    found: dict[str, str] = {}
    for key in keys:
        thread = read_thread(machine, int(key.split(":")[0]), int(key.split(":")[1]))
        if thread is not None and thread.key == key:
            found[key] = format_cpu_list(thread.allowed)
    return found


def move(machine: Machine, wanted: Mapping[str, str]) -> dict[str, OSError]:
    """Let threads (by key) run on these CPUs only; one that has ended needs nothing. Return those that refuse."""
    present = masks(machine, wanted)
    refusing: dict[str, OSError] = {}
    for key in present:
        try:
            machine.set_affinity(int(key.split(":")[1]), parse_cpu_list(wanted[key]))
        except OSError as error:
            if error.errno != errno.ESRCH:
                refusing[key] = error
    return refusing


def refuses(machine: Machine, thread: Thread) -> str | None:
    """Return why a thread cannot be moved, found by setting its own CPUs again; None where it can.

    Raises UnreadableError where that cannot be tried.
    """
    if thread.bound:
        return "the kernel keeps it on its CPU"
    if not machine.live:
        raise UnreadableError(f"thread {thread.tid}: whether it can be moved is only told by the live kernel")
    try:
        machine.set_affinity(thread.tid, thread.allowed)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ESRCH):
            return "the kernel refuses" if error.errno == errno.EINVAL else "it has ended"
        raise UnreadableError(f"thread {thread.tid} ({thread.name}): {error.strerror}") from error
    return None


def _stat(text: str) -> tuple[str, list[str]]:
    """Return the name and the fields after it; a name may hold spaces and parentheses itself."""
    start, end = text.index("("), text.rindex(")")
    return text[start + 1 : end], text[end + 1 :].split()


def _line(status: str, name: str) -> str:
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise ValueError(f"no {name}")


def _group(text: str) -> str:
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:]
    return ""
