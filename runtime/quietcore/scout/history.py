"""What was measured and elected, as JSON lines in a file that does not grow without end."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.scout.probe import Candidate, Measurement

MOST_BYTES = 8 << 20  # then the older half is dropped
KEPT = 2000  # entries in memory


class History:
    """The last entries in memory, and all of them in ``path`` where that is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def measured(self, candidate: Candidate, measurement: Measurement) -> dict[str, Any]:
        """Return the entry of a measurement, and keep it."""
        target = candidate.target
        place = {"kind": target.kind, "url": target.url, "address": candidate.address}
        return self._keep({"event": "measured", **place, **measurement._asdict()})

    def elected(self, kind: str, at: float, old: Candidate | None, new: Candidate) -> dict[str, Any]:
        """Return the entry of a change, and keep it."""
        before = None if old is None else {"url": old.target.url, "address": old.address}
        entry = {"event": "elected", "kind": kind, "at": at, "before": before}
        return self._keep({**entry, "url": new.target.url, "address": new.address})

    def _keep(self, entry: dict[str, Any]) -> dict[str, Any]:
        self.entries.append(entry)
        return entry

    def save(self, entries: list[dict[str, Any]]) -> None:
        """Append entries to the file. Blocks: call it outside of event loops."""
        if self.path is None or not entries:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
                lines = self.path.read_bytes().splitlines(keepends=True)
                beside = self.path.with_name(self.path.name + ".new")
                beside.write_bytes(b"".join(lines[len(lines) // 2 :]))
                beside.replace(self.path)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        except OSError as error:
            raise QuietcoreError(
                "history cannot be written", where=str(self.path), found=error.strerror
            ) from error


def load(path: Path) -> list[dict[str, Any]]:
    """Return all entries of a history file; a cut-off last line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QuietcoreError(
            "history cannot be read",
            where=str(path),
            found=str(error),
            remedy="let `quietcore scout --history FILE` write one",
            code=ExitCode.UNKNOWN,
        ) from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("no object")
            entries.append(entry)
        except ValueError as error:
            if number == len(lines):
                break
            raise QuietcoreError(
                "history is damaged", where=f"{path}:{number}", found=str(error), code=ExitCode.UNKNOWN
            ) from error
    return entries
