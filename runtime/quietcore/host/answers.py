"""Writes of this boot that did not come about as wanted, and why: what apply was told, so that the audit says it too.

The file lies below /run: a boot starts with none. It only explains; what holds is always read from the kernel.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import QuietcoreError
from .findings import Finding
from .kinds import Context, kind_of
from .kinds.base import cannot_tell
from .machine import AbsentError, Machine, UnreadableError
from .settings import Setting
from .targets import read_target, same

FOLDER = "/run/quietcore-host"
PATH = f"{FOLDER}/answers.json"
_SHOWN = 4


@dataclass(frozen=True)
class Answer:
    """What became of one write: for which setting, to which target, and what the kernel said or made of it."""

    role: str
    setting: str
    target: str
    wanted: Any
    said: str
    remedy: str


def load_answers(machine: Machine) -> list[Answer]:
    """Return the answers of this boot; none where the file is not there or cannot be read: it only explains."""
    try:
        return [Answer(**item) for item in json.loads(machine.read(PATH))]
    except (AbsentError, UnreadableError, ValueError, TypeError):
        return []


def save_answers(
    machine: Machine, roles: Iterable[str], answers: Sequence[Answer], promised: Iterable[str]
) -> None:
    """Replace the answers of these roles' settings; those of settings that are promised no more go too.

    Raises OSError where /run cannot be written.
    """
    known, kept = load_answers(machine), set(promised)
    left = [item for item in known if item.role not in set(roles) and item.setting in kept]
    new = sorted([*left, *answers], key=lambda item: (item.role, item.setting, item.target))
    if new and new != known:
        machine.replace_file(PATH, json.dumps([asdict(item) for item in new], indent=1) + "\n")
    if not new:
        machine.remove_file(PATH)
        machine.remove_empty_folders(FOLDER)


def judged(setting: Setting, context: Context, answers: Sequence[Answer]) -> Finding:
    """Return a setting's finding, with what the kernel answered where it does not hold.

    What a kind cannot judge is a finding too: never a pass, and never the end of the others.
    """
    try:
        finding = kind_of(setting).judge(setting, context)
    except (AbsentError, UnreadableError, QuietcoreError, OSError, ValueError) as error:
        return cannot_tell(setting, error)
    if not finding.failed or not finding.readable:
        return finding
    open_ones = [item for item in answers if item.setting == setting.id and not _holds(context.machine, item)]
    if not open_ones:
        return finding
    said = [item.said for item in open_ones[:_SHOWN]]
    if len(open_ones) > _SHOWN:
        said.append(f"and {len(open_ones) - _SHOWN} more like it")
    cause = "; ".join([*said, f"otherwise {finding.cause}"] if finding.cause else said)
    remedies = dict.fromkeys([*(item.remedy for item in open_ones if item.remedy), finding.remedy])
    return replace(finding, cause=cause, remedy="; or ".join(remedies))


def refusal(setting: Setting, target: str, wanted: Any, error: QuietcoreError) -> Answer:
    """Return the answer for a write that failed."""
    said = error.what if error.where is None else f"{error.what}: {error.where}"
    if error.found is not None:
        said += f": {error.found}"
    return Answer(setting.role, setting.id, target, wanted, said, error.remedy or "")


def _holds(machine: Machine, answer: Answer) -> bool:
    """Tell whether a target has by now what it was refused, or is there no more."""
    if not answer.target.startswith(("value:", "irq:", "network:")):
        return False
    with contextlib.suppress(UnreadableError, QuietcoreError, ValueError):
        found = read_target(machine, answer.target)
        return found is None or same(answer.target, found, answer.wanted)
    return False
