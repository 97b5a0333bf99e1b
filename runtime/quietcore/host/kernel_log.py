"""What the kernel said while it booted: the parameters that it did not understand, and its own proofs.

The form of a line, from kernel/printk/printk.c, init/main.c and kernel/rcu/tree_nocb.h:

    line    = [syslog's "… kernel: "] ["[" seconds "] "] message        seconds are padded with spaces
    message = "Linux version " number …                                 a boot begins
            | ["Kernel "] "Command line: " …                            capital or small
            | 'Unknown kernel command line parameters "' words '", will be passed to user space.'
            | "Unknown command line parameters: " words                 before 5.14
            | ["rcu: "] "\\tOffload RCU callbacks from CPUs: " (list | "(none)") "."
            | anything else, also with these words in its middle: not read

In /dev/kmsg a record is `priority,number,time,flags;message`, lines of its dictionary behind it; what is not
printable, and backslashes, are written as `\\xNN`. A log without its beginning, or a line of parameters without its end
(printk cuts at about a thousand characters), is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .machine import AbsentError, Machine, UnreadableError

_START = r"(?:.*? kernel: )?(?:\[ *[0-9]+\.[0-9]+\] ?)?"
_BOOT = re.compile(_START + r"Linux version [0-9]")
_COMMAND_LINE = re.compile(_START + r"(?:Kernel )?[Cc]ommand line: ")
_UNKNOWN = re.compile(_START + r"Unknown (?P<quoted>kernel )?command line parameters:? ?(?P<rest>.*)")
_QUOTED = re.compile(r'"(?P<words>.*)", will be passed to user space\.')
_OFFLOAD = re.compile(
    _START + r"(?:rcu: )?\s*Offload RCU callbacks from CPUs: (?P<cpus>[0-9,-]+|\(none\))\.?"
)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
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
            return extract(_ring_buffer(machine.path("/dev/kmsg")), "/dev/kmsg")
        except UnreadableError as error:
            reasons.append(str(error))
        except OSError as error:
            reasons.append(f"/dev/kmsg: {error.strerror}")
    if machine.can_run:
        result = machine.run("journalctl", "--dmesg", "--boot", "--output=cat", "--no-pager", "--quiet")
        try:
            return extract(result.stdout.split("\n") if result.returncode == 0 else [], "journalctl --dmesg")
        except UnreadableError as error:
            reasons.append(str(error))
    for path in () if device else _COPIES:  # a copied tree: on a live host these may be of an earlier boot
        try:
            return extract(machine.read_raw(path).split("\n"), path)
        except (AbsentError, UnreadableError) as error:
            reasons.append(str(error))
    raise UnreadableError("the kernel's log: " + "; ".join(reasons))


def extract(lines: Iterable[str], source: str) -> BootMessages:
    """Return the messages of the last boot in a log. Raises UnreadableError where its beginning is not there."""
    unknown: list[str] = []
    offloaded: str | None = None
    begun = False
    for line in lines:
        if _BOOT.match(line):  # a file may hold several boots: the last one counts
            unknown, offloaded, begun = [], None, True
        elif _COMMAND_LINE.match(line):  # printed before the kernel judges it
            begun = True
        elif found := _UNKNOWN.match(line):
            words = _QUOTED.fullmatch(found["rest"].rstrip()) if found["quoted"] else None
            if found["quoted"] and words is None:
                raise UnreadableError(
                    f"{source}: the list of parameters that the kernel does not know is cut off: {line[-40:]!r}"
                )
            unknown += (words["words"] if words is not None else found["rest"]).split()
        elif found := _OFFLOAD.match(line):
            offloaded = "" if found["cpus"] == "(none)" else found["cpus"]
    if not begun:
        raise UnreadableError(f"{source} does not hold the beginning of this boot")
    return BootMessages(tuple(unknown), offloaded, source)


def message_of(record: str) -> str:
    """Return the message of a record of /dev/kmsg, its escapes as what they stand for."""
    text = record.partition(";")[2].partition("\n")[0]
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


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
            except BrokenPipeError:  # records were overwritten while we read: what came before is not whole
                lines.clear()
                continue
            if not record:
                return lines
            lines.append(message_of(record.decode("utf-8", "replace")))
    finally:
        os.close(descriptor)
