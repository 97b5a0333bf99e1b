"""Clear the kill switch: the runtime may order again, at once if it runs.

Puts the kill file aside and tells the running runtime: it stays off until then, whatever else becomes of the file.
Exit codes: 0 cleared · 1 it was off already · 2 the file cannot be moved: it stays on · 3 the runtime did not answer:
it stays off; try again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution import heartbeat
from quietcore.execution.kill_client import close_all, runtimes
from quietcore.execution.kill_switch import DEFAULT_FILE, KillSwitch

ANSWER_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help=f"the kill file ({DEFAULT_FILE})")
    parser.add_argument("--status", type=Path, metavar="FILE", help="the runtime's status (/run/quietcore)")


def run(arguments: argparse.Namespace) -> int:
    """Put the file aside, tell the runtime."""
    switch = KillSwitch(arguments.file)
    reason = switch.reason()
    was_on = switch.clear()
    page = heartbeat.default_path() if arguments.status is None else arguments.status.parent / "heartbeat"
    reached = runtimes(switch.path)
    try:
        if not reached and (noted := heartbeat.killed(page)):
            reason = reason or noted
            was_on = heartbeat.forget_kill(page) or was_on
        for one in reached:
            before = one.ask("state", ANSWER_SECONDS)
            answer = one.ask("clear", ANSWER_SECONDS) if before is not None else None
            if before is None or answer is None:
                raise QuietcoreError(
                    "kill switch is not cleared: the runtime does not answer",
                    where=f"pid {one.pid}",
                    remedy="it stays off; see whether it is stopped or stuck, then clear again",
                    code=ExitCode.UNKNOWN,
                )
            if answer.get("problem"):
                raise QuietcoreError(
                    "kill switch is not cleared",
                    where=f"pid {one.pid}",
                    found=answer["problem"],
                    remedy="remove what is in the way, then clear again",
                )
            if answer.get("off"):
                print(f"quietcore clear: pid {one.pid} has another reason to send no orders", file=sys.stderr)
            reason = before.get("killed") or reason
            was_on = was_on or bool(before.get("killed"))
    finally:
        close_all(reached)
    if not was_on:
        print(f"{switch.path}: was off already")
        return ExitCode.FOUND
    print(f"cleared; it was on because: {reason}")
    return ExitCode.OK
