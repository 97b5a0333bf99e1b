"""The order in which a change of boot parameters reaches GRUB, so that a power cut after any step boots a known entry.

Default on the good entry · drop-in and script · menu, read back · all else that was promised · next boot on trial.
The way back: no next boot on trial · drop-in and script gone · menu · the default that was there before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

from ..errors import QuietcoreError
from . import boot_entries, boot_loader
from .boot_environment import read_variable
from .boot_files import (
    BootFiles,
    boot_files,
    menu_lags,
    now,
    still_running,
    trial_to_prepare,
    trial_to_settle,
)
from .boot_read_back import read_back
from .boot_trial import CANDIDATE, GOOD, REASON, SAVED_ENTRY, SCRIPT, STATE, Trial, moved
from .composed import BOOT_TARGETS, SHARED
from .grub_defaults import words_in
from .journal import Entry
from .kinds import Change, Context
from .machine import Machine, UnreadableError
from .outcome import Outcome
from .targets import read_target, write_target

NEXT_ENTRY = "grubenv:next_entry"


class Hands(Protocol):
    """What changes the host, or (in check mode) only tells."""

    real: bool

    def change(self, role: str, change: Change) -> None:
        """Write a target, its previous value being in the journal."""

    def put_back(self, change: Change) -> None:
        """Write a target without a journal entry."""

    def close(self, entry: Entry) -> None:
        """Note in the journal that a target holds its original value again."""

    def menu(self, words: Sequence[str], gone: Sequence[str]) -> None:
        """Write GRUB's menu anew, with these parameters and without those."""


def before_the_files(context: Context, boot: BootFiles, hands: Hands, outcome: Outcome, later: bool) -> None:
    """Make the known good entry the default, or take a boot on trial back that is wanted no more."""
    machine = context.machine
    if boot.plan is not None and not later:
        _record(hands, trial_to_prepare(context, boot))
        saved = read_variable(machine, "saved_entry")
        if saved != GOOD:
            _change(hands, outcome, Change(SAVED_ENTRY, saved, GOOD), journal=True)
    following = read_variable(machine, "next_entry")
    if following == CANDIDATE and (boot.plan is not None or not boot.on_trial):
        _change(hands, outcome, Change(NEXT_ENTRY, following, None))


def menu_after_the_files(
    context: Context, boot: BootFiles, files: list[Change], gone: list[str], hands: Hands, outcome: Outcome
) -> None:
    """Write the menu where it lags behind the files, and read it back before anything is armed.

    Where that fails, or another entry would boot than is meant, what was there before goes back.
    """
    try:
        if menu_lags(context, boot, gone):
            _write_menu(context, boot, gone, hands, outcome)
        if hands.real and boot.plan is not None:
            read_back(context.machine, boot_loader.MENU, boot.words)
    except QuietcoreError:
        _back(context, boot, files, hands)
        raise


def _write_menu(context: Context, boot: BootFiles, gone: list[str], hands: Hands, outcome: Outcome) -> None:
    hands.menu(boot.words, gone)
    outcome.changes.append(Change(f"file:{boot_loader.MENU}", "as generated before", "generated anew"))
    unchecked = boot_loader.unchecked(context.machine)
    if unchecked is not None and not boot_entries.in_use(context.machine):
        outcome.notes.append(unchecked)
    if hands.real and boot.plan is not None:
        again = boot_files(context)
        if again.script is not None and again.script != boot.script:
            # Files below /etc/default had been edited since the menu was last written: freeze what it says now.
            there = read_target(context.machine, f"file:{SCRIPT}")
            hands.change(SHARED, Change(f"file:{SCRIPT}", there, {"content": again.script, "mode": "0755"}))
            _record(hands, trial_to_prepare(context, again))
            hands.menu(boot.words, gone)


