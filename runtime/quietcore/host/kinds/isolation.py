"""CPUs that the scheduler leaves alone: by the kernel's parameters, or by a cpuset partition. Never both."""

from __future__ import annotations

from ...errors import QuietcoreError
from .. import boot_loader
from ..cpulist import format_cpu_list, kernel_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..plan import check_isolable
from ..settings import Setting
from ..targets import PARTITION_UNIT, partition_path
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported, variable
from .kernel_parameter import cpu_part

BOOT_LIST = "/sys/devices/system/cpu/isolated"
_ROOT = "/sys/fs/cgroup"
_MODES = ("boot", "partition")


class IsolationKind(Kind):
    """`name` is boot or partition, `wanted` the list of CPUs, `options.slice` the partition's slice and
    `options.units` the CPUs of each unit inside it.

    The boot parameters belong to the role boot_params; a partition is made by a unit that this kind starts.
    """

    name = "isolation"
    applied = "boot parameters, or a cpuset partition made by a unit"
    needs_boot = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        if setting.name == "boot":
            return BOOT_LIST
        return f"{partition_path(_slice(setting) or 'SLICE')} and cpuset.cpus.effective beside it"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown modes, CPUs that cannot be isolated, and a slice that could never be a partition."""
        if setting.name not in _MODES:
            raise refuse(setting, "unknown way of isolation", " or ".join(_MODES), setting.name)
        try:
            cpus = parse_cpu_list(str(setting.wanted))
        except QuietcoreError as error:
            raise refuse(setting, error.what, error.expected) from None
        cores = [tuple(cpu.number for cpu in core) for core in machine.topology.cores().values()]
        boot = next((core for core in cores if 0 in core), cores[0])
        check_isolable(cores, boot, cpus, variable(setting))
        name = _slice(setting)
        if setting.name == "partition" and (not name.endswith(".slice") or "-" in name or "/" in name):
            raise refuse(
                setting,
                "a partition's slice must lie at the top: a dash would put it below another slice",
                "a name such as quietcore_isolated.slice",
                name,
            )
        for unit, own in setting.options.get("units", {}).items():
            outside = parse_cpu_list(str(own)) - cpus
            if outside:
                raise refuse(
                    setting,
                    f"{unit} could not start in the partition: CPU {format_cpu_list(outside)} is not in it",
                    "`quietcore_isolation: boot` for this host, or a plan that isolates all that the unit uses",
                )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare what the kernel isolates with what is wanted."""
        try:
            if setting.name == "boot":
                return _judge_boot(setting, context.machine)
            return _judge_partition(setting, context.machine)
        except AbsentError as error:
            return unsupported(setting, error)
        except (UnreadableError, QuietcoreError) as error:
            return cannot_tell(setting, error)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the start of the partition, where this boot can have one and it is not there."""
        if setting.name == "boot":
            return []
        finding = self.judge(setting, context)
        if finding.verdict not in (Verdict.DRIFT, Verdict.MISSING) or not finding.readable:
            return []
        if _boot_isolated(context.machine):
            return []  # it takes a boot without isolcpus=domain
        path = partition_path(_slice(setting))
        try:
            found: str | None = context.machine.read(path)
        except AbsentError:
            found = None
        return [Change(f"partition:{_slice(setting)}", found, "isolated")]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the partition."""
        return setting.name == "partition" and target == f"partition:{_slice(setting)}"


def _slice(setting: Setting) -> str:
    return str(setting.options.get("slice", ""))


def _boot_isolated(machine: Machine) -> frozenset[int]:
    """Return the CPUs that the kernel was started to isolate. Raises AbsentError or UnreadableError."""
    return kernel_cpu_list(machine.read(BOOT_LIST), BOOT_LIST)


def _next_boot(machine: Machine) -> frozenset[int] | None:
    """Return the CPUs that the next boot takes out of scheduling, None where nobody can tell."""
    try:
        values = boot_loader.values_of(boot_loader.default_entry(machine), "isolcpus")
    except (AbsentError, UnreadableError):
        return None
    if not values or "domain" not in values[-1].split(","):
        return frozenset()
    try:
        return cpu_part("isolcpus", values[-1])
    except QuietcoreError:
        return None


