"""How long a planned CPU may take to wake: bounds its idle states (C-states), and those of no other CPU."""

from __future__ import annotations

from ..cpulist import format_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, cannot_tell, refuse, report, unsupported
from .per_cpu import PerCpuKind, cpu_path, cpus_of

_DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver"
FILE = "power/pm_qos_resume_latency_us"


class IdleLatencyKind(PerCpuKind):
    """`wanted` is a number of µs, or `n/a`: none at all, the CPU polls. The kernel reads 0 as no bound.

    Audited too is what follows: no state that is deeper is left open by the CPU's idle driver.
    """

    name = "idle_latency"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown CPUs, and bounds that are none."""
        super().check(setting, machine)
        text = str(setting.wanted)
        if setting.name != FILE or not (text == "n/a" or (text.isdecimal() and 0 < int(text) < 1 << 31)):
            raise refuse(
                setting, "not a bound on the time to wake", "1 or more µs, or n/a: polls instead of idling"
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the bound on each CPU, and name the deepest state that it leaves."""
        machine = context.machine
        try:
            driver = machine.read(_DRIVER)
        except AbsentError as error:
            return unsupported(setting, error)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        if driver in ("", "none"):
            return unsupported(
                setting, "no cpuidle driver: the hypervisor or firmware idles by its own rules"
            )
        finding = super().judge(setting, context)
        if finding.verdict is not Verdict.OK:
            return finding
        try:
            states = {cpu: _deepest(machine, cpu, str(setting.wanted)) for cpu in sorted(cpus_of(setting))}
        except (AbsentError, UnreadableError, ValueError) as error:
            return cannot_tell(setting, error)
        text = "; ".join(
            f"down to {state} on {format_cpu_list(cpu for cpu, name in states.items() if name == state)}"
            for state in sorted(set(states.values()))
        )
        if "no state" in states.values():
            cause = "every state that wakes in time is disabled: the CPU uses the least deep one all the same"
            return report(setting, Verdict.DRIFT, text, cause, "enable cpuidle/state*/disable, then " + APPLY)
        return report(setting, Verdict.OK, f"{finding.found}: {text}", wanted=finding.wanted)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return a write for each CPU that has another bound, where there is an idle driver that obeys it."""
        try:
            if context.machine.read(_DRIVER) in ("", "none"):
                return []
        except (AbsentError, UnreadableError):
            return []
        return super().changes(setting, context)


def _deepest(machine: Machine, cpu: int, bound: str) -> str:
    """Return the deepest state that wakes within the bound and is not disabled. Raises AbsentError or ValueError."""
    limit = 0 if bound == "n/a" else int(bound)
    folder = machine.path(cpu_path(cpu, "cpuidle"))
    names = sorted((path.name for path in folder.glob("state[0-9]*")), key=lambda name: int(name[5:]))
    if not names:
        raise AbsentError(f"{cpu_path(cpu, 'cpuidle')} has no states")
    deepest = "no state"
    for name in names:
        state = cpu_path(cpu, f"cpuidle/{name}")
        if machine.read(f"{state}/disable") == "0" and int(machine.read(f"{state}/latency")) <= limit:
            deepest = machine.read(f"{state}/name")
    return deepest
