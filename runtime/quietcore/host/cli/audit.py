"""Compare the host's effective state with what the roles promised. Changes nothing.

Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 the only failures are values that could not be
read.
`unsupported here` is shown, and fails only where the setting is required.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..audit import audit, summary
from ..findings import Finding, exit_code
from ..machine import Machine
from .table import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="audit a copied tree instead of /"
    )
    parser.add_argument(
        "--role", action="append", metavar="ROLE", help="only this role's settings (repeatable)"
    )
    parser.add_argument("--failed", action="store_true", help="show only what does not hold")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings and return the exit code."""
    findings = audit(Machine(arguments.root))
    if arguments.role:
        known = sorted({finding.role for finding in findings})
        for role in arguments.role:
            if role not in known:
                from ...errors import QuietcoreError

                raise QuietcoreError(
                    "no such role on this host", where="--role", found=role, expected=", ".join(known)
                )
        findings = [finding for finding in findings if finding.role in arguments.role]
    code = exit_code(findings)
    shown = [finding for finding in findings if finding.failed] if arguments.failed else findings
    if arguments.json:
        value = {"version": 1, "exit": int(code), "findings": [finding.to_json() for finding in shown]}
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        print(render(shown))
        print(summary(findings))
    return code


def render(findings: list[Finding]) -> str:
    """Return the findings as a table, and below it each one that does not hold with its cause and remedy."""
    rows = [
        [finding.verdict.value, finding.id, _short(finding.wanted), _short(finding.found)]
        for finding in findings
    ]
    lines = [table(["verdict", "setting", "wanted", "found"], rows)]
    for finding in findings:
        if finding.verdict.value == "ok" and not finding.cause:
            continue
        mark = "failed" if finding.failed else "note"
        lines += ["", f"{mark}: {finding.id}: {finding.verdict.value}"]
        lines += [
            f"  {name:<7} {text}"
            for name, text in (
                ("wanted", finding.wanted),
                ("found", finding.found),
                ("cause", finding.cause),
                ("why", finding.why),
                ("remedy", finding.remedy),
            )
            if text
        ]
    return "\n".join([*lines, ""])


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
