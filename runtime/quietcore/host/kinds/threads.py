"""Threads that are not the pipeline's: kept off the isolated CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...errors import QuietcoreError
from ..cpulist import format_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..threads import Thread, known_group, processes_of, read_threads, refuses
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report

_ROUNDS = 5
_SHOWN = 6


class ThreadsKind(Kind):
    """`name` is kernel, user, manager (process 1) or unit:NAME; `wanted` the list of CPUs they may run on.

    `options.slices` are the control groups that do not count as user, `options.guests` names of threads that
    may run anywhere, `options.recheck_seconds` how often a timer moves those that were started elsewhere: younger
    than two such rounds they are named and do not fail; 0 and absent: no such timer.
    """

    name = "threads"
    applied = "moved live"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return "Cpus_allowed_list of /proc/PID/task/TID/status"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown selections and CPUs that are not there."""
        name = setting.name
        if name not in ("kernel", "user", "manager") and not name.startswith("unit:"):
            raise refuse(setting, "unknown selection of threads", "kernel, user, manager or unit:NAME", name)
        try:
            cpus = parse_cpu_list(str(setting.wanted))
        except QuietcoreError as error:
            raise refuse(setting, error.what, error.expected) from None
        known = {cpu.number for cpu in machine.topology.online()}
        if not cpus or cpus - known:
            raise refuse(setting, "unknown CPUs, or none", f"CPUs out of {format_cpu_list(known)}")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """See whether any thread that can be moved may run elsewhere."""
        try:
            selected = _selected(setting, context.machine)
        except (AbsentError, UnreadableError, QuietcoreError, OSError) as error:
            return cannot_tell(setting, error)
        if not selected and setting.name.startswith("unit:"):
            return report(setting, Verdict.OK, "not running")
        astray: list[Thread] = []
        fixed: list[Thread] = []
        reasons: list[str] = []
        for thread in _elsewhere(setting, selected):
            try:
                reason = refuses(context.machine, thread)
            except UnreadableError as error:
                reasons.append(str(error))
                reason = None
            if reason is None:
                astray.append(thread)
            elif reason != "it has ended":
                fixed.append(thread)
        note = f"{len(fixed)} cannot be moved: {_names(fixed)}" if fixed else ""
        young = _younger_than_two_rounds(setting, astray, context.machine)
        if astray and len(young) == len(astray) and not reasons:
            moved = len(selected) - len(fixed) - len(young)
            waiting = f"{_names(young)}: just started, to be moved by the timer"
            return report(
                setting, Verdict.OK, f"all {moved} older ones", "; ".join(filter(None, (waiting, note)))
            )
        if astray:
            causes = [
                f"{_named(astray)}: started or moved after they were set",
                *reasons[:1],
                *([note] if note else []),
            ]
            return report(setting, Verdict.DRIFT, _names(astray), "; ".join(causes), APPLY)
        return report(setting, Verdict.OK, f"all {len(selected) - len(fixed)} that can be moved", note)

    def changes(self, setting: Setting, context: Context) -> Iterator[Change]:
        """Return one change for all that may run elsewhere, and again for those that started meanwhile."""
        machine = context.machine
        wanted = format_cpu_list(parse_cpu_list(str(setting.wanted)))
        seen: set[str] = set()
        for _ in range(_ROUNDS):
            try:
                candidates = _elsewhere(setting, _selected(setting, machine))
                astray = [
                    thread
                    for thread in candidates
                    if thread.key not in seen and refuses(machine, thread) is None
                ]
            except (AbsentError, UnreadableError, OSError) as error:
                raise QuietcoreError(
                    "threads cannot be read, so none is moved", where=setting.name, found=str(error)
                ) from None
            if not astray:
                return
            seen |= {thread.key for thread in astray}
            yield Change(
                f"threads:{setting.name}:{machine.boot_id[:8]}:{astray[0].key}",
                {thread.key: format_cpu_list(thread.allowed) for thread in astray},
                dict.fromkeys([thread.key for thread in astray], wanted),
            )

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is threads that this selection moved."""
        return target.startswith(f"threads:{setting.name}:")


def _selected(setting: Setting, machine: Machine) -> list[Thread]:
    if setting.name == "manager":
        return [thread for thread in read_threads(machine, [1]) if thread.tid == 1]
    if setting.name.startswith("unit:"):
        return read_threads(machine, processes_of(machine, setting.name.partition(":")[2]))
    threads = read_threads(machine)
    if setting.name == "kernel":
        return [thread for thread in threads if thread.kernel]
    users = [thread for thread in threads if not thread.kernel]
    slices, guests = setting.options.get("slices", ()), setting.options.get("guests", ())
    return [
        thread
        for thread in users
        if thread.pid != 1  # systemd itself is a selection of its own
        and thread.name not in guests
        # Where it cannot be told what a thread is of it may be the pipeline's own: then none is moved.
        and known_group(thread.pid, thread.group).split("/")[1:2] not in [[name] for name in slices]
    ]


def _elsewhere(setting: Setting, threads: list[Thread]) -> list[Thread]:
    wanted = parse_cpu_list(str(setting.wanted))
    return [thread for thread in threads if thread.allowed - wanted]


def _younger_than_two_rounds(setting: Setting, threads: list[Thread], machine: Machine) -> list[Thread]:
    seconds = int(setting.options.get("recheck_seconds", 0))
    if not seconds or not threads:
        return []
    uptime = float(machine.read("/proc/uptime").split()[0])
    ticks = os.sysconf("SC_CLK_TCK")
    return [thread for thread in threads if uptime - thread.start / ticks < 2 * seconds]


def _named(threads: list[Thread]) -> str:
    """Return the names alone, each once."""
    names = list(dict.fromkeys(thread.name for thread in threads))
    return ", ".join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")


def _names(threads: list[Thread]) -> str:
    shown = [
        f"{thread.tid} ({thread.name}) on {format_cpu_list(thread.allowed)}" for thread in threads[:_SHOWN]
    ]
    more = len(threads) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
