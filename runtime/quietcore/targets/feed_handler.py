"""Targets that the feed handler itself is asked for: a line of its log, and going over to another endpoint."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.local.pipeline import feed_handler
from quietcore.targets.outcome import Absent, Measured, exactly

SWITCHES = 3
ANSWER_SECONDS = 60.0


def asked(words: Sequence[str]) -> dict[str, Any] | Absent:
    """Run the feed handler for one JSON object; return why there is none, in its own words."""
    try:
        command = [str(feed_handler()), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
        if done.returncode == ExitCode.OK:
            answer: dict[str, Any] = json.loads(done.stdout)
            return answer
    except QuietcoreError as error:
        return Absent(str(error))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Absent(f"quietcore-feed {words[0]}: {error}")
    said = (done.stderr or done.stdout).strip().splitlines()
    return Absent(said[-1] if said else f"quietcore-feed {words[0]} ended with {done.returncode}")


def log_line(cpu: int) -> Measured | Absent:
    """Return what a line of the feed handler's log costs the thread that has something to say, on ``cpu``."""
    answer = asked(["measure", "--json", "--cpu", str(cpu)])
    if isinstance(answer, Absent):
        return answer
    log = answer["log"]
    note = f"median of {log['blocks']:,} blocks of 1,000"
    return Measured(log["median_ns"], log["low_ns"], log["high_ns"], note)


def endpoint_switch(control: Path, websocket: str) -> Measured | Absent:
    """Switch a feed of this machine's own to the same venue by its other name, there and back; the longest counts."""
    other = websocket.replace("127.0.0.1", "localhost")
    if other == websocket:
        return Absent(f"{websocket} has no other name to switch to")
    longest = 0.0
    for number in range(SWITCHES):
        to = websocket if number % 2 else other
        answer = asked(["control", "--socket", str(control), "--json", "switch", to])
        if isinstance(answer, Absent):
            return answer
        longest = max(longest, float(answer["milliseconds"]) * 1e6)
    return exactly(longest, f"longest of {SWITCHES}, to the same simulator by another name")
