"""/proc/mounts: what is mounted where, in the order in which it was mounted.

The form, from fs/proc_namespace.c:

    text  = line {line}                                       each ends with a newline
    line  = source " " point " " type " " options " 0 0"      options are joined by commas: a word, or word "=" value
    space, tab, newline, backslash and "#" in a name are written as a backslash and three octal digits (`\\040`);
    a source may be empty, and options of file systems that escape nothing may have spaces

The same point may be there several times: the last one is what is seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..unreadable import NotUnderstoodError

_OCTAL = re.compile(r"\\([0-3][0-7]{2})")


@dataclass(frozen=True)
class Mount:
    """One mount; a flag among the options has an empty value."""

    source: str
    point: str
    type: str
    options: dict[str, str]


def read_mounts(text: str, where: str = "/proc/mounts") -> list[Mount]:
    """Return all mounts in their order. Raises NotUnderstoodError; also where there are none."""
    found: list[Mount] = []
    for line in text.removesuffix("\n").split("\n"):
        words = line.split(" ")
        if len(words) < 6 or not all(words[1:]) or words[-2:] != ["0", "0"]:
            raise NotUnderstoodError(
                "not a mount", where=where, found=line, expected="SOURCE POINT TYPE OPTIONS 0 0"
            )
        source, point, kind, options = map(_unescaped, (*words[:3], " ".join(words[3:-2])))
        pairs = dict(item.partition("=")[::2] for item in options.split(","))
        found.append(Mount(source, point, kind, pairs))
    return found


def _unescaped(word: str) -> str:
    """Return a name with its octal escapes as what they stand for: bytes of UTF-8 come unescaped from the kernel."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), word) if "\\" in word else word
