"""New boot parameters on trial: booted once, beside a frozen entry that is known to be good.

A script of our own in /etc/grub.d writes both entries, each with kernel and initial RAM disk pinned. GRUB's default
is the good one from before the menu is written; `next_entry` makes the next boot, and only that one, the candidate's.
A boot that is not confirmed is left by itself (see `boot_confirm`), and the one after it is the old one.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .boot_environment import read_variable
from .boot_loader import MENU
from .machine import AbsentError, Machine, UnreadableError
from .menu_entries import MenuEntry, default_of, menu_entries, render

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
    CONFIRMED = "confirmed"
    FELL_BACK = "fell back"


@dataclass(frozen=True)
class Trial:
    """What was put on trial. `default` is what GRUB booted before, `boot_id` the boot that armed it."""

    id: str
    status: str  # prepared · armed · confirmed
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
    """Return where the trial stands. Raises UnreadableError, AbsentError where the command line cannot be read."""
    if trial is None:
        return Stage.NONE
    if trial.status == "confirmed":
        return Stage.CONFIRMED
    if f"{MARK}={trial.id}" in machine.command_line:
        return Stage.RUNNING
    if trial.status != "armed":
        return Stage.NONE
    if trial.boot_id == machine.boot_id or read_variable(machine, "next_entry") == CANDIDATE:
        return Stage.ARMED
    if all(word in machine.command_line for word in trial.words):
        return Stage.CONFIRMED  # the power went between setting the default and recording it
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

    `earlier` are the sets of parameters that our drop-in may have put at the end of the menu's command lines.
    Raises QuietcoreError where the running kernel or the menu cannot be frozen.
    """
    try:
        menu, running = machine.read_raw(MENU), list(machine.command_line)
    except (AbsentError, UnreadableError) as error:
        raise _cannot_freeze(str(error)) from None
    entries = [entry for entry in menu_entries(menu) if entry.identifier not in (GOOD, CANDIDATE)]
    if not entries:
        raise _cannot_freeze(f"{MENU} has no entry with a Linux kernel")
    image = next((word.partition("=")[2] for word in running if word.startswith("BOOT_IMAGE=")), "")
    booted = next((entry for entry in entries if _same_kernel(entry.kernel, image)), None)
    if booted is None:
        raise _cannot_freeze(f"the running kernel ({image or 'not started by GRUB'}) is not in {MENU}")
    good = without_trial(word for word in running if not word.startswith("BOOT_IMAGE="))
    candidate = candidate_words(entries[0], words, earlier)
    frozen = render(booted, GOOD, "Quietcore: known good", good)
    text = render(entries[0], CANDIDATE, "Quietcore: on trial", candidate)
    digest = hashlib.sha256((frozen + text).encode()).hexdigest()[:12]
    text = render(
        entries[0],
        CANDIDATE,
        "Quietcore: on trial",
        [*candidate, *TRIAL_WORDS, f"{MARK}={digest}"],
    )
    default = before.default if before is not None else default_before(machine)
    return Plan(digest, _script([(booted, frozen), (entries[0], text)]), default, entries[0].kernel)


def default_before(machine: Machine) -> str:
    """Return what GRUB boots by itself, our own entries aside. Raises UnreadableError."""
    try:
        default = default_of(machine.read_raw(MENU))
    except AbsentError:
        return "0"
    if default != "${saved_entry}":
        return default
    saved = read_variable(machine, "saved_entry")
    return saved if saved and saved not in (GOOD, CANDIDATE) else "0"


def candidate_words(entry: MenuEntry, words: Sequence[str], earlier: Iterable[Sequence[str]]) -> list[str]:
    """Return the entry's command line as the drop-in will make it: the parameters go to its end."""
    base = list(entry.words)
    tail: list[str] = []
    while base and base[-1].startswith(
        "$"
    ):  # what a distribution appends after all else, such as $vt_handoff
        tail.insert(0, base.pop())
    for given in sorted(map(list, earlier), key=len, reverse=True):
        if given and base[-len(given) :] == given:
            base = base[: -len(given)]
            break
    return [*base, *words, *tail]


def _same_kernel(path: str, image: str) -> bool:
    """Tell whether two paths are of one kernel; BOOT_IMAGE may begin with the device, as `(hd0,gpt2)/boot/…`."""
    return bool(image) and path == image[image.rfind(")") + 1 :]


def _script(entries: Iterable[tuple[MenuEntry, str]]) -> str:
    parts = [
        "#!/bin/sh",
        "# Written by Quietcore: two frozen entries. `quietcore revert` removes them. Edits are lost.",
        "# An entry whose kernel was removed is left out, so that GRUB never stops at it.",
        "set -e",
    ]
    for entry, text in entries:
        files = [entry.kernel, *entry.initial]
        # Where /boot is a file system of its own, GRUB's paths begin below it.
        tests = " && ".join(f'{{ [ -e "{file}" ] || [ -e "/boot{file}" ]; }}' for file in files)
        parts += [f"if {tests}; then", "cat <<'END'", text.rstrip("\n"), "END", "fi"]
    return "\n".join(parts) + "\n"


def frozen_lines(script: str) -> list[str]:
    """Return the lines of the script's entries that boot a kernel."""
    return [line.strip() for line in script.splitlines() if line.startswith("\tlinux")]


def menu_has(machine: Machine, script: str | None) -> bool:
    """Tell whether the menu has the script's entries, and (without a script) none of ours."""
    try:
        lines = [line.strip() for line in machine.read_raw(MENU).splitlines()]
    except (AbsentError, UnreadableError):
        return script is None
    if script is None:
        return not any(GOOD in line or CANDIDATE in line for line in lines)
    there = [line for line in frozen_lines(script) if _kernel_exists(machine, line.split()[1])]
    return all(line in lines for line in there) and 'set default="${saved_entry}"' in lines


def _kernel_exists(machine: Machine, path: str) -> bool:
    """Tell whether a kernel is installed; GRUB's path begins below /boot where that is a file system of its own."""
    return machine.exists(path) or machine.exists(f"/boot{path}")


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
        remedy="reboot into the kernel that GRUB's menu begins with, or set boot_params_fallback to never",
        code=ExitCode.FOUND,
    )
