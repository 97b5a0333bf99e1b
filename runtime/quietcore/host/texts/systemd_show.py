"""`systemctl show --property=…`: the properties of units, or of systemd itself.

The form, from systemctl(1): for each unit a block of lines `Name=value`, blocks parted by an empty line, in the order
asked for. Values have no newline of their own (systemd escapes them), may hold `=`, and are empty where nothing is set.
A property that this systemd does not know has no line: what was asked for and is not there is never taken for empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..unreadable import NotUnderstoodError

_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


def read_properties(text: str, asked: Sequence[str], where: str = "systemctl show") -> list[dict[str, str]]:
    """Return the properties by unit. Raises NotUnderstoodError where one that was asked for is not there."""
    blocks: list[dict[str, str]] = []
    for block in text.strip("\n").split("\n\n") if text.strip() else []:
        found: dict[str, str] = {}
        for line in block.strip("\n").split("\n"):
            name, equals, value = line.partition("=")
            if not equals or not _NAME.fullmatch(name) or name in found:
                raise NotUnderstoodError(
                    "not a property", where=where, found=line, expected="NAME=VALUE, each once"
                )
            found[name] = value
        missing = [name for name in asked if name not in found]
        if missing:
            raise NotUnderstoodError(
                "a property is not told", where=where, found=block[:60], expected=f"{', '.join(missing)}=…"
            )
        blocks.append(found)
    return blocks


_UNITS = {
    "y": 31_557_600.0,
    "month": 2_629_800.0,
    "w": 604_800.0,
    "d": 86_400.0,
    "h": 3600.0,
    "min": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(y|month|w|d|h|min|ms|us|s)")


def read_time_span(text: str, where: str) -> float:
    """Return the seconds of systemd's spelling of a time (`1min 30s`, `0`, `infinity`). Raises NotUnderstoodError."""
    if text == "0":
        return 0.0
    if text == "infinity":
        return float("inf")
    parts = [_SPAN.fullmatch(word) for word in text.split(" ")]
    seconds = [float(part[1]) * _UNITS[part[2]] for part in parts if part is not None]
    if len(seconds) != len(parts):
        raise NotUnderstoodError(
            "not a time", where=where, found=text, expected="such as 1min 30s, 0, or infinity"
        )
    return sum(seconds)
