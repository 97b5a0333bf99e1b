"""Put back what was there before the first change: files, runtime values, units, from the journal.

What can only change at boot is said to wait for a reboot.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import QuietcoreError
from ..converge import revert
from ..journal import Journal
from ..machine import Machine
from ..settings import load_desired
from .outcome import print_outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="work on a copied tree instead of /"
    )
    parser.add_argument(
        "--role", action="append", metavar="ROLE", help="only what this role changed (repeatable)"
    )
    parser.add_argument("--check", action="store_true", help="only tell what would be put back")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Revert, print what was put back, return the exit code."""
    machine = Machine(arguments.root)
    if arguments.role:
        known = set(load_desired(machine)) | {
            entry.role for entry in Journal(machine).open_targets().values()
        }
        for role in arguments.role:
            if role not in known:
                raise QuietcoreError(
                    "this role has changed nothing here",
                    where="--role",
                    found=role,
                    expected=", ".join(sorted(known - {"*"})) or "none: nothing was changed",
                )
    outcome = revert(machine, arguments.role, check=arguments.check)
    return print_outcome(outcome, arguments.json, arguments.check)
