"""/proc/PID/cgroup: the control groups that a process is in.

The form, from kernel/cgroup/cgroup.c and cgroups(7):

    text = line {line}                                 each ends with a newline
    line = id ":" controllers ":" path [" (deleted)"]
    id          = 0 for the unified hierarchy (version 2), which names no controllers; else of a version 1 one
    controllers = name {"," name} | "name=" name       `name=systemd` is where systemd keeps its units under version 1
                                                       and in its hybrid layout
    path        = "/" {any character but newline}      colons and spaces included; as seen from the reader's namespace

" (deleted)" follows the path of a group that was removed while a process of it had not been reaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..unreadable import NotUnderstoodError

_LINE = re.compile(r"([0-9]+):((?:name=)?[A-Za-z0-9_.-]+(?:,(?:name=)?[A-Za-z0-9_.-]+)*)?:(/.*)")
_DELETED = " (deleted)"
_SYSTEMD = "name=systemd"


@dataclass(frozen=True)
class ControlGroups:
    """Paths by hierarchy; `unified` is None where the kernel shows no version 2."""

    unified: str | None
    by_controller: dict[str, str]

    @property
    def systemd(self) -> str | None:
        """The path in systemd's own hierarchy of version 1, None where there is none."""
        return self.by_controller.get(_SYSTEMD)


def read_control_groups(text: str, where: str = "/proc/PID/cgroup") -> ControlGroups:
    """Return the groups. Raises NotUnderstoodError."""
    unified: str | None = None
    found: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        number, names = (int(match[1]), match[2]) if match is not None else (-1, None)
        keys = names.split(",") if names else []
        wrong = match is None or (number == 0) != (names is None) or (number == 0 and unified is not None)
        if match is None or wrong or any(key in found for key in keys):
            raise NotUnderstoodError(
                "not a control group", where=where, found=line, expected="ID:CONTROLLERS:/PATH, each once"
            )
        path = match[3].removesuffix(_DELETED)
        if number == 0:
            unified = path
        found.update(dict.fromkeys(keys, path))
    return ControlGroups(unified, found)
