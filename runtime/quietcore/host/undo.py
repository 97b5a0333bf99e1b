"""The way back: what roles changed earlier and do not promise any more holds its original value again.

The kernel couples values: one may be refused, or be changed again, until others are back. So what was put back is
looked at again, round by round, until nothing moves any more; only then are the journal's entries closed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import QuietcoreError
from .cpulist import parse_cpu_list
from .hands import Aftermath, Dry
from .journal import Entry, Journal
from .kinds import Change, Context, kind_of
from .kinds.interrupts import read_interrupts
from .machine import AbsentError, Machine, UnreadableError
from .outcome import Outcome
from .settings import Setting
from .targets import read_target, same
from .threads import masks

ROUNDS = 6
# Values of the kernel: others may disturb them, and they can be read back.
READ_BACK = ("value:", "irq:", "network:")


def restore_dropped(
    context: Context, roles: set[str], hands: Dry, outcome: Outcome, aftermath: Aftermath
) -> None:
    """Put back what these roles changed earlier and do not promise any more, the latest change first."""
    waiting = dropped(context.journal, roles, context.desired.values())
    problems: dict[str, str] = {}
    absent: dict[str, str] = {}
    for number in range(ROUNDS):
        moved = False
        for entry in waiting:
            target = entry.target
            if number and not target.startswith(READ_BACK) and target not in problems:
                continue
            try:
                change = _way_back(context.machine, entry)
                if change is not None:
                    hands.put_back(change, others_follow=number == 0)
            except AbsentError as error:
                absent[target] = str(error)  # it may come with another one, as a CPU's files do with the CPU
                problems.pop(target, None)
                continue
            except (UnreadableError, QuietcoreError) as error:
                problems[target] = str(error)
                continue
            problems.pop(target, None)
            absent.pop(target, None)
            if change is None:
                continue
            if hands.real and target.startswith(READ_BACK):
                there = _found(context.machine, target)
                if same(target, there, change.previous):
                    problems[target] = f"the kernel keeps {there} instead of {change.new}"
                    continue
            moved = True
            _record(outcome, change)
            aftermath.note(target, gone=change.new is None)
        if not hands.real or not (moved or (number == 0 and problems)):
            break
    for entry in waiting:
        if entry.target in problems:
            outcome.failures.append(f"{entry.target} could not be put back: {problems[entry.target]}")
            continue
        if entry.target in absent:
            outcome.notes.append(f"{entry.target}: nothing to put back: {absent[entry.target]}")
        hands.close(entry)


def dropped(journal: Journal, roles: set[str], promised: Iterable[Iterable[Setting]]) -> list[Entry]:
    """Return the open entries of these roles that nothing promised needs, the latest first."""
    opened = journal.open_targets()
    settings = [setting for some in promised for setting in some]
    held = {
        target for target in opened if any(kind_of(setting).owns(setting, target) for setting in settings)
    }
    # What was kept only because a promised target disturbs it goes back together with that one.
    return [
        entry
        for target, entry in reversed(opened.items())
        if entry.role in roles
        and target not in held
        and not (journal.merely_kept(target) and journal.kept_for(target) & held)
    ]


def _record(outcome: Outcome, change: Change) -> None:
    """Note a change once, whatever number of rounds it took."""
    if not any(item.target == change.target for item in outcome.changes):
        outcome.changes.append(change)


def _found(machine: Machine, target: str) -> object:
    try:
        return read_target(machine, target)
    except UnreadableError:
        return None


def _way_back(machine: Machine, entry: Entry) -> Change | None:
    """Return the change that restores a target, None where it already holds its original value. Raises
    AbsentError.
    """
    found = None if entry.target.startswith("threads:") else read_target(machine, entry.target)
    if entry.target.startswith("irq:"):
        _, number, name = entry.target.split(":", 2)
        if not any(str(item.number) == number and item.name == name for item in read_interrupts(machine)):
            raise AbsentError("that interrupt is no longer in use")
    elif entry.target.startswith("value:") and found is None:
        raise AbsentError("the kernel no longer offers it")
    elif entry.target.startswith("unit:") and found is None:
        raise AbsentError("the unit is no longer installed")
    elif entry.target.startswith("network:") and found is None:
        raise AbsentError("that card is no longer there")
    elif entry.target.startswith("folder:") and not machine.is_empty_folder(entry.target[len("folder:") :]):
        return None  # somebody else keeps files there by now
    elif entry.target.startswith("threads:"):
        found = masks(machine, entry.previous)
        if not found:
            raise AbsentError("those threads have ended")
        if all(parse_cpu_list(text) == parse_cpu_list(entry.previous[key]) for key, text in found.items()):
            return None
    if same(entry.target, found, entry.previous):
        return None
    return Change(entry.target, found, entry.previous)
