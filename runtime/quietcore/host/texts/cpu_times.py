"""/proc/stat: where each CPU spent its time.

The form, from fs/proc/stat.c:

    text = {line}                                   each ends with a newline
    line = ("cpu" | "cpu" number) 8 to 12 numbers   user nice system idle iowait irq softirq steal [guest guest_nice …],
                                                    clock ticks; a line for each CPU on line, ascending, with gaps
         | word {anything}                          intr, ctxt, btime and others: not read

Guest time is within user's and nice's. iowait and idle of a CPU may step back a little; a CPU that went and came again
goes on where it was.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..unreadable import NotUnderstoodError

_CPU = re.compile(r"cpu([0-9]*)")


class CpuTimes(NamedTuple):
    """Clock ticks since boot."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    @property
    def working(self) -> int:
        """All but idle and iowait."""
        return self.total - self.idle - self.iowait


def read_cpu_times(text: str, where: str = "/proc/stat") -> dict[int, CpuTimes]:
    """Return each running CPU's times. Raises NotUnderstoodError."""
    found: dict[int, CpuTimes] = {}
    whole = False
    if not text.endswith("\n"):
        raise NotUnderstoodError("cut off", where=where, found=text[-40:], expected="a newline at the end")
    for line in text[:-1].split("\n"):
        name, *fields = line.split() or [""]
        match = _CPU.fullmatch(name)
        if match is None:
            continue
        if not 8 <= len(fields) <= 12 or not all(map(str.isdecimal, fields)):
            raise NotUnderstoodError(
                "not the times of a CPU", where=where, found=line, expected="8 to 12 numbers behind its name"
            )
        if not match[1]:
            whole = True
        elif int(match[1]) in found:
            raise NotUnderstoodError("a CPU twice", where=where, found=line, expected="each CPU once")
        else:
            found[int(match[1])] = CpuTimes(*map(int, fields[:8]))
    if not whole or not found:
        raise NotUnderstoodError(
            "no CPU is listed", where=where, found=text[:40], expected="the lines cpu, cpu0, …"
        )
    return found