def _back(context: Context, boot: BootFiles, files: list[Change], hands: Hands) -> None:
    """Put files, menu, GRUB's default and the trial's record back. Where even that fails (a full disk), what could be
    put back is, and the next run finishes the work.
    """
    if not hands.real:
        return
    machine = context.machine
    back = {change.target: change.previous for change in files}
    if boot.plan is not None:
        back |= {target: _before_the_trial(context, boot, target, back) for target in BOOT_TARGETS}
    for target, content in back.items():
        with contextlib.suppress(QuietcoreError, OSError, UnreadableError):
            if read_target(machine, target) != content:
                write_target(machine, target, content)
    if boot.plan is None:
        return
    with contextlib.suppress(QuietcoreError, OSError):
        boot_loader.put_menu_back(machine, boot.menu)
    with contextlib.suppress(QuietcoreError, OSError):
        if read_variable(machine, "saved_entry") != boot.saved:
            hands.put_back(Change(SAVED_ENTRY, GOOD, boot.saved))
        opened = context.journal.open_targets().get(SAVED_ENTRY)
        if opened is not None and opened.previous == boot.saved:
            hands.close(opened)
    with contextlib.suppress(QuietcoreError, OSError):
        hands.put_back(Change(f"file:{STATE}", None, boot.state))


def _before_the_trial(context: Context, boot: BootFiles, target: str, back: dict[str, Any]) -> Any:
    """Return what a file held before a trial began to be prepared: an earlier role of the same run may have written it,
    and left the menu to a later one. Raises UnreadableError.
    """
    there = back[target] if target in back else read_target(context.machine, target)
    opened = context.journal.open_targets().get(target)
    if boot.state is None:
        return opened.previous if opened is not None else there
    words = list(json.loads(boot.state["content"])["words"])
    contents = [entry.new for entry in context.journal.entries() if entry.target == target]
    settled = [item for item in contents if isinstance(item, dict) and words_in(item["content"]) == words]
    return settled[-1] if settled and target == f"file:{boot_loader.DROP_IN}" else there


def after_the_menu(
    context: Context, boot: BootFiles, gone: list[str], hands: Hands, outcome: Outcome
) -> None:
    """Put GRUB's own default back where nothing is on trial any more, and say what the kernel still runs with."""
    machine = context.machine
    opened = context.journal.open_targets().get(SAVED_ENTRY)
    if not boot.on_trial and opened is not None:
        saved = read_variable(machine, "saved_entry")
        if saved != opened.previous:
            _change(hands, outcome, Change(SAVED_ENTRY, saved, opened.previous))
        hands.put_back(Change(NEXT_ENTRY, None, None))  # GRUB empties it, and leaves its name there
        hands.close(opened)
    if not boot.on_trial:
        for path in (STATE, REASON):
            found = read_target(machine, f"file:{path}")
            if found is not None:
                hands.put_back(Change(f"file:{path}", found, None))
    waiting = still_running(context, gone)
    if waiting:
        outcome.reboot_required = True
        outcome.notes.append(f"until the next boot the kernel still runs with {' '.join(waiting)}")


def arm(context: Context, boot: BootFiles, hands: Hands, outcome: Outcome) -> None:
    """Make the next boot the trial, the last step of a run; or record that nothing needs one."""
    machine = context.machine
    if boot.plan is not None:
        if hands.real:
            boot = boot_files(context)
        if boot.plan is None:
            return
        _change(hands, outcome, Change(NEXT_ENTRY, read_variable(machine, "next_entry"), CANDIDATE))
        trial = trial_to_prepare(context, boot)
        _forget_reason(machine, hands)
        _record(hands, moved(trial, "armed", machine.boot_id, now()))
        outcome.reboot_required = True
        outcome.notes.append(
            f"the next boot is the trial of {' '.join(boot.words)}; "
            "until it is confirmed, the one after it is the old one"
        )
        return
    settled = trial_to_settle(context, boot)
    if settled is not None:
        saved = read_variable(machine, "saved_entry")
        if saved == GOOD:
            _change(hands, outcome, Change(SAVED_ENTRY, saved, settled.default))
        _record(hands, settled)


def _forget_reason(machine: Machine, hands: Hands) -> None:
    found = read_target(machine, f"file:{REASON}")
    if found is not None:
        hands.put_back(Change(f"file:{REASON}", found, None))


def _record(hands: Hands, trial: Trial) -> None:
    hands.put_back(Change(f"file:{STATE}", None, {"content": trial.to_json(), "mode": "0644"}))


def _change(hands: Hands, outcome: Outcome, change: Change, journal: bool = False) -> None:
    if journal:
        hands.change(SHARED, change)
    else:
        hands.put_back(change)
    outcome.changes.append(change)
