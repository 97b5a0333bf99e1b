"""What the kernel reads the time from."""

from __future__ import annotations

from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report, unsupported

_FOLDER = "/sys/devices/system/clocksource/clocksource0"
CURRENT, AVAILABLE = f"{_FOLDER}/current_clocksource", f"{_FOLDER}/available_clocksource"


class ClocksourceKind(Kind):
    """`wanted` is the clock source, such as tsc; one that the kernel does not offer is unsupported."""

    name = "clocksource"
    applied = "written live"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return CURRENT

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what cannot be a clock source's name."""
        if not str(setting.wanted).replace("_", "").replace("-", "").isalnum():
            raise refuse(setting, "not a clock source", "a name such as tsc")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the clock source in use with the one wanted."""
        try:
            current = context.machine.read(CURRENT)
            if current == setting.wanted:
                return report(setting, Verdict.OK, current)
            available = context.machine.read(AVAILABLE)
        except AbsentError as error:
            return unsupported(setting, error)
        except UnreadableError as error:
            return cannot_tell(setting, error)
        if setting.wanted not in available.split():
            cause = (
                f"the kernel offers {available} only: it found {setting.wanted} missing or unstable, as in most "
                "virtual machines (its log says why)"
            )
            return unsupported(setting, cause, current)
        return report(setting, Verdict.DRIFT, current, "another one was chosen, by hand or at boot", APPLY)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the write, where the kernel offers it and uses another one."""
        finding = self.judge(setting, context)
        if finding.verdict is not Verdict.DRIFT:
            return []
        return [Change(f"value:{CURRENT}", finding.found, str(setting.wanted))]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file."""
        return target == f"value:{CURRENT}"
