"""An outcome in the form that an Ansible module returns."""

from __future__ import annotations

import json
import platform
from typing import Any

from ..errors import QuietcoreError
from .converge import Outcome
from .findings import Verdict
from .kinds import Change
from .machine import DESIRED_FOLDER


def outcome_result(outcome: Outcome) -> dict[str, Any]:
    """Return changed, diff, reboot_required, unsupported (ids), notes and findings."""
    return {
        "changed": outcome.changed,
        "diff": [change_diff(change) for change in outcome.changes],
        "reboot_required": outcome.reboot_required,
        "unsupported": [item.id for item in outcome.findings if item.verdict is Verdict.UNSUPPORTED],
        "notes": outcome.notes,
        "findings": [finding.to_json() for finding in outcome.findings],
    }


def change_diff(change: Change) -> dict[str, str]:
    """Return a change as `--diff` shows it."""
    _, _, address = change.target.partition(":")
    return {
        "before_header": address,
        "after_header": address,
        "before": _shown(address, change.previous),
        "after": _shown(address, change.new),
    }


def _shown(address: str, value: Any) -> str:
    """Return a value as text; of a role's promises only what is wanted, the rest explains it."""
    if value is None or not address.startswith(DESIRED_FOLDER):
        return _text(value)
    settings = json.loads(value["content"])["settings"]
    return "".join(f"{item['id']}: {_first_line(item['wanted'])}\n" for item in settings)


def _first_line(value: Any) -> str:
    lines = str(value).splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{len(lines)} lines"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "content" in value:
        return str(value["content"])
    if isinstance(value, dict):
        return "".join(f"{key}: {item}\n" for key, item in sorted(value.items()))
    return f"{value}\n"


def failure_message(error: QuietcoreError) -> str:
    """Return an error as one line that also names the host."""
    return f"{platform.node()}: {error}"