def _overlapping(machine: Machine, name: str, cpus: frozenset[int]) -> list[str]:
    """Return the other control groups at the top whose cpuset names some of the CPUs."""
    found: list[str] = []
    for path in sorted(machine.path(_ROOT).glob("*/cpuset.cpus")):
        place = f"{_ROOT}/{path.parent.name}/{path.name}"
        try:
            text = machine.read(place)
        except AbsentError:  # it was stopped meanwhile
            continue
        if path.parent.name != name and kernel_cpu_list(text, place) & cpus:
            found.append(path.parent.name)
    return found


def _judge_boot(setting: Setting, machine: Machine) -> Finding:
    wanted, found = parse_cpu_list(str(setting.wanted)), _boot_isolated(machine)
    text = format_cpu_list(found) or "none"
    if found == wanted:
        return report(setting, Verdict.OK, text)
    if _next_boot(machine) == wanted:
        return report(setting, Verdict.PENDING, text, "configured, takes effect at the next boot", "reboot")
    return report(
        setting,
        Verdict.DRIFT,
        text,
        "the kernel was not started with isolcpus=managed_irq,domain and these CPUs",
        "run the role boot_params, then reboot",
    )


def _judge_partition(setting: Setting, machine: Machine) -> Finding:
    wanted, name = parse_cpu_list(str(setting.wanted)), _slice(setting)
    controllers = machine.read(f"{_ROOT}/cgroup.controllers").split()
    if "cpuset" not in controllers:
        return unsupported(setting, f"{_ROOT}/cgroup.controllers has no cpuset")
    booted = _boot_isolated(machine)
    if booted:
        cause = f"this boot isolates {format_cpu_list(booted)} by isolcpus, which excludes partitions"
        if _next_boot(machine) == frozenset():
            return report(setting, Verdict.PENDING, "no partition", f"{cause}; the next does not", "reboot")
        remedy = "run the role boot_params with `quietcore_isolation: partition`, then reboot"
        return report(setting, Verdict.DRIFT, "no partition", cause, remedy)
    try:
        state = machine.read(partition_path(name))
    except AbsentError:
        cause = f"{name} is not started, or this kernel has no cpuset partitions"
        return report(setting, Verdict.MISSING, "no partition", cause, f"systemctl start {PARTITION_UNIT}")
    if state != "isolated":
        # `isolated invalid (reason)` where another cpuset overlaps, or none of the CPUs is left to the others.
        cause = (
            f"the kernel says: {state.partition('(')[2].rstrip(')')}"
            if "invalid" in state
            else "it was changed after it was made"
        )
        others = _overlapping(machine, name, wanted)
        if others:
            cause += f"; {', '.join(others)} names some of these CPUs too"
        # Taken away, a slice's AllowedCPUs= leaves its live cpuset as it was: another value replaces it.
        first = others[0] if others else "SLICE"
        remedy = (
            f"systemctl set-property --runtime {first} AllowedCPUs=OTHERS for each, then {APPLY}; or reboot"
        )
        return report(setting, Verdict.DRIFT, state, cause, remedy)
    place = f"{_ROOT}/{name}/cpuset.cpus.effective"
    effective = kernel_cpu_list(machine.read(place), place)
    if effective != wanted:
        text = f"isolated, but {format_cpu_list(effective) or 'no CPU'}"
        return report(setting, Verdict.DRIFT, text, f"AllowedCPUs= of {name} was changed", APPLY)
    try:  # kernel 6.12 and later say it at the top too
        listed = kernel_cpu_list(
            machine.read(f"{_ROOT}/cpuset.cpus.isolated"), f"{_ROOT}/cpuset.cpus.isolated"
        )
    except AbsentError:
        listed = wanted
    if not wanted <= listed:
        cause = f"{_ROOT}/cpuset.cpus.isolated lacks some of them"
        return report(setting, Verdict.DRIFT, format_cpu_list(listed) or "none", cause, APPLY)
    return report(setting, Verdict.OK, f"isolated: {format_cpu_list(effective)}")
