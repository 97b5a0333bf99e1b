"""Where facts about a machine are read: a folder (the live `/` or a copied tree), or a saved listing of one.

A listing has a line `path:content` for each line of each file, which is what `grep -s ''` prints for several
files; so a machine without Quietcore can be described by one command.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Protocol

from ..errors import QuietcoreError

_LINE = re.compile(r"(?P<path>/(?:sys|proc)/[^:]+):(?P<content>.*)")

LISTING_COMMAND = (
    "grep -s '' /sys/devices/system/cpu/{present,possible,online} "
    "/sys/devices/system/cpu/cpu*/cpu_capacity "
    "/sys/devices/system/cpu/cpu*/topology/{core_cpus_list,thread_siblings_list,physical_package_id} "
    "/sys/devices/system/node/node*/{cpulist,distance,meminfo} /sys/devices/{cpu_atom,cpu_lowpower}/cpus "
    "/sys/class/net/*/{mtu,lower_*/mtu,device/uevent,device/numa_node,device/../numa_node} "
    "/sys/block/*/queue/rotational /proc/meminfo /proc/mounts /proc/net/{route,ipv6_route}"
)


class Tree(Protocol):
    """Files below a root. Paths are absolute as on the machine itself."""

    def text(self, path: str) -> str | None:
        """Return a file's content without white space at its ends, None where it cannot be read."""

    def names(self, folder: str, pattern: str = "*") -> list[str]:
        """Return the names in a folder, sorted; none where it is not there."""

    def shown(self, path: str) -> str:
        """Return how a path is named to people."""


class FolderTree:
    """A folder that stands for `/`."""

    def __init__(self, root: Path | str = "/") -> None:
        self._root = Path(root)

    def text(self, path: str) -> str | None:
        """Return a file's content, None where it cannot be read."""
        try:
            return (self._root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def names(self, folder: str, pattern: str = "*") -> list[str]:
        """Return the names in a folder."""
        return sorted(path.name for path in (self._root / folder.lstrip("/")).glob(pattern))

    def shown(self, path: str) -> str:
        """Return the path as it is on this machine."""
        return str(self._root / path.lstrip("/"))


class ListedTree:
    """A listing that was saved with LISTING_COMMAND. Raises QuietcoreError where a line is none of one."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._lines: dict[str, list[str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line:
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                raise QuietcoreError(
                    "not a line of a listing",
                    where=f"{where}:{number}",
                    found=repr(line[:60]),
                    expected="/sys/PATH:CONTENT or /proc/PATH:CONTENT",
                    remedy=f'save one with: bash -c "{LISTING_COMMAND}"',
                )
            self._lines.setdefault(found["path"], []).append(found["content"])
        self._folders: dict[str, set[str]] = {}
        for path in self._lines:
            parts = path.split("/")
            for length in range(1, len(parts)):
                self._folders.setdefault("/".join(parts[:length]), set()).add(parts[length])

    def text(self, path: str) -> str | None:
        """Return a file's content, None where it is not listed."""
        lines = self._lines.get(path)
        return None if lines is None else "\n".join(lines).strip()

    def names(self, folder: str, pattern: str = "*") -> list[str]:
        """Return the names in a folder."""
        return sorted(fnmatch.filter(self._folders.get(folder, ()), pattern))

    def shown(self, path: str) -> str:
        """Return the path and the listing it should be in."""
        return f"{path} in {self._where}"
