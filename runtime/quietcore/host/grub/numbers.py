"""Numbers as GRUB reads them. Source: grub_strtoull in grub-core/kern/misc.c of GRUB 2.06."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPACES = " \t\n\r"
_LIMIT = 1 << 64
_DIGITS = {8: re.compile(r"[0-7]+"), 10: re.compile(r"[0-9]+"), 16: re.compile(r"[0-9a-fA-F]+")}


@dataclass(frozen=True, slots=True)
class Number:
    """What a text begins with: its value, and what follows; `fits` is false beyond 64 bits."""

    value: int
    rest: str
    fits: bool = True

    @property
    def as_int(self) -> int:
        """The value in a C int, which GRUB keeps most numbers in."""
        return (self.value + (1 << 31)) % (1 << 32) - (1 << 31)


def number(text: str) -> Number | None:
    """Return the number that a text begins with, None where it begins with none.

    White space before it is passed over; `0x` means hexadecimal, a 0 before another octal digit octal. No sign.
    """
    text = text.lstrip(SPACES)
    base = 10
    if text[:2] == "0x":
        base, text = 16, text[2:]
    elif text[:1] == "0" and text[1:2] and text[1] in "01234567":
        base = 8
    match = _DIGITS[base].match(text)
    if match is None:
        return None
    value = int(match[0], base)
    return Number(min(value, _LIMIT - 1), text[match.end() :], value < _LIMIT)


def signed(text: str) -> int:
    """Return a number as `test` compares it: 0 where there is none, in a C int."""
    found = number(text[1:] if text[:1] == "-" else text)
    if found is None:
        return 0
    return Number(-found.value if text[:1] == "-" else found.value, "").as_int
