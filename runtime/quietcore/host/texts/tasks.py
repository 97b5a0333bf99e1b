"""/proc/PID/stat, status, schedstat and limits: one process or thread.

The forms, from fs/proc/array.c, fs/proc/base.c and proc(5):

    stat      = number " (" name ") " state 38 or more numbers    the name holds any characters, also parentheses,
                                                                  spaces and newlines: the last ")" ends it
    status    = "Name:\\t" name "\\n" {key ":" value "\\n"}         the name's newlines are written \\n; keys stand once
    schedstat = ran waited slices                                 nanoseconds, nanoseconds, a count
    limits    = a title, then "Max …" padded to 25 characters, soft and hard limit (a number, or unlimited), a unit

A thread may end while it is read: the kernel then says ESRCH or ENOENT, which is for the caller. What it does say is
whole; anything else is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from ..cpulist import kernel_cpu_list
from ..unreadable import NotUnderstoodError

_HEAD = re.compile(r"([0-9]+) \(")
_STATES = frozenset("RSDTtWXxKPIZN")
# Positions behind the name (proc(5), fields 3 and on).
_FLAGS, _USER, _SYSTEM, _START, _PROCESSOR, _PRIORITY, _POLICY = 6, 11, 12, 19, 36, 37, 38
_LIMIT = re.compile(r"(Max [a-z ]+?) {2,}(unlimited|[0-9]+) +(unlimited|[0-9]+)(?: +[a-z]+)? *")


@dataclass(frozen=True)
class TaskStat:
    """A thread: its own number, its name of at most 63 bytes, times in clock ticks."""

    tid: int
    name: str
    state: str
    flags: int
    user_ticks: int
    system_ticks: int
    start: int  # since boot
    processor: int  # where it ran last
    priority: int  # of a real-time policy, else 0
    policy: int


def read_task_stat(text: str, where: str = "/proc/PID/stat") -> TaskStat:
    """Return what /proc/PID/stat or /proc/PID/task/TID/stat says. Raises NotUnderstoodError."""
    head, end = _HEAD.match(text), text.rfind(")")
    fields = text[end + 1 :].split() if head is not None and end >= head.end() else []
    if (
        head is None
        or len(fields) <= _POLICY
        or fields[0] not in _STATES
        or not all(word.removeprefix("-").isdecimal() for word in fields[1:])
    ):
        raise NotUnderstoodError(
            "not a thread's status",
            where=where,
            found=text,
            expected="PID (NAME) STATE and 38 numbers or more",
        )
    return TaskStat(
        tid=int(head[1]),
        name=text[head.end() : end],
        state=fields[0],
        flags=int(fields[_FLAGS]),
        user_ticks=int(fields[_USER]),
        system_ticks=int(fields[_SYSTEM]),
        start=int(fields[_START]),
        processor=int(fields[_PROCESSOR]),
        priority=int(fields[_PRIORITY]),
        policy=int(fields[_POLICY]),
    )


class TaskStatus:
    """The lines of /proc/PID/status by key; each property raises NotUnderstoodError where its line is not there."""

    def __init__(self, text: str, where: str = "/proc/PID/status") -> None:
        self._where = where
        self._lines: dict[str, str] = {}
        for line in text.removesuffix("\n").split("\n"):
            key, colon, value = line.partition(":")
            if not colon or key in self._lines or (not self._lines and key != "Name"):
                raise NotUnderstoodError(
                    "not a line of a thread's status",
                    where=where,
                    found=line,
                    expected="Name:, then KEY: once each",
                )
            self._lines[key] = value.strip()

    def _value(self, key: str) -> str:
        try:
            return self._lines[key]
        except KeyError:
            raise NotUnderstoodError(
                "a thread's status without a line", where=self._where, found=key, expected=f"{key}: VALUE"
            ) from None

    def _number(self, key: str) -> int:
        text = self._value(key)
        if not text.isdecimal():
            raise NotUnderstoodError(
                "not a number", where=self._where, found=f"{key}: {text}", expected="digits"
            )
        return int(text)

    @property
    def allowed(self) -> frozenset[int]:
        """The CPUs that it may run on; never none."""
        cpus = kernel_cpu_list(self._value("Cpus_allowed_list"), self._where)
        if not cpus:
            raise NotUnderstoodError(
                "a thread that may run nowhere",
                where=self._where,
                found="",
                expected="Cpus_allowed_list: CPUS",
            )
        return cpus

    @property
    def given_up(self) -> int:
        """Context switches of its own will."""
        return self._number("voluntary_ctxt_switches")

    @property
    def taken(self) -> int:
        """Context switches that it was forced into."""
        return self._number("nonvoluntary_ctxt_switches")


class SchedStat(NamedTuple):
    """Nanoseconds on a CPU, nanoseconds that it could have run and did not, and how often it ran."""

    ran_ns: int
    waited_ns: int
    slices: int


def read_sched_stat(text: str, where: str = "/proc/PID/schedstat") -> SchedStat:
    """Return what a thread's schedstat says. Raises NotUnderstoodError."""
    words = text.split()
    if len(words) != 3 or not all(map(str.isdecimal, words)):
        raise NotUnderstoodError("not a thread's run time", where=where, found=text, expected="three numbers")
    return SchedStat(*map(int, words))


def read_limits(text: str, where: str = "/proc/PID/limits") -> dict[str, tuple[str, str]]:
    """Return (soft, hard) by the line's name (`Max open files`): digits or `unlimited`. Raises NotUnderstoodError."""
    title, _, rest = text.partition("\n")
    found: dict[str, tuple[str, str]] = {}
    for line in rest.removesuffix("\n").split("\n"):
        match = _LIMIT.fullmatch(line)
        if match is None or match[1] in found:
            raise NotUnderstoodError(
                "not a limit of a process",
                where=where,
                found=line,
                expected="Max NAME, soft limit, hard limit, unit",
            )
        found[match[1]] = (match[2], match[3])
    if not title.startswith("Limit "):
        raise NotUnderstoodError("no title", where=where, found=title, expected="Limit, Soft Limit, …")
    return found
