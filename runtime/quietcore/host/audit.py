"""The audit: every promise against the effective state of the host. Changes nothing."""

from __future__ import annotations

from ..errors import ExitCode, QuietcoreError
from .answers import judged, load_answers
from .findings import Finding, Verdict
from .kinds import Context
from .machine import DESIRED_FOLDER, Machine
from .settings import load_desired


def audit(machine: Machine) -> list[Finding]:
    """Return one finding for each promise, in the order of roles and settings.

    Raises QuietcoreError (could not tell) where nothing was promised: an empty audit must not look like a
    pass.
    """
    desired = load_desired(machine)
    if not any(desired.values()):
        raise QuietcoreError(
            "nothing was promised on this host, so nothing can be audited",
            where=str(machine.path(DESIRED_FOLDER)),
            remedy="run site.yml on it first",
            code=ExitCode.UNKNOWN,
        )
    context, answers = Context(machine, desired), load_answers(machine)
    return [judged(setting, context, answers) for role in sorted(desired) for setting in desired[role]]


def summary(findings: list[Finding]) -> str:
    """Return how many of each verdict there are, as one line."""
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    shown = [
        f"{count} {verdict.value}" for verdict, count in counts.items() if count or verdict is Verdict.DRIFT
    ]
    return f"{len(findings)} settings: {', '.join(shown)}"
