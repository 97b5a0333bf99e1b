"""New boot parameters on trial: booted once, beside a frozen entry that is known to be good.

A script of our own in /etc/grub.d writes both entries, each with kernel and initial RAM disk pinned. GRUB's default
is the good one from before the menu is written; `next_entry` makes the next boot, and only that one, the candidate's.
A boot that is not confirmed is left by itself (see `boot_confirm`), and the one after it is the old one.
"""

from __future__ import annotations

import enum
import hashlib
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .boot_environment import read_variable
from .boot_menu import MENU, boots, entries, environment
from .grub import Boot, CannotTellError, Chosen
from .grub.kernel_line import words_of
from .machine import AbsentError, Machine, UnreadableError
from .menu_entries import render

GOOD = "quietcore-good"
CANDIDATE = "quietcore-candidate"
SCRIPT = "/etc/grub.d/42_quietcore"
STATE = "/var/lib/quietcore/boot_trial.json"
REASON = "/var/lib/quietcore/boot_trial_reason"
MARK = "quietcore.trial"
# A kernel that panics and an initial RAM disk that finds no root reboot by themselves (the latter for dracut too).
TRIAL_WORDS = ("panic=10", "rd.shell=0", "rd.emergency=reboot")
SAVED_ENTRY = "grubenv:saved_entry"
_VERSION = 1


class Stage(enum.StrEnum):
    """Where a trial stands."""

    NONE = "none"  # nothing is on trial, or its preparation was cut off
    ARMED = "armed"  # the next boot is the trial
    RUNNING = "running"  # this boot is the trial
    CONFIRMED = "confirmed"  # a boot that carried the trial's mark was healthy
    IN_EFFECT = "in effect"  # the parameters ran before they were promised: no boot was on trial
    FELL_BACK = "fell back"


