"""Frequencies above the nominal one, which one switch for all CPUs allows or forbids."""

from __future__ import annotations

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

# Path, and what it holds where turbo is on and off; the first that is there counts.
_SWITCHES = (
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", {"on": "0", "off": "1"}),
    ("/sys/devices/system/cpu/cpufreq/boost", {"on": "1", "off": "0"}),
)


class TurboKind(Kind):
    """`wanted` is on or off; which switch there is depends on the driver."""

    name = "turbo"
    applied = "written live, and at each boot"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return " or ".join(path for path, _ in _SWITCHES)

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is neither on nor off."""
        if setting.wanted not in ("on", "off"):
            raise refuse(setting, "not a state of turbo", "on or off")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the switch with what is wanted."""
        try:
            path, states, found = _switch(context.machine)
        except AbsentError as error:
            return unsupported(setting, error)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        shown = next((state for state, value in states.items() if value == found), f"{found} in {path}")
        if shown == setting.wanted:
            return report(setting, Verdict.OK, shown)
        cause = f"{path} was changed after it was set, or the firmware forbids turbo"
        return report(setting, Verdict.DRIFT, shown, cause, APPLY)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the write, where the switch stands otherwise."""
        try:
            path, states, found = _switch(context.machine)
        except (AbsentError, UnreadableError):
            return []
        wanted = states[str(setting.wanted)]
        return [] if found == wanted else [Change(f"value:{path}", found, wanted)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is one of the switches."""
        return target in {f"value:{path}" for path, _ in _SWITCHES}


def _switch(machine: Machine) -> tuple[str, dict[str, str], str]:
    for path, states in _SWITCHES:
        try:
            return path, states, machine.read(path)
        except AbsentError:
            continue
    raise AbsentError("no switch for turbo: neither intel_pstate/no_turbo nor cpufreq/boost exists")
