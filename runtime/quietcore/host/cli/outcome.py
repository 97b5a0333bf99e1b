"""What apply and revert print."""

from __future__ import annotations

import json
from typing import Any

from ..converge import Outcome, outcome_code
from ..kinds import Change


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return a run's outcome as plain values."""
    return {
        "version": 1,
        "exit": int(outcome_code(outcome)),
        "changed": outcome.changed,
        "changes": [change.__dict__ for change in outcome.changes],
        "reboot_required": outcome.reboot_required,
        "notes": outcome.notes,
        "failures": outcome.failures,
        "findings": [finding.to_json() for finding in outcome.findings],
    }


def print_outcome(outcome: Outcome, as_json: bool, check: bool) -> int:
    """Print a run's outcome and return its exit code."""
    if as_json:
        print(json.dumps(outcome_json(outcome), indent=2, ensure_ascii=False))
        return outcome_code(outcome)
    verb = "would change" if check else "changed"
    for change in outcome.changes:
        print(f"{verb} {change_line(change)}")
    for note in outcome.notes:
        print(f"note: {note}")
    for failure in outcome.failures:
        print(f"failed: {failure}")
    print(f"{len(outcome.changes)} {verb}, {len(outcome.failures)} failed")
    if outcome.reboot_required:
        print("a reboot is due: some of it takes effect at the next boot")
    return outcome_code(outcome)


def change_line(change: Change) -> str:
    """Return a change as one line."""
    kind, _, address = change.target.partition(":")
    if kind == "file":
        shape = "removed" if change.new is None else "created" if change.previous is None else "written"
        return f"{address}: {shape}"
    if kind == "folder":
        return f"{address}: removed"
    if kind == "threads":
        return f"{address.partition(':')[0]} threads: {len(change.new)} moved"
    return f"{address}: {_plain(change.previous)} → {_plain(change.new)}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
