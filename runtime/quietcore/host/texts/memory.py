"""/proc/meminfo, and the meminfo of a memory node in sysfs.

The form, from fs/proc/meminfo.c and drivers/base/node.c:

    text = line {line}
    line = ["Node " number " "] name ":" number [" kB"]      names may have parentheses: `Active(anon)`

A node without memory says `MemTotal: 0 kB`.
"""

from __future__ import annotations

import re

from ..unreadable import NotUnderstoodError

_LINE = re.compile(r"(?:Node [0-9]+ )?([A-Za-z0-9_()]+): +([0-9]+)(?: kB)?")


def read_total_kib(text: str, where: str = "/proc/meminfo") -> int:
    """Return the usable memory in KiB. Raises NotUnderstoodError, also where the text does not say it."""
    totals: list[int] = []
    for line in text.strip().split("\n"):
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise NotUnderstoodError(
                "not a line of memory", where=where, found=line, expected="NAME: NUMBER kB"
            )
        if match[1] == "MemTotal":
            totals.append(int(match[2]))
    if len(totals) != 1:
        raise NotUnderstoodError(
            "not one total", where=where, found=text[:60], expected="MemTotal: NUMBER kB, once"
        )
    return totals[0]
