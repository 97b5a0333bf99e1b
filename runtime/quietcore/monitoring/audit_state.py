"""The last audit of the host, from the files that `quietcore gate` leaves: passed or not, when, what does not hold."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

GATE_FOLDER = Path("/run/quietcore-gate")
# Written by quietcore-audit.timer between the starts of units; the newer of both counts.
TIMER_FOLDER = Path("/run/quietcore-audit")
REPORT = "report"
MOST_FINDINGS = 100
_FINDING = re.compile(r"audit: (?P<id>[^\s:]+): (?P<verdict>[a-z ]+): (?P<text>found .*)")


def read(folders: tuple[Path, ...] = (GATE_FOLDER, TIMER_FOLDER)) -> dict[str, Any] | None:
    """Return the newest audit; None where there is none to read.

    Whether it passed is told by the report's own last line: the file that units wait for is away while an audit runs.
    ``findings`` holds id, verdict and text of each promise that does not hold, ``summary`` the last line.
    """
    newest: tuple[float, Path] | None = None
    for folder in folders:
        try:
            written = (folder / REPORT).stat().st_mtime
        except OSError:
            continue
        if newest is None or written > newest[0]:
            newest = (written, folder)
    if newest is None:
        return None
    written, folder = newest
    try:
        lines = (folder / REPORT).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    findings = [match.groupdict() for line in lines if (match := _FINDING.fullmatch(line))]
    return {
        "passed": bool(lines) and lines[-1].endswith(": passed"),
        "age_seconds": round(time.time() - written, 3),
        "findings": findings[:MOST_FINDINGS],
        "summary": lines[-1].removeprefix("audit: ") if lines else "the report is empty",
    }
