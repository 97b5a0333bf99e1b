"""What the audit says about one promise: a verdict, what was found, why it is so, and what mends it."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import ExitCode


class Verdict(enum.StrEnum):
    """The six verdicts."""

    OK = "ok"
    DRIFT = "drift"  # something else is in effect
    OVERRIDDEN = "overridden"  # something else is in effect, and it is known what put it there
    UNSUPPORTED = "unsupported here"  # this kernel or hardware does not offer it
    PENDING = "pending reboot"  # configured, takes effect at the next boot
    MISSING = "missing"  # not there, gone after the next boot, or nobody can tell


@dataclass(frozen=True)
class Finding:
    """One line of the audit. `readable` is false where the effective value could not be read at all."""

    id: str
    role: str
    verdict: Verdict
    wanted: str
    found: str
    cause: str = ""
    remedy: str = ""
    why: str = ""
    required: bool = True
    readable: bool = True

    @property
    def failed(self) -> bool:
        """Whether this line alone makes the audit fail."""
        if self.verdict is Verdict.UNSUPPORTED:
            return self.required
        return self.verdict is not Verdict.OK

    def to_json(self) -> dict[str, Any]:
        """Return the line as plain values."""
        value = dict(self.__dict__)
        value["verdict"] = self.verdict.value
        value["failed"] = self.failed
        return value


def is_listed(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a setting's id is one of those listed, each an id or a pattern such as `network.*`."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return 0 where all holds, 1 where something was found, 3 where the only failures could not be read."""
    failed = [finding for finding in findings if finding.failed]
    if not failed:
        return ExitCode.OK
    return ExitCode.UNKNOWN if all(not finding.readable for finding in failed) else ExitCode.FOUND
