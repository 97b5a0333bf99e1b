"""Switch the runtime off: nothing is ordered, everything open is cancelled, until `quietcore clear`.

It takes two ways at once: the kill file, which outlives restarts, and the running runtime itself, which keeps the kill
in memory, whatever becomes of the file. Either is enough. Waits until the runtime reports that nothing is open. Where
no runtime runs, the file keeps the next one off.

Exit codes: 0 off, and nothing open (or no runtime runs) · 1 off, and nothing open, but a restart would not know of it:
neither the kill file nor the heartbeat's could be written · 2 neither way worked: nothing is switched off · 3 switched
off, but the runtime did not confirm in time: then ask the guard (`quietcore guard --once`) or the venue.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError, named
from quietcore.execution.kill_client import Reached, by_status, close_all, runtimes
from quietcore.execution.kill_switch import DEFAULT_FILE, KillSwitch

POLL_SECONDS = 0.05
ANSWER_SECONDS = 1.0
STATUS_SECONDS = 2.5  # two of the runtime's periods, and some


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
    problem = ""
    try:
        switch.engage(arguments.reason)  # before anything that takes time
    except QuietcoreError as error:
        problem = str(error)
    reached = runtimes(switch.path)
    try:
        return tell(arguments, switch, problem, reached)
    finally:
        close_all(reached)


def tell(arguments: argparse.Namespace, switch: KillSwitch, problem: str, reached: list[Reached]) -> int:
    """Signal the runtimes, wait for them, say what became of it."""
    end = time.monotonic() + arguments.timeout
    signalled = {one.pid for one in reached if signalled_one(one.pid, one.signal)}
    answers = {one.pid: one.ask("kill", ANSWER_SECONDS, reason=arguments.reason) for one in reached}
    told = signalled | {pid for pid, answer in answers.items() if answer is not None}
    path = arguments.status or status_path()
    # A runtime in another network namespace is found by its status alone.
    pid, start = writer_of(path)
    unlisted = pid if pid not in answers else 0
    if unlisted and signalled_one(pid, lambda number: signal_process(pid, start, number)):
        told.add(pid)
    there = bool(reached) or bool(unlisted)
    by_file = not problem
    done = by_file or bool(told)
    kept = "file" if by_file else ""
    nothing_open = done
    if there and done:
        for one in reached:
            nothing_open = confirmed_by(one, path, end) and nothing_open
        if unlisted:
            nothing_open = confirmed(path, end, unlisted) and nothing_open
        for one in reached if not kept else ():
            kept = (one.ask("state", ANSWER_SECONDS) or {}).get("kept", "") or kept
    way = {(True, True): "both", (True, False): "file", (False, True): "signal", (False, False): "none"}
    outcome = {
        "kill_file": str(switch.path),
        "reason": switch.reason() or arguments.reason,
        "runtime": there,
        "pids": sorted({*answers, *({unlisted} - {0})}),
        "way": way[by_file, bool(told)],
        "kept": kept,
        "file_problem": problem,
        "nothing_open": nothing_open,
    }
    return say(outcome, as_json=arguments.json, done=done)


def say(outcome: dict[str, Any], *, as_json: bool, done: bool) -> int:
    """Print the outcome; return the exit code."""
    problem, there, kept = outcome["file_problem"], outcome["runtime"], outcome["kept"]
    if problem:
        print(f"quietcore kill: {problem}", file=sys.stderr)
    if not done:
        text = "nothing is switched off: no runtime could be told, and the next one would not know"
        code = ExitCode.USAGE
    elif not there:
        text = f"no runtime runs here: armed for its next start by {outcome['kill_file']}"
        code = ExitCode.OK
    else:
        by = {"file": f"the kill file {outcome['kill_file']}", "signal": "signal alone"}
        by["both"] = f"{by['file']} and by signal"
        text = f"off by {by[outcome['way']]}"
        if not outcome["nothing_open"]:
            text += ", but the runtime did not confirm that nothing is open: quietcore guard --once"
            code = ExitCode.UNKNOWN
        else:
            text += "; the runtime has nothing open"
            code = ExitCode.OK if kept else ExitCode.FOUND
        if not kept:
            text += "; a restart would not know of it: see that the kill file can be written"
        elif kept != "file":
            text += f"; kept in its {kept} file until the kill file can be written"
    if done:
        text += "; `quietcore clear` allows orders again"
    if as_json:
        print(json.dumps(outcome))
    else:
        print(text, file=sys.stdout if code is ExitCode.OK else sys.stderr)
    return code


def signalled_one(pid: int, send: Any) -> bool:
    """Send SIGUSR1 by ``send``; False where that process is gone or may not be signalled."""
    try:
        return bool(send(signal.SIGUSR1))
    except OSError as error:
        print(f"quietcore kill: cannot signal pid {pid}: {named(error)}", file=sys.stderr)
        return False


def signal_process(pid: int, start: int, number: signal.Signals) -> bool:
    """Signal the process that began at ``start``."""
    from quietcore.execution.identity import send_signal

    return send_signal(pid, start, number)


def status_path() -> Path:
    """Return where the runtime's status lies unless told otherwise."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(folder or "/run/quietcore") / "runtime.json"


def read_status(path: Path) -> dict[str, Any]:
    """Return a status; empty where there is none to read."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def writer_of(path: Path) -> tuple[int, int]:
    """Return pid and start of the runtime that wrote the status and lives; zeros where there is none."""
    status = read_status(path)
    if not status or status.get("final"):
        return 0, 0
    try:
        return by_status(status, path.stat().st_mtime)
    except OSError:
        return 0, 0


def confirmed_by(one: Reached, path: Path, end: float) -> bool:
    """Wait until a runtime says that it is off with nothing open, or is gone in good order."""
    while (left := end - time.monotonic()) > 0:
        answer = one.ask("state", min(left, ANSWER_SECONDS))
        if answer is not None and answer.get("off") and answer.get("open") == 0:
            # Who reads the status next shall see it too, where a status can be written.
            confirmed(path, min(end, time.monotonic() + STATUS_SECONDS), one.pid)
            return True
        if not one.lives:
            return confirmed(path, time.monotonic() + POLL_SECONDS, one.pid)
        time.sleep(POLL_SECONDS)
    return False


def confirmed(path: Path, end: float, pid: int) -> bool:
    """Wait until the status of ``pid`` says that it is off with nothing open, or ended in good order."""
    while time.monotonic() < end:
        status = read_status(path)
        if status.get("pid") != pid:
            return False  # another run's
        orders = status.get("orders")
        is_open = orders.get("open") if isinstance(orders, dict) else None
        if (status.get("killed") or status.get("final")) and is_open == 0:
            return True
        time.sleep(POLL_SECONDS)
    return False
