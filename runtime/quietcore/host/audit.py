"""The audit: every promise against the effective state of the host. Changes nothing."""

from __future__ import annotations

from ..errors import ExitCode, QuietcoreError
from .findings import Finding, Verdict
from .kinds import Context, kind_of
from .kinds.base import cannot_tell
from .machine import DESIRED_FOLDER, AbsentError, Machine, UnreadableError
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
    context = Context(machine, desired)
    findings: list[Finding] = []
    for role in sorted(desired):
        for setting in desired[role]:
            try:
                findings.append(kind_of(setting).judge(setting, context))
            except (AbsentError, UnreadableError, QuietcoreError, OSError, ValueError) as error:
                findings.append(cannot_tell(setting, error))
    return findings


def summary(findings: list[Finding]) -> str:
    """Return how many of each verdict there are, as one line."""
    counts = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    shown = [
        f"{count} {verdict.value}" for verdict, count in counts.items() if count or verdict is Verdict.DRIFT
    ]
    return f"{len(findings)} settings: {', '.join(shown)}"
