"""A systemd unit: started with the system, running, or neither."""

from __future__ import annotations

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..units import UnitState, unit_state
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report

_WANTED = {
    "off": UnitState(enabled=False, active=False),
    "on": UnitState(enabled=True, active=True),
    "enabled": None,  # whether it runs is not judged
}


class UnitKind(Kind):
    """`name` is the unit, `wanted` is off (a unit that does not exist is off), on, or enabled."""

    name = "unit"
    applied = "systemctl"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"systemctl show {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse states that are none."""
        if setting.wanted not in _WANTED:
            raise refuse(setting, "not a state of a unit", ", ".join(_WANTED))

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the unit's state with the wanted one."""
        try:
            state = unit_state(context.machine, setting.name)
        except AbsentError:
            if setting.wanted == "off":
                return report(setting, Verdict.OK, "not installed")
            return report(
                setting, Verdict.MISSING, "no such unit", "it was removed, or never installed", APPLY
            )
        except UnreadableError as error:
            return cannot_tell(setting, error)
        found = (
            f"{'enabled' if state.enabled else 'disabled'}, {'running' if state.active else 'not running'}"
        )
        if _target(setting, state) == state:
            return report(setting, Verdict.OK, found)
        return report(
            setting, Verdict.DRIFT, found, "started, stopped, enabled or disabled by someone else", APPLY
        )

    def baseline(self, setting: Setting) -> tuple[str, ...]:
        """Return what it writes."""
        return (f"unit:{setting.name}",)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the change of state."""
        try:
            state = unit_state(context.machine, setting.name)
        except AbsentError:
            state = UnitState(enabled=False, active=False)
        except UnreadableError as error:
            raise QuietcoreError(
                "the state of a unit cannot be read", where=setting.name, found=str(error)
            ) from None
        target = _target(setting, state)
        return [] if target == state else [Change(f"unit:{setting.name}", _plain(state), _plain(target))]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the unit."""
        return target == f"unit:{setting.name}"


def _target(setting: Setting, state: UnitState) -> UnitState:
    return _WANTED[str(setting.wanted)] or UnitState(enabled=True, active=state.active)


def _plain(state: UnitState) -> dict[str, bool]:
    return {"enabled": state.enabled, "active": state.active}
