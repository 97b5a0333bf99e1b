"""Hosts as they were saved: trees of files unpacked by nothing but Python's own file functions.

A saved tree has a line for each line of each file (`/path:content`), `/path -> target` for a symbolic link,
`mode 755 /path` where a file's mode matters; a colon in a path is written `\\x3a`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "hosts"
_LINK = re.compile(r"(/\S+) -> (\S+)")


def unpack(saved: Path, root: Path) -> None:
    """Write the tree below a root."""
    files: dict[str, list[str]] = {}
    modes: dict[str, int] = {}
    for line in saved.read_text().splitlines():
        link = _LINK.fullmatch(line)
        if link is not None:
            path, target = (part.replace("\\x3a", ":") for part in link.groups())
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            # Those of /sys are relative on a host; others keep the target that they have there.
            place.symlink_to(root / target.lstrip("/") if path.startswith("/sys/") else target)
        elif line.startswith("mode "):
            _, mode, path = line.split()
            modes[path] = int(mode, 8)
        else:
            path, _, content = line.partition(":")
            files.setdefault(path.replace("\\x3a", ":"), []).append(content)
    for path, lines in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join(lines) + "\n")
        place.chmod(modes.get(path, 0o644))


class Copy:
    """One such tree, to be broken and mended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: list[Callable[[], object]] = []

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def put(self, path: str, text: str) -> None:
        """Write a file anew, another one if there was one; its mode stays."""
        place = self.path(path)
        if place.is_file():
            self._keep(place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._kept.append(place.unlink)
        place.write_text(text)

    def _keep(self, place: Path) -> None:
        before, mode = place.read_bytes(), place.stat().st_mode

        def write_back() -> None:
            place.write_bytes(before)
            place.chmod(mode)

        self._kept.append(write_back)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that must be in the file."""
        text = self.path(path).read_text()
        assert old in text, f"{old!r} is not in {path}"
        self.put(path, text.replace(old, new, 1))

    def drop(self, path: str) -> None:
        """Remove a file or a link."""
        place = self.path(path)
        if place.is_symlink():
            target = place.readlink()
            self._kept.append(lambda: place.symlink_to(target))
        else:
            self._keep(place)
        place.unlink()

    def link(self, path: str, target: str) -> None:
        """Make a link."""
        place = self.path(path)
        place.symlink_to(target)
        self._kept.append(place.unlink)

    def chmod(self, path: str, mode: int) -> None:
        """Give a file another mode."""
        place = self.path(path)
        before = place.stat().st_mode
        place.chmod(mode)
        self._kept.append(lambda: place.chmod(before))

    def hide(self, path: str) -> None:
        """Make a file unreadable, for root either: a folder where a file is expected."""
        place = self.path(path)
        self.drop(path)
        place.mkdir()
        self._kept.append(place.rmdir)

    def mend(self) -> None:
        """Undo all of that, the last first."""
        while self._kept:
            self._kept.pop()()
