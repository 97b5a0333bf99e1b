"""The fair server of kernel 6.12 and later: the time that real-time threads leave to all others on a CPU."""

from __future__ import annotations

import re

from ..cpulist import format_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_FOLDER = "/sys/kernel/debug/sched/fair_server"
_SINCE = (6, 12)
_PERIOD_NS = 1_000_000_000
_LEAST_NS = 1_000_000


class FairServerKind(Kind):
    """`wanted` is the nanoseconds of each second, `options.cpus` the list of CPUs."""

    name = "fair_server"
    applied = "written live"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"{_FOLDER}/cpuN/runtime"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse none at all, more than there is, and unknown CPUs."""
        known = {cpu.number for cpu in machine.topology.online()}
        cpus = parse_cpu_list(str(setting.options.get("cpus", "")))
        if not cpus or cpus - known:
            raise refuse(
                setting,
                "unknown CPUs, or none",
                f"CPUs out of {format_cpu_list(known)}",
                format_cpu_list(cpus),
            )
        text = str(setting.wanted)
        if not text.isdecimal() or not _LEAST_NS <= int(text) < _PERIOD_NS:
            raise refuse(
                setting,
                "without it a spinning real-time thread starves the kernel threads of its CPU for ever"
                if text == "0"
                else "not a share of a second",
                f"{_LEAST_NS} to {_PERIOD_NS - 1} nanoseconds (the kernel's own is 50000000)",
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare each CPU's share with the one wanted."""
        found: dict[str, list[int]] = {}
        try:
            for cpu in sorted(parse_cpu_list(str(setting.options.get("cpus", "")))):
                found.setdefault(context.machine.read(_path(cpu)), []).append(cpu)
        except AbsentError as error:
            return _absent(setting, context.machine, error)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        text = ", ".join(f"{value} on {format_cpu_list(cpus)}" for value, cpus in sorted(found.items()))
        if set(found) == {str(setting.wanted)}:
            return report(setting, Verdict.OK, text)
        return report(setting, Verdict.DRIFT, text, f"{_FOLDER} was written after it was set", APPLY)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return a write for each CPU that has another share."""
        changes: list[Change] = []
        for cpu in sorted(parse_cpu_list(str(setting.options.get("cpus", "")))):
            try:
                found = context.machine.read(_path(cpu))
            except (AbsentError, UnreadableError):
                continue  # the judgement tells, and the other CPUs get theirs
            if found != str(setting.wanted):
                changes.append(Change(f"value:{_path(cpu)}", found, str(setting.wanted)))
        return changes

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is one of the CPUs' files."""
        cpus = parse_cpu_list(str(setting.options.get("cpus", "")))
        return target in {f"value:{_path(cpu)}" for cpu in cpus}


def _path(cpu: int) -> str:
    return f"{_FOLDER}/cpu{cpu}/runtime"


def _absent(setting: Setting, machine: Machine, error: AbsentError) -> Finding:
    """Tell a kernel without it from one whose debugfs is not mounted."""
    try:
        release = machine.read("/proc/sys/kernel/osrelease")
    except (AbsentError, UnreadableError) as unknown:
        return cannot_tell(setting, unknown)
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is not None and (int(match[1]), int(match[2])) < _SINCE:
        return unsupported(setting, f"kernel {release}: the fair server came with 6.12")
    if not machine.exists("/sys/kernel/debug/sched"):
        return cannot_tell(setting, error, "mount debugfs: systemctl start sys-kernel-debug.mount")
    return unsupported(setting, f"kernel {release} has no {_FOLDER}")
