"""The audit as units of the pipeline meet it before they start: passed or not, and why, in files that they may read.

Writes FOLDER/report (one line for each promise that does not hold), FOLDER/status (the first that stops the pipeline)
and, where all hold, FOLDER/passed. A promise that waits for a reboot is told and passes: what runs is what was audited
before. quietcore-gate.service calls this.

Exit codes: 0 passed, 1 a promise does not hold, 3 could not tell: nobody starts then either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import ExitCode, QuietcoreError
from ..audit import audit, summary
from ..findings import Finding, Verdict
from ..machine import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="audit a copied tree instead of /"
    )
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where the result goes")


def run(arguments: argparse.Namespace) -> int:
    """Audit, write the result, print it, return the exit code."""
    passed = arguments.into / "passed"
    passed.unlink(missing_ok=True)
    try:
        findings = audit(Machine(arguments.root))
    except QuietcoreError as error:
        for name in ("report", "status"):
            _write(arguments.into / name, [f"the audit could not tell: {error}"])
        raise
    stopping = [finding for finding in findings if stops(finding)]
    lines = [line(finding) for finding in findings if finding.failed]
    lines.append(f"audit: {summary(findings)}: {'not started' if stopping else 'passed'}")
    _write(arguments.into / "report", lines)
    if stopping:
        more = f" (and {len(stopping) - 1} more: quietcore audit)" if len(stopping) > 1 else ""
        _write(arguments.into / "status", [line(stopping[0]) + more])
    else:
        _write(passed, [])
    print("\n".join(lines))
    return ExitCode.FOUND if stopping else ExitCode.OK


def stops(finding: Finding) -> bool:
    """Tell whether a finding keeps the pipeline from starting."""
    return finding.failed and finding.verdict is not Verdict.PENDING


def line(finding: Finding) -> str:
    """Return a finding as one line."""
    return (
        f"audit: {finding.id}: {finding.verdict.value}: found {finding.found}, wanted {finding.wanted}: "
        f"{finding.cause}; remedy: {finding.remedy}"
    )


def _write(path: Path, lines: list[str]) -> None:
    try:
        path.write_text("".join(f"{item}\n" for item in lines), encoding="utf-8")
        path.chmod(0o644)
    except OSError as error:
        raise QuietcoreError(
            "the result of the audit cannot be written",
            where=str(path),
            found=error.strerror,
            remedy="make the folder, and run as root",
        ) from error
