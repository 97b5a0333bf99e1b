"""Other values of a kernel parameter that stand in GRUB's configuration already, found before a trial that must fail.

Most parameters obey one of their values, some the first and some the last: another value is refused, with its file and
line. Parameters that the kernel reads each time they are named (`console=`, `hugepages=` for each size) are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ..errors import QuietcoreError
from .boot_menu import MENU, read_bytes
from .boot_trial import ordinary_boot
from .grub import text_of
from .grub_defaults import DROP_IN, VARIABLE, in_force
from .huge_page_words import refuse_same_size
from .kernel_parameters import repeatable
from .kinds.kernel_parameter import parameter_value, same_value
from .machine import AbsentError, Machine, UnreadableError
from .settings import Setting

_SECTION = re.compile(r"^### BEGIN (\S+) ###$")


def refuse_others(machine: Machine, parameters: Sequence[Setting], ours: Collection[str]) -> None:
    """Refuse parameters of which another value is configured; `ours` are words that our drop-in has or had.

    Raises QuietcoreError with the file and the line.
    """
    standing = _standing(machine)
    sizes = [parameter_value(item) for item in parameters if item.name == "hugepagesz"]
    if sizes:
        refuse_same_size(machine, standing, sizes, ours)
    for setting in parameters:
        wanted = parameter_value(setting)
        if repeatable(setting.name):
            continue
        for where, word in standing:
            name, _, value = word.partition("=")
            if name == setting.name and word not in ours and not same_value(name, value, wanted):
                raise QuietcoreError(
                    "another value of a kernel parameter is configured already",
                    where=where,
                    found=word,
                    expected=f"none, to put {setting.name}={wanted} there",
                    remedy=f"take it out there, or wish for it in {setting.variable or setting.id}",
                )


def _standing(machine: Machine) -> list[tuple[str, str]]:
    """Return place and word of what is configured without us: below /etc/default, and what else the menu has."""
    found = [
        (item.where, word)
        for name in ("GRUB_CMDLINE_LINUX", VARIABLE)
        for item in in_force(machine, name)
        if item.file != DROP_IN
        for word in item.words
    ]
    try:
        words = ordinary_boot(machine).boot.words
    except (AbsentError, UnreadableError):
        return found
    known = {word for _, word in found}
    return [*found, *((_place(machine, word), word) for word in words if word not in known)]


def _place(machine: Machine, word: str) -> str:
    """Return where a word of the menu comes from: the script that wrote the first line with it."""
    section, place = "", MENU
    lines = text_of(read_bytes(machine, MENU)).split("\n")
    for number, line in enumerate(lines, 1):
        match = _SECTION.match(line)
        section = match[1] if match else section
        if word in line:
            place = f"{MENU}: line {number}" + (f", written by {section}" if section else "")
            if re.match(r"\s*(set\s+)?\w+=", line):
                break
    return place
