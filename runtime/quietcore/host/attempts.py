"""Bringing settings about: originals first, then one write after the other, none of which stops the others.

The kernel couples values. A write may be refused until another one has been made (runtime before period, minimum after
maximum), or may change what was set before (a governor its preference). Whatever the start, some order works: each
round asks every kind again what differs by now, and the rounds end when nothing moves any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import QuietcoreError
from .answers import Answer, refusal
from .hands import Aftermath, Dry, NotKeptError
from .kernel_answers import place
from .kinds import Change, Context, kind_of
from .machine import UnreadableError
from .outcome import Outcome
from .settings import Setting
from .targets import read_target, same
from .undo import READ_BACK, ROUNDS


class Attempts:
    """The writes of a run: what came about, and what the kernel answered where one did not."""

    def __init__(self, context: Context, hands: Dry, outcome: Outcome, aftermath: Aftermath) -> None:
        self._machine, self._journal, self._hands = context.machine, context.journal, hands
        self._outcome, self._aftermath = outcome, aftermath
        self._answers: dict[tuple[str, str], Answer] = {}
        self.moved = 0

    def answers(self) -> list[Answer]:
        """Return what the kernel answered to each write that did not come about as wanted."""
        return list(self._answers.values())

    def make(self, setting: Setting, change: Change) -> None:
        """Write a target that the journal knows. Raises QuietcoreError where a file cannot be written."""
        key = setting.id, change.target
        try:
            self._hands.keep(setting.role, [change])
        except NotKeptError as error:
            self._answers[key] = refusal(setting, change.target, change.new, error)
            return
        try:
            self._hands.write(setting.role, change)
        except QuietcoreError as error:
            if change.target.startswith("file:"):
                raise  # a disk that takes no file is no matter of one setting
            self._answers[key] = refusal(setting, change.target, change.new, error)
            return
        self._answers.pop(key, None)
        found = self._read_back(change)
        # How many huge pages were found is the kind's own to tell.
        if not same(change.target, found, change.new) and "/nr_hugepages" not in change.target:
            self._answers[key] = self._other_value(setting, change, found)
        if same(change.target, found, change.previous):
            return
        self.moved += 1
        self._record(change)
        self._aftermath.note(change.target)

    def unreadable(self, setting: Setting, error: QuietcoreError) -> None:
        """Note that a setting could not be looked at, so that nothing of it was changed."""
        self._answers[setting.id, setting.name] = refusal(setting, setting.name, setting.wanted, error)

    def _read_back(self, change: Change) -> Any:
        """Return what a target holds after its write; what cannot be read back is left to the judgement."""
        if not self._hands.real or not change.target.startswith(READ_BACK):
            return change.new
        try:
            return read_target(self._machine, change.target)
        except UnreadableError:
            return change.new

    def _other_value(self, setting: Setting, change: Change, found: Any) -> Answer:
        original = self._journal.open_targets()[change.target].previous
        if same(change.target, found, original):
            said = f"{place(change.target)}: the kernel took {change.new} and still shows {found}"
            return Answer(setting.role, setting.id, change.target, change.new, said, "")
        said = f"{place(change.target)}: the kernel made {found} of {change.new}, it rounds or bounds it"
        remedy = f"choose a value that it keeps, such as {found}"
        return Answer(setting.role, setting.id, change.target, change.new, said, remedy)

    def _record(self, change: Change) -> None:
        """Note a change; one that took several rounds is one change."""
        changes = self._outcome.changes
        for number, item in enumerate(changes):
            if item.target == change.target and not change.target.startswith(("file:", "threads:")):
                changes[number] = replace(item, new=change.new)
                return
        changes.append(change)


def bring_about(
    context: Context, run: Sequence[Setting], hands: Dry, outcome: Outcome, aftermath: Aftermath
) -> Attempts:
    """Bring settings about. Raises QuietcoreError where the journal or a file cannot be written."""
    attempts = Attempts(context, hands, outcome, aftermath)
    first = {setting.id: _keep(context, setting, hands) for setting in run if kind_of(setting).settles}
    around: list[Setting] = []
    moving: list[str] = []
    for number in range(ROUNDS):
        before, moving = attempts.moved, []
        for setting in [*run, *around]:
            if number and not kind_of(setting).settles:
                continue
            # Units are as their files say only after it, and systemd has the kernel start threads in it.
            if setting.kind in ("unit", "threads"):
                aftermath.reload()
            so_far = attempts.moved
            if not attempts.moved and not hands.stirred and first.get(setting.id) == []:
                continue  # as it was: nothing has been written since
            for change in _keep(context, setting, hands, attempts) or []:
                attempts.make(setting, change)
            if attempts.moved > so_far:
                moving.append(setting.id)
        around = _stirred(context, run, hands)
        if not hands.real or (attempts.moved == before and (number or not around)):
            break
    else:
        outcome.failures.append(
            f"after {ROUNDS} rounds these still change each other: {', '.join(moving)}; "
            "remedy: they cannot hold together, so take one of them out of the inventory"
        )
    return attempts


def _keep(
    context: Context, setting: Setting, hands: Dry, attempts: Attempts | None = None
) -> list[Change] | None:
    """Return what a setting wants changed, the originals of it and of all that it writes being on disk.

    None where it cannot be looked at.
    """
    kind = kind_of(setting)
    try:
        changes = list(kind.changes(setting, context))
    except QuietcoreError as error:
        if attempts is not None:
            attempts.unreadable(setting, error)
        return None
    changing = {change.target for change in changes}
    hands.remember(setting.role, [target for target in kind.baseline(setting) if target not in changing])
    with contextlib.suppress(NotKeptError):  # told when that one is to be written
        hands.keep(setting.role, changes)
    return changes


def _stirred(context: Context, run: Sequence[Setting], hands: Dry) -> list[Setting]:
    """Return what else is promised and may have been changed by this run's writes, or by what it put back."""
    own = {setting.id for setting in run}
    return [
        setting
        for settings in context.desired.values()
        for setting in settings
        if setting.id not in own
        and kind_of(setting).settles
        and any(kind_of(setting).owns(setting, target) for target in hands.stirred)
    ]
