"""Switch the runtime off: nothing is ordered, everything open is cancelled, until `quietcore clear`.

Writes the kill file, which outlives restarts, and signals the running runtime so that it need not look first. Waits
until the runtime reports that nothing is open. Exit codes: 0 done (or no runtime runs), 2 cannot write the file, 3 the
runtime did not confirm in time: then ask the guard (`quietcore guard --once`) or the venue.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.kill_switch import DEFAULT_FILE, KillSwitch

POLL_SECONDS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--reason", default="by hand", metavar="TEXT", help='kept in the file ("by hand")')
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE, help=f"the kill file ({DEFAULT_FILE})")
    parser.add_argument("--status", type=Path, metavar="FILE", help="the runtime's status (/run/quietcore)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="(10)")
    parser.add_argument("--json", action="store_true", help="say the outcome as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Switch off, and wait until it is done."""
    switch = KillSwitch(arguments.file)
    switch.engage(arguments.reason)  # before anything that takes time, imports included
    from quietcore.observe import status as status_file

    path = arguments.status or status_file.default_path()
    status = running(path)
    outcome = {"kill_file": str(switch.path), "reason": switch.reason(), "runtime": status is not None}
    done = True
    if status is not None:
        try:
            os.kill(status["pid"], signal.SIGUSR1)
        except PermissionError as error:
            print(f"quietcore kill: cannot signal pid {status['pid']}: {error.strerror}", file=sys.stderr)
        done = confirmed(path, arguments.timeout)
    outcome["nothing_open"] = done
    if arguments.json:
        print(json.dumps(outcome))
    elif status is None:
        print(f"off by {switch.path}; no runtime runs here")
    elif done:
        print(f"off by {switch.path}; the runtime has nothing open; `quietcore clear` allows orders again")
    else:
        print(
            f"off by {switch.path}, but the runtime did not confirm: quietcore guard --once", file=sys.stderr
        )
    return ExitCode.OK if done else ExitCode.UNKNOWN


def running(path: Path) -> dict[str, int] | None:
    """Return the status of a runtime that lives, else None."""
    from quietcore.observe import status as status_file

    try:
        status = status_file.read(path)
    except QuietcoreError:
        return None
    pid = status.get("pid")
    if status["final"] or not isinstance(pid, int) or not Path("/proc", str(pid)).exists():
        return None
    return {"pid": pid}


def confirmed(path: Path, timeout: float) -> bool:
    """Wait until the runtime reports itself off with nothing open, or is gone in good order."""
    from quietcore.observe import status as status_file

    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            status = status_file.read(path)
        except QuietcoreError:
            return False
        if (status.get("killed") or status["final"]) and status["orders"]["open"] == 0:
            return True
        time.sleep(POLL_SECONDS)
    return False
