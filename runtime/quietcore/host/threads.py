"""Threads: which there are, where each may run, and moving them.

A thread is named `PID:TID:START` (its process, its number and its start in clock ticks since boot), so that a number
that was given to another thread meanwhile is not mistaken for it.

Which unit a process is of is told by its control group in the hierarchy that systemd keeps: the unified one, or
`name=systemd` of cgroup version 1 and of the hybrid layout. Where that cannot be told, no unit is "not running".
"""

from __future__ import annotations

import errno
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .cpulist import format_cpu_list, parse_cpu_list
from .machine import AbsentError, Machine, UnreadableError
from .texts.control_groups import ControlGroups, read_control_groups
from .texts.tasks import TaskStatus, read_task_stat
from .unreadable import EndedError

# include/linux/sched.h
_PF_NO_SETAFFINITY = 0x04000000
_PF_KTHREAD = 0x00200000
POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}


@dataclass(frozen=True)
class Thread:
    """One thread. `allowed` is where it may run, `group` its control group (`/system.slice/ssh.service`) in systemd's

    hierarchy, None where it cannot be told which that is.
    """

    pid: int
    tid: int
    name: str
    start: int
    flags: int
    policy: str
    priority: int
    allowed: frozenset[int]
    group: str | None

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

    Raises UnreadableError where /proc does not show all processes, or one cannot be read.
    """
    chosen = _all_processes(machine) if pids is None else sorted(set(pids))
    hierarchy = _Hierarchy(machine)
    found: list[Thread] = []
    for pid in chosen:
        try:
            group = hierarchy.group_of(pid)
            tasks = sorted(int(path.name) for path in machine.path(f"/proc/{pid}/task").iterdir())
        except EndedError:
            continue
        except OSError as error:
            if machine.exists(f"/proc/{pid}/task"):
                raise UnreadableError(f"/proc/{pid}/task: {error.strerror}") from error
            continue
        except (AbsentError, UnreadableError):
            if machine.exists(f"/proc/{pid}/task"):
                raise
            continue
        for tid in tasks:
            thread = read_thread(machine, pid, tid, group)
            if thread is not None:
                found.append(thread)
    return found


def processes_of(machine: Machine, pattern: str) -> list[int]:
    """Return the processes of the units of this name or pattern.

    Raises UnreadableError, also where it cannot be told which units processes are of.
    """
    hierarchy = _Hierarchy(machine)
    found: list[int] = []
    for pid in _all_processes(machine):
        try:
            group = hierarchy.group_of(pid)
        except EndedError:
            continue
        except (AbsentError, UnreadableError):
            if machine.exists(f"/proc/{pid}/cgroup"):
                raise
            continue
        if unit_of(known_group(pid, group), pattern):
            found.append(pid)
    return found


def known_group(pid: int, group: str | None) -> str:
    """Return a control group that must be known. Raises UnreadableError where it is not."""
    if group is None:
        raise UnreadableError(
            f"/proc/{pid}/cgroup: cannot tell which unit this process is of: neither a line 0:: nor name=systemd is "
            "known to be the hierarchy that systemd keeps"
        )
    return group


def _all_processes(machine: Machine) -> list[int]:
    """Return the numbers of all processes. Raises UnreadableError where they are hidden."""
    pids = machine.processes()
    if not pids:
        raise UnreadableError("/proc shows no process")
    if pids[0] != 1:  # each has a process 1: what hides it hides others (hidepid of proc(5))
        raise UnreadableError("/proc does not show process 1: other users' processes are hidden")
    return pids


class _Hierarchy:
    """Finds each process's control group in the hierarchy that systemd keeps: the one in which process 1 has a group.

    Where there is only one candidate, it is that one; a `name=systemd` made for containers on a unified host, and a
    version 2 mounted beside version 1 by somebody else, have all of systemd's processes at their root.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        try:
            first = self._groups(1)
            self._named = first.systemd not in (None, "/")
            self._unified = first.unified not in (None, "/")
        except (AbsentError, UnreadableError):
            self._named = self._unified = False

    def _groups(self, pid: int) -> ControlGroups:
        path = f"/proc/{pid}/cgroup"
        return read_control_groups(self._machine.read_raw(path), path)

    def group_of(self, pid: int) -> str | None:
        """Return the group, None where it cannot be told. Raises AbsentError or UnreadableError."""
        groups = self._groups(pid)
        if groups.unified is None:
            return groups.systemd
        if groups.systemd is None:
            return None if self._named else groups.unified
        if self._named:  # hybrid: systemd keeps both alike
            return groups.systemd
        if self._unified:
            return groups.unified
        return groups.systemd if groups.systemd == groups.unified else None


def unit_of(group: str, pattern: str) -> str:
    """Return the unit of a control group where its name is of this pattern, else an empty text."""
    return next((part for part in group.split("/") if fnmatch.fnmatchcase(part, pattern)), "")


def read_thread(machine: Machine, pid: int, tid: int, group: str | None = None) -> Thread | None:
    """Return one thread, None where it has ended. Raises UnreadableError."""
    folder = f"/proc/{pid}/task/{tid}"
    try:
        stat = read_task_stat(machine.read(f"{folder}/stat"), f"{folder}/stat")
        status = TaskStatus(machine.read(f"{folder}/status"), f"{folder}/status")
    except EndedError:
        return None
    except (AbsentError, UnreadableError):
        if machine.exists(f"{folder}/stat"):
            raise
        return None
    return Thread(
        pid=pid,
        tid=tid,
        name=stat.name,
        start=stat.start,
        flags=stat.flags,
        policy=POLICIES.get(stat.policy, str(stat.policy)),
        priority=stat.priority,
        allowed=status.allowed,
        group=group,
    )


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
