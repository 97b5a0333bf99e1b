"""Clear the kill switch: the runtime may order again, at once if it runs. Exit code 1 where it was off already."""

from __future__ import annotations

import argparse
from pathlib import Path

from quietcore.errors import ExitCode
from quietcore.execution.kill_switch import DEFAULT_FILE, KillSwitch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help=f"the kill file ({DEFAULT_FILE})")


def run(arguments: argparse.Namespace) -> int:
    """Remove the file."""
    switch = KillSwitch(arguments.file)
    reason = switch.reason()
    if not switch.clear():
        print(f"{switch.path}: was off already")
        return ExitCode.FOUND
    print(f"cleared; it was on because: {reason}")
    return ExitCode.OK
