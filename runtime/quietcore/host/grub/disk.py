"""The files that GRUB finds on its disk, as this host sees them.

Stated assumptions: GRUB's own device (`boot`) is the file system that this host has at `/`, or at `/boot` where that is
one of its own, so that a path of GRUB is looked for below both; and what `search` finds is that file system too. Texts
are bytes as latin-1 characters.
"""

from __future__ import annotations

from typing import Protocol

from ..machine import Machine

DEVICE = "boot"


class Disk(Protocol):
    """What the interpreter asks of a disk. Paths begin with a device in parentheses."""

    def kind(self, path: str) -> str | None:
        """Return `file`, `empty` or `folder`, an empty text where nothing is there, None where nobody can tell."""

    def read(self, path: str) -> str | None:
        """Return a file's text, None where there is none."""

    def write(self, path: str, text: str) -> None:
        """Put an environment block in the place of another."""

    def written(self) -> tuple[tuple[str, str], ...]:
        """Return the environment blocks as they are now, by path."""


class HostDisk:
    """The disk of a host; a written environment block is kept here and never reaches the host."""

    def __init__(self, machine: Machine, blocks: dict[str, str] | None = None) -> None:
        self._machine = machine
        self.blocks: dict[str, str] = dict(blocks or {})

    def _candidates(self, path: str) -> list[str]:
        name = path.partition(")")[2] if path.startswith("(") else path
        return [name, f"/boot{name}"] if name.startswith("/") else []

    def _found(self, path: str) -> str | None:
        return next((name for name in self._candidates(path) if self._machine.exists(name)), None)

    def kind(self, path: str) -> str | None:
        """Tell what is there; a device of its own (`(hd1,gpt1)`) may be another disk."""
        found = self._found(path)
        if found is None:
            return "" if path.startswith(f"({DEVICE})") or path.startswith("(search") else None
        there = self._machine.path(found)
        if there.is_dir():
            return "folder"
        return "file" if there.stat().st_size else "empty"

    def read(self, path: str) -> str | None:
        """Return the text of a file."""
        for name in self._candidates(path):
            if name in self.blocks:
                return self.blocks[name]
        found = self._found(path)
        if found is None:
            return None
        return self._machine.path(found).read_bytes().decode("latin-1")

    def write(self, path: str, text: str) -> None:
        """Keep a block for the boots that follow."""
        found = self._found(path)
        for name in self._candidates(path):
            if name in self.blocks or name == found:
                self.blocks[name] = text
                return

    def written(self) -> tuple[tuple[str, str], ...]:
        """Return the blocks that were given or written."""
        return tuple(sorted(self.blocks.items()))
