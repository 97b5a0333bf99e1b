"""A file that each CPU has of its own, such as its frequency governor."""

from __future__ import annotations

from dataclasses import replace

from ..cpulist import format_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_CHOICES = {
    "cpufreq/scaling_governor": "cpufreq/scaling_available_governors",
    "cpufreq/energy_performance_preference": "cpufreq/energy_performance_available_preferences",
}
# The kernel's own words (admin-guide/pm/cpufreq.rst and intel_pstate.rst): another one is misspelt, not unsupported.
_WORDS = {
    "cpufreq/scaling_governor": (
        "performance",
        "powersave",
        "userspace",
        "ondemand",
        "conservative",
        "schedutil",
    ),
    "cpufreq/energy_performance_preference": (
        "default",
        "performance",
        "balance_performance",
        "balance_power",
        "power",
    ),
}
_CAUSES = {
    "cpufreq": "changed after it was set: another power daemon (tuned, power-profiles-daemon, cpufrequtils)?",
    "online": "taken off line or brought back by hand, or by another program",
}


class PerCpuKind(Kind):
    """`name` is the path below /sys/devices/system/cpu/cpuN/, `options.cpus` the list of CPUs it is wanted on.

    `online` is one of them: 0 takes a CPU off line, which only a sibling of one that stays may be.
    """

    name = "per_cpu"
    applied = "written live on each CPU, and at each boot"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"/sys/devices/system/cpu/cpu[{setting.options.get('cpus', '')}]/{setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown CPUs, and words that no driver knows; what this machine's driver lacks is judged."""
        topology = machine.topology
        known = {cpu.number for cpu in (topology.cpus if setting.name == "online" else topology.online())}
        cpus = cpus_of(setting)
        if setting.name == "online":
            _check_online(setting, machine, cpus)
        if not cpus or cpus - known or ".." in setting.name:
            raise refuse(
                setting,
                "unknown CPUs, or none",
                f"CPUs out of {format_cpu_list(known)}",
                format_cpu_list(cpus) or "none",
            )
        if setting.wanted in _WORDS.get(setting.name, (setting.wanted,)):
            return
        for cpu in sorted(cpus):
            choices = _offered(setting, machine, cpu)
            if choices is not None and str(setting.wanted) not in choices:
                raise refuse(setting, f"the driver of CPU {cpu} does not offer this", " or ".join(choices))

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what each CPU shows with what is wanted."""
        found: dict[str, list[int]] = {}
        lacking: list[int] = []
        cpus = cpus_of(setting)
        for cpu in sorted(cpus):
            try:
                found.setdefault(context.machine.read(cpu_path(cpu, setting.name)), []).append(cpu)
            except AbsentError:
                lacking.append(cpu)
            except UnreadableError as error:
                return cannot_tell(setting, error)
        wanted = f"{setting.wanted} on {format_cpu_list(cpus)}"
        if lacking and not found:
            return unsupported(
                setting, f"no CPU of {format_cpu_list(lacking)} has {setting.name}: no driver offers it here"
            )
        text = ", ".join(f"{value} on {format_cpu_list(numbers)}" for value, numbers in sorted(found.items()))
        others = [cpu for value, numbers in found.items() if value != str(setting.wanted) for cpu in numbers]
        without = [cpu for cpu in others if not _offers(setting, context.machine, cpu)]
        if others and without == others and not lacking:
            offered = " or ".join(_offered(setting, context.machine, without[0]) or ())
            cause = f"the driver of CPU {format_cpu_list(without)} offers no {setting.wanted}, only {offered}"
            return replace(unsupported(setting, cause, text), wanted=wanted)
        if lacking:
            cause = f"CPU {format_cpu_list(lacking)} has no {setting.name}"
            return report(
                setting, Verdict.DRIFT, text, cause, "bring the CPUs on line, then " + APPLY, wanted
            )
        if list(found) != [str(setting.wanted)]:
            cause = _CAUSES.get(setting.name.split("/")[0], "changed after it was set")
            return report(setting, Verdict.DRIFT, text, cause, f"stop what sets it, then {APPLY}", wanted)
        return report(setting, Verdict.OK, text, wanted=wanted)

    def baseline(self, setting: Setting) -> list[str]:
        """Return what it writes."""
        return [f"value:{cpu_path(cpu, setting.name)}" for cpu in sorted(cpus_of(setting))]

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return a write for each CPU that shows something else."""
        changes: list[Change] = []
        for cpu in sorted(cpus_of(setting)):
            path = cpu_path(cpu, setting.name)
            try:
                found = context.machine.read(path)
            except (AbsentError, UnreadableError):
                continue  # the judgement tells, and the other CPUs get theirs
            if found != str(setting.wanted) and _offers(setting, context.machine, cpu):
                changes.append(Change(f"value:{path}", found, str(setting.wanted)))
        return changes

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is one of the CPUs' files."""
        cpus = cpus_of(setting)
        return target in {f"value:{cpu_path(cpu, setting.name)}" for cpu in cpus}


def _check_online(setting: Setting, machine: Machine, cpus: frozenset[int]) -> None:
    """Refuse states that are none, and a core that would have no CPU left."""
    if str(setting.wanted) not in ("0", "1"):
        raise refuse(setting, "not a state of a CPU", "0 (off line) or 1")
    if str(setting.wanted) == "1":
        return
    cores = [{cpu.number for cpu in core} for core in machine.topology.cores().values()]
    whole = [core for core in cores if core <= cpus]
    if whole or 0 in cpus:
        found = format_cpu_list(whole[0] if whole else {0})
        raise refuse(
            setting,
            f"a core would be left without a CPU, or the system without CPU 0: {found}",
            "siblings of CPUs that stay on line",
            format_cpu_list(cpus),
        )


def _offered(setting: Setting, machine: Machine, cpu: int) -> list[str] | None:
    """Return the values that a CPU's driver names, None where it names none."""
    if setting.name not in _CHOICES:
        return None
    try:
        return machine.read(cpu_path(cpu, _CHOICES[setting.name])).split()
    except (AbsentError, UnreadableError):
        return None


def _offers(setting: Setting, machine: Machine, cpu: int) -> bool:
    offered = _offered(setting, machine, cpu)
    return offered is None or str(setting.wanted) in offered


def cpus_of(setting: Setting) -> frozenset[int]:
    """Return the CPUs that a setting is about."""
    return parse_cpu_list(str(setting.options.get("cpus", "")))


def cpu_path(cpu: int, name: str) -> str:
    """Return a CPU's file."""
    return f"/sys/devices/system/cpu/cpu{cpu}/{name}"
