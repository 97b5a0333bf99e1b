"""Bring about what the roles promised in /etc/quietcore/host.d: live values, files, boot parameters.

Each target's previous value goes into /var/lib/quietcore/journal.jsonl before it is first changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import ExitCode, QuietcoreError
from ..converge import apply_all
from ..machine import Machine
from ..settings import load_desired
from .outcome import print_outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="work on a copied tree instead of /"
    )
    parser.add_argument(
        "--live", action="store_true", help="only values of the running kernel and units, no files"
    )
    parser.add_argument(
        "--role", action="append", metavar="ROLE", help="only what this role promised (repeatable)"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="say nothing where nothing was to be changed, or is promised"
    )
    parser.add_argument("--check", action="store_true", help="only tell what would be changed")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Apply, print what was changed, return the exit code."""
    machine = Machine(arguments.root)
    known = sorted(load_desired(machine))
    for role in arguments.role or ():
        # Quietly: the timer that calls this may outlive the promise by a moment.
        if role not in known and not arguments.quiet:
            raise QuietcoreError(
                "this role has promised nothing here",
                where="--role",
                found=role,
                expected=", ".join(known) or "none: nothing was promised",
            )
    outcome = apply_all(machine, live_only=arguments.live, check=arguments.check, roles=arguments.role)
    if arguments.quiet and not (outcome.changed or outcome.failures):
        return ExitCode.OK
    return print_outcome(outcome, arguments.json, arguments.check)
