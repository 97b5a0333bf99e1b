"""The journal: what every target held before Quietcore first changed it. Append only, forced to disk.

One JSON object a line. `change` entries are written before the change they announce, so a power cut between
the
two costs nothing; `restored` entries close a target. The original value of a target is the previous value of
its
first change since it was last closed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .machine import JOURNAL, Machine, make_folders, sync_folder

_BESIDE = "beside "
Row = tuple[str, str, str, Any, Any]  # event, role, target, previous, new


def kept_beside(target: str) -> str:
    """Return the event of an entry that keeps what a write of this target may change."""
    return f"{_BESIDE}{target}"


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    event: str  # change · beside TARGET (kept because that target was about to be written) · restored
    role: str
    target: str  # `kind:address`, as in `targets`
    previous: Any  # None: it was not there
    new: Any
    boot_id: str
    time: str  # UTC, to the second


class Journal:
    """Reads and appends the journal of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._path = machine.path(JOURNAL)
        self._entries: list[Entry] | None = None

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first. A last line that was cut off announced a change never made.

        Raises QuietcoreError (could not tell) where a whole line is no entry.
        """
        if self._entries is None:
            try:
                text = self._path.read_text(encoding="utf-8")
            except FileNotFoundError:
                text = ""
            except OSError as error:
                raise QuietcoreError(
                    "the journal cannot be read",
                    where=str(self._path),
                    found=error.strerror,
                    remedy="run as root",
                    code=ExitCode.UNKNOWN,
                ) from error
            self._entries = [
                _entry(line, f"{self._path}:{number}")
                for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1)
            ]
        return self._entries

    def open_targets(self) -> dict[str, Entry]:
        """Return the first change of each target that has not been put back, oldest first."""
        found: dict[str, Entry] = {}
        for entry in self.entries():
            if entry.event == "restored":
                found.pop(entry.target, None)
            else:
                found.setdefault(entry.target, entry)
        return found

    def merely_kept(self, target: str) -> bool:
        """Tell whether a target is open, and only because its original was to be known: we have not changed it."""
        changes = self._since_open(target)
        return bool(changes) and all(entry.previous == entry.new for entry in changes)

    def kept_for(self, target: str) -> set[str]:
        """Return the targets whose writing may change this one, and for which its original was kept."""
        return {
            entry.event.removeprefix(_BESIDE)
            for entry in self._since_open(target)
            if entry.event.startswith(_BESIDE)
        }

    def _since_open(self, target: str) -> list[Entry]:
        changes: list[Entry] = []
        for entry in self.entries():
            if entry.target == target:
                changes = [] if entry.event == "restored" else [*changes, entry]
        return changes

    def last_change(self, target: str) -> Entry | None:
        """Return the latest change of a target, if it is not closed."""
        last: Entry | None = None
        for entry in self.entries():
            if entry.target == target:
                last = entry if entry.event == "change" else None
        return last

    def append(self, entries: Iterable[Row]) -> None:
        """Append (event, role, target, previous, new) and force them to disk. Raises QuietcoreError."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        new = [
            Entry(event, role, target, previous, value, self._machine.boot_id, moment)
            for event, role, target, previous, value in entries
        ]
        if not new:
            return
        known = self.entries()
        text = "".join(json.dumps(entry.__dict__, sort_keys=True) + "\n" for entry in new)
        try:
            fresh = not self._path.exists()
            make_folders(self._path.parent)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._drop_torn_line(descriptor)
                os.lseek(descriptor, 0, os.SEEK_END)
                data = text.encode()
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if fresh:
                sync_folder(self._path.parent)
        except OSError as error:
            raise QuietcoreError(
                "the journal cannot be written, so nothing is changed",
                where=str(self._path),
                found=error.strerror,
                remedy="run as root, with room on the disk",
            ) from error
        known.extend(new)

    @staticmethod
    def _drop_torn_line(descriptor: int) -> None:
        """Cut off a last line that has no end."""
        size = os.fstat(descriptor).st_size
        content = os.pread(descriptor, size, 0)
        whole = content.rfind(b"\n") + 1
        if whole != size:
            os.ftruncate(descriptor, whole)


def _entry(line: str, where: str) -> Entry:
    try:
        value = json.loads(line)
        return Entry(**value)
    except (ValueError, TypeError) as error:
        raise QuietcoreError(
            "the journal has a line that is no entry",
            where=where,
            found=str(error),
            remedy="repair or remove that line by hand; nothing was changed",
            code=ExitCode.UNKNOWN,
        ) from None
