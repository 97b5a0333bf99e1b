"""What changes the host, journal first; or, in check mode, nothing at all."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ..errors import ExitCode, QuietcoreError
from . import boot_loader
from .composed import SHARED
from .couplings import disturbed, originals
from .journal import Entry, Row, kept_beside
from .kernel_answers import place
from .kinds import Change, Context
from .kinds.huge_pages import compact
from .machine import UnreadableError
from .settings import desired_path
from .targets import counterpart, read_target, write_target
from .units import reader_of, systemctl
from .way_back import guard


class NotKeptError(QuietcoreError):
    """The original of something that a write may change is not known."""


class Dry:
    """Changes nothing: what check mode works with."""

    real = False

    def __init__(self) -> None:
        # Targets that a write may have changed beside its own.
        self.stirred: set[str] = set()

    def desired_file(self, role: str, content: str | None) -> None:
        """Leave the promise as it is."""

    def change(self, role: str, change: Change) -> None:
        """Leave the target as it is."""

    def keep(self, role: str, changes: Sequence[Change]) -> None:
        """Leave the journal as it is."""

    def write(self, role: str, change: Change) -> None:
        """Leave the target as it is."""

    def remember(self, role: str, targets: Sequence[str]) -> None:
        """Leave the journal as it is."""

    def put_back(self, change: Change, others_follow: bool = False) -> None:
        """Leave the target as it is."""

    def close(self, entry: Entry) -> None:
        """Leave the journal as it is."""

    def menu(self, words: Sequence[str], gone: Sequence[str]) -> None:
        """Leave GRUB's menu as it is."""

    def reload_units(self) -> None:
        """Leave systemd as it is."""

    def restart(self, unit: str) -> None:
        """Leave the unit as it is."""

    def forget(self, unit: str) -> None:
        """Leave the unit as it is."""


