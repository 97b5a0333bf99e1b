"""Pinning by hand: threads found by process, unit or name, moved, and read back."""

from __future__ import annotations

import errno
import fnmatch
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ExitCode, QuietcoreError
from .cpulist import format_cpu_list, kernel_cpu_list, parse_cpu_list
from .machine import PLAN, AbsentError, Machine, UnreadableError
from .plan import SETS
from .texts.control_groups import read_control_groups
from .threads import Thread, processes_of, read_thread, read_threads

PINNED, HELD, REFUSED, ENDED, SHOWN = "pinned", "already there", "refused", "ended", "as it is"


@dataclass(frozen=True)
class Pinned:
    """What became of one thread. `reason` says why it was refused, or what else is to be known."""

    pid: int
    tid: int
    name: str
    unit: str
    before: str
    wanted: str
    after: str
    result: str
    reason: str = ""


def find(
    machine: Machine, pids: Iterable[int], units: Iterable[str], names: Iterable[str]
) -> tuple[list[Thread], list[str]]:
    """Return the threads of all that match, and what matched nothing. Raises QuietcoreError."""
    chosen: set[int] = set()
    missing: list[str] = []
    try:
        for pid in pids:
            if machine.exists(f"/proc/{pid}/task"):
                chosen.add(pid)
            else:
                missing.append(f"process {pid}")
        for unit in units:
            found = processes_of(machine, unit)
            chosen.update(found)
            missing += [] if found else [f"unit {unit}: no process"]
        if names := list(names):
            leaders = [thread for thread in read_threads(machine) if thread.tid == thread.pid]
            for name in names:
                matching = [item.pid for item in leaders if fnmatch.fnmatchcase(item.name, name[:15])]
                chosen.update(matching)
                missing += [] if matching else [f"name {name}: no process"]
        return read_threads(machine, chosen), missing
    except UnreadableError as error:
        raise QuietcoreError(
            "processes cannot be read", where=str(error), remedy="run as root", code=ExitCode.UNKNOWN
        ) from error


def planned(machine: Machine, name: str, path: str = PLAN) -> frozenset[int]:
    """Return the CPUs of one set of the plan. Raises QuietcoreError."""
    try:
        cpus = frozenset(map(int, json.loads(machine.read(path))["sets"][name]))
    except (AbsentError, UnreadableError) as error:
        raise QuietcoreError(
            "there is no core plan", where=path, found=str(error), remedy="run site.yml, or name --cpus"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise QuietcoreError(
            "not a core plan", where=path, found=repr(error), expected=f"the sets {', '.join(SETS)}"
        ) from error
    if not cpus:
        raise QuietcoreError("this set has no CPU", where=path, found=name)
    return cpus


def listed(machine: Machine, text: str) -> frozenset[int]:
    """Return the CPUs of a list. Raises QuietcoreError where one of them does not exist or is off line."""
    cpus = parse_cpu_list(text)
    online = {cpu.number for cpu in machine.topology.online()}
    if not cpus or cpus - online:
        wrong = f"CPU {format_cpu_list(cpus - online)} does not exist or is off line" if cpus else "no CPU"
        raise QuietcoreError(
            wrong, where="--cpus", found=text, expected=f"CPUs out of {format_cpu_list(online)}"
        )
    return cpus


def show(threads: Iterable[Thread]) -> list[Pinned]:
    """Return where threads may run, without moving any."""
    return [_line(thread, thread.allowed, format_cpu_list(thread.allowed), SHOWN) for thread in threads]


def pin(
    machine: Machine, threads: Iterable[Thread], cpus: frozenset[int], check: bool = False
) -> list[Pinned]:
    """Let threads run on these CPUs only, read each back, and say what refused and why."""
    return [_pin(machine, thread, cpus, check) for thread in threads]


def _pin(machine: Machine, thread: Thread, cpus: frozenset[int], check: bool) -> Pinned:
    before = format_cpu_list(thread.allowed)
    if thread.allowed == cpus:
        return _line(thread, cpus, before, HELD)
    if thread.bound:
        return _line(thread, cpus, before, REFUSED, "a thread of the kernel that stays on its CPU")
    if check:
        return _line(thread, cpus, before, SHOWN, "would be pinned")
    try:
        machine.set_affinity(thread.tid, cpus)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return _line(thread, cpus, "", ENDED)
        return _line(thread, cpus, before, REFUSED, _reason(machine, thread, cpus, error))
    now = read_thread(machine, thread.pid, thread.tid)
    if now is None or now.key != thread.key:
        return _line(thread, cpus, "", ENDED)
    after = format_cpu_list(now.allowed)
    if now.allowed == cpus:
        return _line(thread, cpus, after, PINNED)
    reason = (
        _cpuset(machine, thread, cpus)
        or "something moved it again at once: a daemon that pins by its own rules?"
    )
    return _line(thread, cpus, after, REFUSED, reason)


def _reason(machine: Machine, thread: Thread, cpus: frozenset[int], error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "not permitted: run as root"
    if error.errno == errno.EINVAL:
        return _cpuset(machine, thread, cpus) or "the kernel does not let this thread be moved there"
    return os.strerror(error.errno or 0)


def _cpuset(machine: Machine, thread: Thread, cpus: frozenset[int]) -> str:
    """Return which control group keeps a thread off some of the CPUs, the innermost with a cpuset."""
    path = f"/proc/{thread.pid}/cgroup"
    try:
        groups = read_control_groups(machine.read_raw(path), path)
    except (AbsentError, UnreadableError):
        return ""
    own = groups.by_controller.get("cpuset")  # of version 1, below its own mount
    base, file = (
        ("/sys/fs/cgroup", "cpuset.cpus.effective")
        if own is None
        else ("/sys/fs/cgroup/cpuset", "cpuset.effective_cpus")
    )
    parts = [part for part in (own or groups.unified or "/").split("/") if part]
    for depth in range(len(parts), -1, -1):
        group = "/".join(["", *parts[:depth]])
        place = f"{base}{group}/{file}"
        try:
            effective = kernel_cpu_list(machine.read(place), place)
        except (AbsentError, UnreadableError):
            continue
        if cpus - effective:
            return f"its control group {group or '/'} has the CPUs {format_cpu_list(effective)} only"
        return ""
    return ""


def _line(thread: Thread, cpus: frozenset[int], after: str, result: str, reason: str = "") -> Pinned:
    return Pinned(
        pid=thread.pid,
        tid=thread.tid,
        name=thread.name,
        unit=next((part for part in reversed((thread.group or "").split("/")) if part), ""),
        before=format_cpu_list(thread.allowed),
        wanted=format_cpu_list(cpus),
        after=after,
        result=result,
        reason=reason,
    )