@dataclass(frozen=True)
class Trial:
    """What was put on trial. `default` is what GRUB booted before, `boot_id` the boot that armed it."""

    id: str
    status: str  # prepared · armed · healthy (by a boot that carries the mark) · confirmed · settled (without a trial)
    words: tuple[str, ...]
    default: str
    boot_id: str
    time: str  # UTC, of the last change of status
    reason: str = ""  # why the boot was left, where it could still say so

    def to_json(self) -> str:
        """Return the content of the state file."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Plan:
    """The frozen entries for a set of parameters, and whether a trial of them is still to be armed."""

    id: str
    script: str
    default: str
    kernel: str


def load_trial(machine: Machine) -> Trial | None:
    """Return the trial as it was last recorded. Raises QuietcoreError, UnreadableError."""
    try:
        text = machine.read(STATE)
    except AbsentError:
        return None
    try:
        value: dict[str, Any] = json.loads(text)
        if value.pop("version") != _VERSION:
            raise ValueError("another version")
        trial = Trial(**{**value, "words": tuple(value["words"])})
    except (ValueError, TypeError, KeyError) as error:
        raise QuietcoreError(
            "the state of the boot trial cannot be understood",
            where=STATE,
            found=str(error),
            remedy=f"remove {STATE}, then quietcore apply",
            code=ExitCode.UNKNOWN,
        ) from None
    return trial


def stage(machine: Machine, trial: Trial | None) -> Stage:
    """Return where the trial stands. Raises UnreadableError, AbsentError where the command line cannot be read.

    Confirmed is only what a boot whose own command line carries the trial's mark has recorded as healthy: that the new
    parameters run is no proof of anything, GRUB may have booted them after a panic.
    """
    if trial is None:
        return Stage.NONE
    if "settled" in (trial.status, trial.id):
        return Stage.IN_EFFECT
    if trial.status == "confirmed":
        return Stage.CONFIRMED
    if f"{MARK}={trial.id}" in machine.command_line:
        return Stage.RUNNING
    if trial.status == "healthy" and read_variable(machine, "saved_entry") == trial.default:
        return Stage.CONFIRMED  # the power went between setting the default and recording it
    if trial.status not in ("armed", "healthy"):
        return Stage.NONE
    if trial.boot_id == machine.boot_id or read_variable(machine, "next_entry") == CANDIDATE:
        return Stage.ARMED
    return Stage.FELL_BACK


def why_left(machine: Machine, trial: Trial) -> str:
    """Return why a boot was left: what it could still write, or what it means that it wrote nothing."""
    if trial.reason:
        return trial.reason
    try:
        written = "; ".join(machine.read(REASON).splitlines())
    except (AbsentError, UnreadableError):
        written = ""
    return written or (
        "it left no word: the kernel or its initial RAM disk ended it (a panic, a missing root), or the power went"
    )


def without_trial(words: Iterable[str]) -> list[str]:
    """Return a command line as it would be without the words that a trial adds."""
    found = list(words)
    if not any(word.startswith(f"{MARK}=") for word in found):
        return found
    return [word for word in found if word not in TRIAL_WORDS and not word.startswith(f"{MARK}=")]


def plan_trial(
    machine: Machine, words: Sequence[str], earlier: Iterable[Sequence[str]], before: Trial | None
) -> Plan:
    """Return the frozen entries for these parameters; the same host and parameters give the same plan.

    The candidate is the entry that an ordinary boot boots, wherever it stands in the menu. `earlier` are the sets of
    parameters that our drop-in may have put on the menu's command lines.
    Raises QuietcoreError where the running kernel or the menu cannot be frozen.
    """
    default = before.default if before is not None else default_before(machine)
    try:
        ordinary = boots(machine, ordinary_environment(machine, default))
        if ordinary.loaded is None:
            raise _cannot_freeze(f"GRUB's default entry ({default}) boots nothing: {ordinary.boot.why}")
        running = running_words(machine)
        image = running[0].partition("=")[2] if running[:1] and running[0].startswith("BOOT_IMAGE=") else ""
        booted = _booted(machine, ordinary, image)
    except (AbsentError, UnreadableError, CannotTellError) as error:
        raise _cannot_freeze(str(error)) from None
    if booted is None:
        raise _cannot_freeze(f"the running kernel ({image or 'not started by GRUB'}) is not in {MENU}")
    good = without_trial(running[1:])
    candidate = candidate_words(ordinary.boot.words, ordinary.loaded.appended, words, earlier)
    frozen = render(booted, GOOD, "Quietcore: known good", good)
    text = render(ordinary, CANDIDATE, "Quietcore: on trial", candidate)
    digest = hashlib.sha256((frozen + text).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    marked = with_trial(candidate, digest)
    text = render(ordinary, CANDIDATE, "Quietcore: on trial", marked)
    script = _script([(booted.boot, frozen), (ordinary.boot, text)])
    return Plan(digest, script, default, ordinary.boot.kernel)


def running_words(machine: Machine) -> list[str]:
    """Return the words that GRUB gave the running kernel, `BOOT_IMAGE=` first. Raises QuietcoreError for a command line
    that GRUB cannot write.
    """
    line = machine.read_raw("/proc/cmdline").strip("\n")
    found = words_of(line)
    if found is None:
        found = words_of(line.rstrip(" "))
    if found is None:
        raise _cannot_freeze(f"GRUB cannot write the running command line: {line}")
    return [word for word in found if word]


def _booted(machine: Machine, ordinary: Chosen, image: str) -> Chosen | None:
    """Return the entry of the running kernel: the ordinary one, else the first that boots it."""
    if _same_kernel(ordinary.boot.kernel, image):
        return ordinary
    for chosen in entries(machine):
        if chosen.boot.identifier not in (GOOD, CANDIDATE) and _same_kernel(chosen.boot.kernel, image):
            return chosen
    return None


def default_before(machine: Machine) -> str:
    """Return what GRUB boots by itself, our own entries aside. Raises UnreadableError, CannotTellError."""
    saved = read_variable(machine, "saved_entry")
    if saved in (GOOD, CANDIDATE):
        saved = None
    try:
        return (
            boots(machine, environment(machine, {"next_entry": None, "saved_entry": saved})).boot.default
            or "0"
        )
    except AbsentError:
        return "0"


def ordinary_environment(machine: Machine, default: str) -> dict[str, str]:
    """Return GRUB's environment as an ordinary boot has it once nothing is on trial."""
    return environment(machine, {"next_entry": None, "saved_entry": default})


def ordinary_boot(machine: Machine) -> Chosen:
    """Return what an ordinary boot boots once nothing is on trial. Raises AbsentError or UnreadableError."""
    try:
        trial = load_trial(machine)
        default = trial.default if trial is not None else default_before(machine)
        return boots(machine, ordinary_environment(machine, default))
    except QuietcoreError as error:
        raise UnreadableError(str(error)) from None


