"""What grub-mkconfig's menu is made of: variables below /etc/default, set by shell files one after the other.

grub-mkconfig of Debian and Ubuntu sources /etc/default/grub, then /etc/default/grub.d/*.cfg in the order of names.
Read here only to name a file and a line: what the menu comes to, the menu itself says.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from .machine import AbsentError, Machine, UnreadableError

DROP_IN = "/etc/default/grub.d/zz-quietcore.cfg"
VARIABLE = "GRUB_CMDLINE_LINUX_DEFAULT"
_OURS = re.compile(rf'{VARIABLE}="\${VARIABLE} ([^"]*)"')
FILE = "/etc/default/grub"
FOLDER = "/etc/default/grub.d"
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?(?P<name>GRUB_[A-Z0-9_]+)(?P<sign>\+?=)(?P<value>.*)$")
_MKCONFIG = ("/usr/sbin/grub-mkconfig", "/sbin/grub-mkconfig")


@dataclass(frozen=True)
class Assignment:
    """One line that sets a variable."""

    file: str
    line: int
    name: str
    value: str  # as it stands there, quotes included
    adds: bool  # to what the variable was

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"{self.file}: line {self.line}"

    @property
    def words(self) -> list[str]:
        """The words of the value; `$NAME` stays as it is."""
        text = self.value.strip()
        try:
            inner = (
                " ".join(shlex.split(text, comments=True))
                if text[:1] in "\"'"
                else text.split()[0]
                if text
                else ""
            )
            return shlex.split(inner)
        except ValueError:
            return text.strip("\"'").split()


def assignments(machine: Machine, *names: str) -> list[Assignment]:
    """Return the lines that set these variables, in the order in which they are executed."""
    found: list[Assignment] = []
    for file in files(machine):
        try:
            text = machine.read_raw(file)
        except (AbsentError, UnreadableError):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            match = _ASSIGNMENT.match(line)
            if match is None or match["name"] not in names:
                continue
            value = match["value"]
            itself = re.search(rf"\$\{{?{match['name']}\b", value) is not None
            found.append(Assignment(file, number, match["name"], value, itself or match["sign"] == "+="))
    return found


def files(machine: Machine) -> Iterator[str]:
    """Yield the files in the order in which grub-mkconfig reads them."""
    yield FILE
    folder = machine.path(FOLDER)
    names = sorted(path.name for path in folder.glob("*.cfg")) if folder.is_dir() else []
    yield from (f"{FOLDER}/{name}" for name in names)


def in_force(machine: Machine, name: str) -> list[Assignment]:
    """Return the lines that a variable's final value is made of."""
    found: list[Assignment] = []
    for item in assignments(machine, name):
        found = [*found, item] if item.adds else [item]
    return found


def culprit(machine: Machine, name: str, wanted: str) -> str:
    """Return why a variable that our drop-in sets does not come out of grub-mkconfig: file, line, what it says;
    an empty text where no file is found at fault.
    """
    mkconfig = next((path for path in _MKCONFIG if machine.exists(path)), None)
    try:
        reads = (
            mkconfig is None or "default/grub.d" in machine.read_raw(mkconfig) or not machine.read(mkconfig)
        )
    except (AbsentError, UnreadableError):
        reads = True
    all_of_it = assignments(machine, name)
    ours = max((place for place, item in enumerate(all_of_it) if item.file == DROP_IN), default=-1)
    later = [item for item in all_of_it[ours + 1 :] if ours >= 0 and not item.adds]
    if later:
        return f"{later[-1].where} sets {name}={later[-1].value.strip()} after {DROP_IN}, which sets {wanted}"
    if not reads:
        return f"{mkconfig} does not read {FOLDER}, so that {DROP_IN} is ignored"
    return ""


def words_in(content: str | None) -> list[str]:
    """Return the parameters in our drop-in's content.

    Grammar: lines `NAME="$NAME WORD"` of the one variable, as `drop_in_content` writes them; others are none of ours. A
    line that somebody edited or cut has no parameter, and never a part of one: what it lacks is written again.
    """
    found: list[str] = []
    for line in (content or "").splitlines():
        match = _OURS.fullmatch(line)
        if match is not None:
            with contextlib.suppress(ValueError):  # a quote that does not end
                found += shlex.split(match[1])
    return found
