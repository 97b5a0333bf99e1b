"""The files that bring boot parameters: what they are to hold, and whether that needs a trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import ExitCode, QuietcoreError
from . import boot_entries, boot_loader
from .boot_environment import read_variable
from .boot_loader import menu_bytes
from .boot_others import refuse_others
from .boot_trial import (
    GOOD,
    SCRIPT,
    STATE,
    Plan,
    Stage,
    Trial,
    default_before,
    load_trial,
    menu_has,
    plan_trial,
    prepared,
    stage,
)
from .grub import CannotTellError
from .grub_defaults import DROP_IN, words_in
from .kinds import Context
from .kinds.kernel_parameter import parameter_value
from .machine import AbsentError, UnreadableError
from .settings import Setting
from .targets import read_target


@dataclass(frozen=True)
class BootFiles:
    """Content of the drop-in and of the script with the frozen entries, None where they are not to exist.

    `plan` is there where these parameters are still to be put on trial. `saved`, `state` and `menu` are what stood
    there before: GRUB's default entry, the state file, the menu's bytes; a refusal puts them back.
    """

    drop_in: str | None = None
    script: str | None = None
    on_trial: bool = False
    plan: Plan | None = None
    saved: str | None = None
    state: dict[str, str] | None = None
    menu: bytes | None = None

    @property
    def words(self) -> list[str]:
        """The parameters."""
        return words_in(self.drop_in)


def drop_in_history(context: Context) -> list[list[str]]:
    """Return the parameters of each content that our drop-in has had, the present one included."""
    target = f"file:{DROP_IN}"
    contents = [entry.new for entry in context.journal.entries() if entry.target == target]
    contents.append(read_target(context.machine, target))
    return [words_in(str(content["content"])) for content in contents if isinstance(content, dict)]


def words_ever_written(context: Context) -> list[str]:
    """Return the parameters that our drop-in has had at any time, the present ones included."""
    return list(dict.fromkeys(word for words in drop_in_history(context) for word in words))


def boot_files(context: Context) -> BootFiles:
    """Return what the files are to hold. Raises QuietcoreError where the known good entry cannot be kept."""
    machine, parameters = context.machine, context.of_kind("kernel_parameter")
    if not parameters or boot_loader.obstacle(machine) is not None:
        return BootFiles()
    trial = load_trial(machine)
    # Where there was a trial GRUB can do it: asking again takes two programs.
    on_trial = bool(context.of_kind("boot_trial")) and (
        trial is not None or context.one_shot_obstacle is None
    )
    drop_in = boot_loader.drop_in_content(parameters, map(parameter_value, parameters), saved=on_trial)
    files = BootFiles(drop_in, on_trial=on_trial)
    _refuse_others(context, parameters, files.words)
    if not on_trial:
        return files
    there = read_target(machine, f"file:{SCRIPT}")
    script = None if there is None else str(there["content"])
    if trial is not None and trial.status != "prepared" and list(trial.words) == files.words:
        return replace(files, script=script)
    if in_effect(context, files.words):
        return replace(files, script=script)
    if stage(machine, trial) is Stage.RUNNING and trial is not None and list(trial.words) != files.words:
        raise QuietcoreError(
            "other boot parameters are on trial in this boot",
            where=STATE,
            found=" ".join(trial.words),
            remedy="wait until the boot is confirmed (`quietcore boot wait`), then run this again",
            code=ExitCode.UNKNOWN,
        )
    history = drop_in_history(context)
    plan = plan_trial(machine, files.words, history, trial)
    return replace(
        files,
        script=plan.script,
        plan=plan,
        saved=read_variable(machine, "saved_entry"),
        state=read_target(machine, f"file:{STATE}"),
        menu=menu_bytes(machine),
    )


def _refuse_others(context: Context, parameters: list[Setting], words: list[str]) -> None:
    """Refuse new parameters of which another value is configured. Raises QuietcoreError, before anything is changed."""
    if boot_entries.in_use(context.machine):
        return
    there = read_target(context.machine, f"file:{DROP_IN}")
    written = words_in(None if there is None else str(there["content"]))
    new = [setting for setting, word in zip(parameters, words, strict=True) if word not in written]
    if new:
        refuse_others(context.machine, new, words_ever_written(context))


def in_effect(context: Context, words: Sequence[str]) -> bool:
    """Tell whether the running kernel has these parameters, and none that we wrote earlier and want no more."""
    gone = [word for word in words_ever_written(context) if word not in words]
    running = still_running(context, [*words, *gone])
    return running == list(words)


def menu_lags(context: Context, files: BootFiles, gone: list[str]) -> bool:
    """Tell whether GRUB's menu must be written anew to have these parameters and entries and to lose those.

    True too where an earlier run was cut off between the files and the menu.
    """
    if boot_loader.obstacle(context.machine) is not None:
        return False
    if (files.words or gone) and not boot_loader.menu_is_current(context.machine, files.words, gone):
        return True
    return not menu_has(context.machine, files.script)


def still_running(context: Context, words: list[str]) -> list[str]:
    """Return which of these parameters the running kernel was started with."""
    try:
        running = context.machine.command_line
    except (AbsentError, UnreadableError):
        return []
    return [word for word in words if word in running]


def now() -> str:
    """Return the time as the records have it: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def trial_to_prepare(context: Context, files: BootFiles) -> Trial:
    """Return the record that a trial begins with."""
    assert files.plan is not None
    return prepared(files.plan, files.words, context.machine.boot_id, now())


def trial_to_settle(context: Context, files: BootFiles) -> Trial | None:
    """Return the record for parameters that need no trial because they are in effect; None where it is there."""
    machine, trial = context.machine, load_trial(context.machine)
    if files.plan is not None or not files.on_trial:
        return None
    if (
        trial is not None
        and list(trial.words) == files.words
        and stage(machine, trial) not in (Stage.CONFIRMED, Stage.IN_EFFECT)
    ):
        return None
    if trial is not None and trial.status in ("confirmed", "settled") and list(trial.words) == files.words:
        return None if read_variable(machine, "saved_entry") != GOOD else trial
    try:
        default = trial.default if trial is not None else default_before(machine)
    except CannotTellError:
        default = "0"
    return Trial("settled", "settled", tuple(files.words), default, machine.boot_id, now())
