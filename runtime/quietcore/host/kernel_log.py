"""What the kernel said while it booted: the parameters that it did not understand, and its own proofs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .machine import AbsentError, Machine, UnreadableError

_UNKNOWN = re.compile(r"Unknown (?:kernel )?command line parameters:? \"?(?P<words>[^\"]*)")
_OFFLOAD = re.compile(r"Offload RCU callbacks from CPUs: (?P<cpus>[0-9,-]+)")
_COPIES = ("/dev/kmsg", "/var/log/dmesg", "/var/log/kern.log")


@dataclass(frozen=True)
class BootMessages:
    """The part of the kernel's log that the audit needs; `source` is where it was read."""

    unknown: tuple[str, ...]
    offloaded: str | None
    source: str

    def rejects(self, name: str) -> bool:
        """Tell whether the kernel said that it does not know this parameter."""
        return any(word.split("=", 1)[0] == name for word in self.unknown)


def read_boot_messages(machine: Machine) -> BootMessages:
    """Return this boot's messages. Raises UnreadableError where its beginning is not there any more or not
    allowed.
    """
    reasons: list[str] = []
    device = machine.path("/dev/kmsg").is_char_device()
    if device:
        try:
            lines = _ring_buffer(machine.path("/dev/kmsg"))
            if _complete(lines):
                return _extract(lines, "/dev/kmsg")
            reasons.append("/dev/kmsg no longer holds the beginning of this boot")
        except OSError as error:
            reasons.append(f"/dev/kmsg: {error.strerror}")
    if machine.can_run:
        result = machine.run("journalctl", "--dmesg", "--boot", "--output=cat", "--no-pager", "--quiet")
        lines = result.stdout.splitlines()
        if result.returncode == 0 and _complete(lines):
            return _extract(lines, "journalctl --dmesg")
        reasons.append("the journal does not hold the beginning of this boot")
    for path in () if device else _COPIES:  # a copied tree: on a live host these may be of an earlier boot
        try:
            lines = machine.read_raw(path).splitlines()
        except (AbsentError, UnreadableError) as error:
            reasons.append(str(error))
            continue
        if _complete(lines):
            return _extract(lines, path)
        reasons.append(f"{path} does not hold the beginning of a boot")
    raise UnreadableError("the kernel's log: " + "; ".join(reasons))


def _complete(lines: Iterable[str]) -> bool:
    """Tell whether the lines begin early enough: the kernel prints its command line before it judges it."""
    return any("Linux version " in line or "Command line: " in line for line in lines)


def _extract(lines: Iterable[str], source: str) -> BootMessages:
    unknown: list[str] = []
    offloaded: str | None = None
    for line in lines:
        if "Linux version " in line:  # a file may hold several boots: the last one counts
            unknown, offloaded = [], None
        if found := _UNKNOWN.search(line):
            unknown += found["words"].split()
        if found := _OFFLOAD.search(line):
            offloaded = found["cpus"]
    return BootMessages(tuple(unknown), offloaded, source)


def _ring_buffer(path: Path) -> list[str]:
    """Return the messages that the kernel still holds. Raises OSError."""
    lines: list[str] = []
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                record = os.read(descriptor, 16384)
            except BlockingIOError:
                return lines
            except BrokenPipeError:  # this record was overwritten while we read: go on with the next
                continue
            if not record:
                return lines
            lines.append(record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0])
    finally:
        os.close(descriptor)