def candidate_words(
    base: Sequence[str], appended: int, words: Sequence[str], earlier: Iterable[Sequence[str]]
) -> list[str]:
    """Return an entry's words as the drop-in will make them.

    The parameters take the place of those that the drop-in had there before, else they go to the end; what a
    distribution appends after all else by a variable of GRUB (`$vt_handoff`), the last `appended` words, stays last.
    """
    found = list(base)
    for given in sorted({tuple(words), *map(tuple, earlier)}, key=len, reverse=True):
        for start in range(len(found) - len(given) + 1):
            if given and found[start : start + len(given)] == list(given):
                return [*found[:start], *words, *found[start + len(given) :]]
    end = len(found) - appended
    return [*found[:end], *words, *found[end:]]


def with_trial(words: Sequence[str], digest: str) -> list[str]:
    """Return a command line with the words that a trial adds; what follows `--` is not the kernel's."""
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *TRIAL_WORDS, f"{MARK}={digest}", *words[end:]]


def _same_kernel(path: str, image: str) -> bool:
    """Tell whether two paths are of one kernel; either may begin with the device, as `(hd0,gpt2)/boot/…`."""
    return bool(image) and path[path.rfind(")") + 1 :] == image[image.rfind(")") + 1 :]


_END = "QUIETCORE_END"


def _script(frozen: Iterable[tuple[Boot, str]]) -> str:
    parts = [
        "#!/bin/sh",
        "# Written by Quietcore: two frozen entries. `quietcore revert` removes them. Edits are lost.",
        "# An entry whose kernel was removed is left out, so that GRUB never stops at it.",
        "set -e",
    ]
    for boot, text in frozen:
        files = [path[path.rfind(")") + 1 :] for path in (boot.kernel, *boot.initial)]
        # Where /boot is a file system of its own, GRUB's paths begin below it.
        tests = " && ".join(
            f"{{ [ -e {shlex.quote(file)} ] || [ -e {shlex.quote('/boot' + file)} ]; }}" for file in files
        )
        parts += [f"if {tests}; then", f"cat <<'{_END}'", text.rstrip("\n"), _END, "fi"]
    return "\n".join(parts) + "\n"


def frozen_entries(script: str) -> dict[str, str]:
    """Return the script's entries by identifier, as they stand in the menu."""
    texts = [part.partition(f"\n{_END}\n")[0] for part in script.split(f"<<'{_END}'\n")[1:]]
    return {name: text for text in texts for name in (GOOD, CANDIDATE) if f" --id '{name}' {{" in text}


def menu_has(machine: Machine, script: str | None) -> bool:
    """Tell whether the menu has the script's entries, and (without a script) none of ours."""
    try:
        text = machine.read_raw(MENU)
    except (AbsentError, UnreadableError):
        return script is None
    if script is None:
        return not any(f" --id '{name}' {{" in text for name in (GOOD, CANDIDATE))
    guards = [line for line in script.splitlines() if line.startswith("if ")]
    for guard, entry in zip(guards, frozen_entries(script).values(), strict=False):
        files = [word for word in shlex.split(guard) if word.startswith("/")]
        pairs = zip(files[::2], files[1::2], strict=True)
        if all(any(map(machine.exists, pair)) for pair in pairs) and f"\n{entry}\n" not in text:
            return False
    return 'set default="${saved_entry}"' in text


def prepared(plan: Plan, words: Sequence[str], boot_id: str, moment: str) -> Trial:
    """Return the record of a trial that is being prepared."""
    return Trial(plan.id, "prepared", tuple(words), plan.default, boot_id, moment)


def moved(trial: Trial, status: str, boot_id: str, moment: str, reason: str = "") -> Trial:
    """Return the record after a step."""
    return replace(trial, status=status, boot_id=boot_id, time=moment, reason=reason)


def _cannot_freeze(found: str) -> QuietcoreError:
    return QuietcoreError(
        "the entry that is known to be good cannot be frozen, so nothing is put on trial",
        where=MENU,
        found=found,
        remedy="reboot into the kernel that GRUB boots by default, or set boot_params_fallback to never",
        code=ExitCode.FOUND,
    )
