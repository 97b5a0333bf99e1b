"""Variables that a running service was started with: what it obeys, whatever its files say by now."""

from __future__ import annotations

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..units import environment_of
from .base import Context, Kind, cannot_tell, refuse, report


class EnvironmentKind(Kind):
    """`name` is the service, `wanted` its variables and their values.

    Files promised beside it bring it about; the service is started anew when one of them changes.
    """

    name = "environment"
    applied = "by files of its unit, and a restart when they change"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"/proc/PID/environ of {setting.name}"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is no service with variables."""
        if (
            not setting.name.endswith(".service")
            or not isinstance(setting.wanted, dict)
            or not setting.wanted
        ):
            raise refuse(setting, "not a service's environment", "a service, and its variables", setting.name)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the variables of the running process with those wanted."""
        restart = f"systemctl restart {setting.name}"
        try:
            found = environment_of(context.machine, setting.name)
        except AbsentError as error:
            return report(setting, Verdict.MISSING, "not running", str(error), restart)
        except (UnreadableError, ValueError) as error:
            return cannot_tell(setting, error)
        shown = ", ".join(f"{name} {found.get(name, 'not set')}" for name in setting.wanted)
        if all(found.get(name) == str(value) for name, value in setting.wanted.items()):
            return report(setting, Verdict.OK, shown)
        cause = "started before its files were changed, or another file of its unit wins"
        return report(setting, Verdict.DRIFT, shown, cause, f"systemctl cat {setting.name}; {restart}")