class Real(Dry):
    """Changes the host: journal first."""

    real = True

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._machine, self._journal = context.machine, context.journal

    def desired_file(self, role: str, content: str | None) -> None:
        """Write or remove a role's promise."""
        write_target(
            self._machine,
            f"file:{desired_path(role)}",
            None if content is None else {"content": content, "mode": "0644"},
        )

    def change(self, role: str, change: Change) -> None:
        """Write a target, its previous value being on disk."""
        self.keep(role, [change])
        self.write(role, change)

    def keep(self, role: str, changes: Sequence[Change]) -> None:
        """Have on disk what these targets hold, and what everything holds that writing them may change.

        Raises QuietcoreError where the journal cannot be written: then nothing may be changed. Raises NotKeptError,
        after the others were kept, where what writing a target may change cannot be read: that one may not be written.
        """
        opened = set(self._journal.open_targets())
        own = {change.target for change in changes}
        beside: list[Row] = []
        rows: list[Row] = []
        unknown: list[str] = []
        for change in changes:
            target = change.target
            is_file = target.startswith("file:")
            is_first = target not in opened or self._journal.merely_kept(target)
            if is_first and change.previous != change.new:
                try:
                    beside += [
                        (kept_beside(target), role, other, found, found)
                        for other, found in originals(self._machine, target)
                        if other not in own
                    ]
                except (UnreadableError, QuietcoreError) as error:
                    unknown.append(f"{place(target)}: {error}")
                    continue
            # Folders are made by roles only: those of composed files are the distribution's.
            for path in [] if role == SHARED or not is_first else self._machine.missing_folders(target):
                if f"folder:{path}" not in opened:
                    rows.append(("change", role, f"folder:{path}", None, "made"))
                    opened.add(f"folder:{path}")
            if is_file or target not in opened or (is_first and change.previous != change.new):
                rows.append(("change", role, target, change.previous, change.new))
                opened.add(target)
        # Undone from the last to the first: what is only disturbed comes after what disturbs it.
        if beside or rows:
            self._journal.append([*beside, *rows])
        if unknown:
            raise NotKeptError(
                "what this may change beside cannot be read, so it is not changed",
                found="; ".join(unknown),
                remedy="run as root on the host itself",
                code=ExitCode.UNKNOWN,
            )

    def write(self, role: str, change: Change) -> None:
        """Write a target that was kept. Raises QuietcoreError where it is refused."""
        target = change.target
        if target.startswith("network:"):
            guard(self._machine, target.split(":")[1], role)
        self._stir(target)
        write_target(self._machine, target, change.new)
        if "/hugepages-" in target and read_target(self._machine, target) != change.new:
            with contextlib.suppress(OSError):  # it only helps: what is missing after it is told
                compact(self._machine, target)
            write_target(self._machine, target, change.new)

    def remember(self, role: str, targets: Sequence[str]) -> None:
        """Note what targets hold that need no change: they may drift later, and undo is to know the original."""
        opened = self._journal.open_targets()
        rows = []
        for target in targets:
            if target in opened:
                continue
            try:
                found = read_target(self._machine, target)
            except UnreadableError:
                continue
            if found is not None:
                rows.append(("change", role, target, found, found))
        if rows:
            self._journal.append(rows)

    def put_back(self, change: Change, others_follow: bool = False) -> None:
        """Write a target's original value; its journal entry stays open until `close`.

        `others_follow`: of a pair that the kernel keeps one of, the other one's value brings this one's 0 with it. Some
        refuse 0, and where both are 0 for a moment, every writer to a disk waits.
        """
        kind, _, address = change.target.partition(":")
        if others_follow and kind == "value" and change.new == "0" and counterpart(address) is not None:
            return
        self._stir(change.target)
        write_target(self._machine, change.target, change.new)

    def _stir(self, target: str) -> None:
        with contextlib.suppress(UnreadableError, QuietcoreError):  # it only says what to look at again
            self.stirred.update(disturbed(self._machine, target))

    def close(self, entry: Entry) -> None:
        """Note in the journal that a target holds its original value again."""
        self._journal.append([("restored", entry.role, entry.target, None, entry.previous)])

    def menu(self, words: Sequence[str], gone: Sequence[str]) -> None:
        """Write GRUB's menu anew, with these parameters and without those."""
        boot_loader.regenerate_menu(self._machine, words, gone)

    def reload_units(self) -> None:
        """Have systemd read its files again."""
        systemctl(self._machine, "daemon-reload")

    def restart(self, unit: str) -> None:
        """Start a unit anew, if it runs."""
        systemctl(self._machine, "try-restart", unit)

    def forget(self, unit: str) -> None:
        """End a service that a timer has just started, its file being gone; mostly systemd knows it no more."""
        for word in ("stop", "reset-failed"):
            self._machine.run("systemctl", word, unit)


class Aftermath:
    """What systemd has to be told once files that it reads were changed."""

    def __init__(self, hands: Dry) -> None:
        self._hands = hands
        self._reload = False
        self._restart: set[str] = set()
        self._gone: set[str] = set()

    def note(self, target: str, gone: bool = False) -> None:
        """Remember that a target was changed, or removed."""
        self._reload |= target.startswith("file:/etc/systemd/system/")
        if gone:
            self._gone.add(target.rpartition("/")[2])
        unit = reader_of(target)
        if unit is not None:
            self._restart.add(unit)

    def reload(self) -> None:
        """Have systemd read its files again, if any was changed."""
        if self._reload:
            self._hands.reload_units()
            self._reload = False

    def settle(self) -> list[str]:
        """Do all that is left; return what systemd refused, one unit not stopping the others."""
        failures: list[str] = []
        try:
            self.reload()
        except QuietcoreError as error:
            failures.append(str(error))
        for unit in sorted(self._restart):
            try:
                self._hands.restart(unit)
            except QuietcoreError as error:
                failures.append(str(error))
        self._restart.clear()
        # Those of timers alone: to stop a slice or another service is to stop the pipeline.
        for name in sorted(self._gone):
            service = name.removesuffix(".timer") + ".service"
            if name.endswith(".timer") and service in self._gone:
                self._hands.forget(service)
        self._gone.clear()
        return failures
