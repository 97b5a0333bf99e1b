"""What a run changed, and how the settings stand afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from .findings import Finding
from .kinds import Change


@dataclass
class Outcome:
    """What a run changed (or would change), how the settings stand now, and what is left to say."""

    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reboot_required: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was (or would be) changed."""
        return bool(self.changes)
