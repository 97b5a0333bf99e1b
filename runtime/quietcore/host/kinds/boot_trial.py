"""New boot parameters are booted once, beside an entry that is known to be good, until a boot is confirmed."""

from __future__ import annotations

from ...errors import QuietcoreError
from .. import boot_loader
from ..boot_environment import read_variable
from ..boot_trial import GOOD, SCRIPT, STATE, Stage, Trial, load_trial, stage, why_left
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from .base import APPLY, Context, Kind, cannot_tell, refuse, report, unsupported

OPTIONS = ("minutes", "units")


class BootTrialKind(Kind):
    """`name` is `grub`, `wanted` is `one-shot`; `options.minutes` until a boot that is not confirmed is left,
    `options.units` that must be active for a boot to be confirmed.
    """

    name = "boot_trial"
    applied = "two frozen entries by a script in /etc/grub.d; the new one is booted once first"
    needs_boot = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return f"{STATE}, GRUB's environment and /proc/cmdline"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse other boot loaders, times that are none, and units that are no names."""
        if (setting.name, setting.wanted) != ("grub", "one-shot"):
            raise refuse(setting, "not a way to try boot parameters", "grub, one-shot", setting.name)
        minutes, units = setting.options.get("minutes", 5), setting.options.get("units", [])
        if not isinstance(minutes, int) or not 1 <= minutes <= 60:
            raise refuse(setting, "not a time for a boot to be confirmed in", "1 to 60 minutes", minutes)
        if not isinstance(units, list) or not all(isinstance(unit, str) and "." in unit for unit in units):
            raise refuse(setting, "not a list of units", "names such as chrony.service", units)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Tell where the trial stands."""
        machine = context.machine
        parameters = context.of_kind("kernel_parameter")
        obstacle = boot_loader.obstacle(machine)
        if obstacle is None and machine.can_run:  # a copied tree does not tell what its /boot lies on
            obstacle = context.one_shot_obstacle
        if parameters and obstacle is not None:
            return unsupported(setting, obstacle, "the new parameters are the default at once")
        try:
            trial = load_trial(machine)
            now = stage(machine, trial)
            saved = read_variable(machine, "saved_entry")
        except (AbsentError, UnreadableError, QuietcoreError) as error:
            return cannot_tell(setting, error)
        if trial is None or now is Stage.NONE:
            if not parameters:
                return report(setting, Verdict.OK, "nothing to try")
            return report(
                setting, Verdict.MISSING, "not prepared", f"{STATE} does not know these parameters", APPLY
            )
        if now is Stage.FELL_BACK:
            new = all(word in machine.command_line for word in trial.words)
            return report(
                setting,
                Verdict.DRIFT,
                "the new parameters run unconfirmed" if new else "fell back to the old parameters",
                f"the boot with the new ones (armed {trial.time}) was not confirmed: {why_left(machine, trial)}"
                + ("; this boot has them by another entry than the trial's, or by hand" if new else ""),
                "change the parameters and apply them, or mend the cause and run `quietcore boot retry`",
            )
        if now is Stage.ARMED:
            return report(setting, Verdict.PENDING, "armed", "the next boot is the trial", "reboot")
        if now is Stage.RUNNING:
            return report(setting, Verdict.OK, "on trial", "this boot is not confirmed yet: `quietcore boot`")
        if saved == GOOD and machine.exists(SCRIPT):
            return report(
                setting,
                Verdict.MISSING,
                f"{now.value}, until the next boot",
                "GRUB's default is still the old entry",
                APPLY,
            )
        return report(setting, Verdict.OK, f"{now.value} {trial.time}")


def fallen_back(context: Context) -> str | None:
    """Return why the boot with the parameters fell back, None where it did not."""
    trial = _at(context, Stage.FELL_BACK)
    return None if trial is None else why_left(context.machine, trial)


def is_armed(context: Context) -> bool:
    """Tell whether the next boot is the trial, whichever boot its files are from: one before a power cut, maybe."""
    return _at(context, Stage.ARMED) is not None


def _at(context: Context, where: Stage) -> Trial | None:
    """Return the trial if it stands there; where nobody can tell, the trial's own finding says so."""
    if not context.of_kind("boot_trial"):
        return None
    try:
        trial = load_trial(context.machine)
        return trial if stage(context.machine, trial) is where else None
    except (AbsentError, UnreadableError, QuietcoreError):
        return None
