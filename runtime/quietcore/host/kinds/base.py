"""What every kind of setting can do, and what it may look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...errors import QuietcoreError
from .. import boot_environment
from ..findings import Finding, Verdict
from ..journal import Journal
from ..kernel_log import BootMessages, read_boot_messages
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting

APPLY = "quietcore apply"


@dataclass(frozen=True)
class Change:
    """A target that does not hold what is wanted: journal address, what it holds, what it shall hold."""

    target: str
    previous: Any
    new: Any


@dataclass
class Context:
    """One machine, all that was promised on it, and its journal."""

    machine: Machine
    desired: Mapping[str, tuple[Setting, ...]]
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.machine)

    @cached_property
    def boot_messages(self) -> BootMessages | UnreadableError:
        """This boot's messages, or why they cannot be read."""
        try:
            return read_boot_messages(self.machine)
        except UnreadableError as error:
            return error

    @cached_property
    def one_shot_obstacle(self) -> str | None:
        """Why new boot parameters cannot be booted once here; None where they can. Raises UnreadableError."""
        return boot_environment.obstacle(self.machine)

    def of_kind(self, kind: str) -> list[Setting]:
        """Return all promises of one kind, in the order of roles and settings."""
        return [
            setting for role in sorted(self.desired) for setting in self.desired[role] if setting.kind == kind
        ]


class Kind:
    """One kind of setting. Subclasses say how it is checked, judged and changed."""

    name: str = ""
    applied: str = ""  # how its settings are brought about, for people
    needs_boot: bool = False
    # Its targets are values of the kernel that a write elsewhere may change: their originals are kept before anything
    # is written, and they are looked at again until nothing moves any more.
    settles: bool = False

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read, for people."""
        raise NotImplementedError

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse, before anything is changed, what can never be right. Raises QuietcoreError."""

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare the effective value with the wanted one."""
        raise NotImplementedError

    def baseline(self, setting: Setting) -> Iterable[str]:
        """Return the targets whose value is worth knowing for undo even where it is the wanted one already."""
        return ()

    def changes(self, setting: Setting, context: Context) -> Iterable[Change]:
        """Return what must be written live, without writing it; one that cannot be read is left to the judgement.

        Raises QuietcoreError where nothing of it can be read.
        """
        return []

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether a journal's target is one of those that this setting writes."""
        return False

    def complete(self, setting: Setting) -> Setting:
        """Return the setting with what the kind knows about it."""
        return replace(setting, needs_boot=self.needs_boot, effective=self.effective(setting))


def report(
    setting: Setting, verdict: Verdict, found: str, cause: str = "", remedy: str = "", wanted: str = ""
) -> Finding:
    """Return a finding about a setting."""
    return Finding(
        id=setting.id,
        role=setting.role,
        verdict=verdict,
        wanted=wanted or wanted_text(setting),
        found=found,
        cause=cause,
        remedy=remedy,
        why=setting.why,
        required=setting.required,
    )


def cannot_tell(
    setting: Setting, error: Exception, remedy: str = "run as root on the host itself"
) -> Finding:
    """Return the finding for a value that cannot be read: never a pass."""
    return replace(report(setting, Verdict.MISSING, "cannot be read", str(error), remedy), readable=False)


def unsupported(setting: Setting, error: AbsentError | str, found: str = "not offered") -> Finding:
    """Return the finding for what this kernel or hardware lacks."""
    remedy = (
        "choose another kernel or machine, or take the setting out of the inventory"
        if setting.required
        else ""
    )
    return report(setting, Verdict.UNSUPPORTED, found, str(error), remedy)


def wanted_text(setting: Setting) -> str:
    """Return the wanted value as text."""
    if isinstance(setting.wanted, (str, int)):
        return str(setting.wanted)
    if isinstance(setting.wanted, list):
        return ", ".join(map(str, setting.wanted))
    return ", ".join(f"{key} {value}" for key, value in setting.wanted.items())


def variable(setting: Setting) -> str:
    """Return what a user changes: the inventory variable, or the setting's id."""
    return setting.variable or setting.id


def refuse(setting: Setting, what: str, expected: object, found: object = None) -> QuietcoreError:
    """Return the error for a wanted value that can never be right."""
    return QuietcoreError(
        what,
        where=variable(setting),
        found=wanted_text(setting) if found is None else found,
        expected=expected,
    )
