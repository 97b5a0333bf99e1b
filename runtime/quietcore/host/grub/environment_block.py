"""GRUB's environment block (`grubenv`): variables that a boot leaves for the next one.

Source: grub-core/lib/envblk.c of GRUB 2.06; `grub-editenv create` makes it 1024 bytes long. GRUB writes into the
file's own sectors, so its length never changes.

    block     "# GRUB Environment Block" newline { line } filler
    line      NAME "=" value newline; in a value a backslash makes the next character literal, newline and backslash too
    filler    "#" up to the end; new variables go where it begins, and what does not fit is not written at all

A character here is a byte (latin-1), since the block's size counts in bytes.

A line that begins with `#` is passed over. A block whose last character before the filler is no newline can be read,
but not written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SIGNATURE = "# GRUB Environment Block\n"
SIZE = 1024
_VALUE = re.compile(r"[^\\\n]*(?:\\[\s\S][^\\\n]*)*")
_ESCAPE = re.compile(r"\\([\s\S])")


class BrokenBlockError(Exception):
    """GRUB refuses the block, or a change of it; the message says why."""


def variables(block: str) -> dict[str, str]:
    """Return the block's variables as GRUB's `load_env` sets them. Raises BrokenBlockError where it refuses the block.

    A variable whose line is cut off, and those after it, are not set.
    """
    _check(block)
    found: dict[str, str] = {}
    position, end = len(SIGNATURE), len(block)
    while position < end:
        if block[position] == "#":
            position = _after_line(block, position)
            continue
        equals = block.find("=", position)
        if equals < 0:
            break
        value, newline = _value(block, equals + 1)
        if newline >= end:
            break
        found[block[position:equals]] = value
        position = newline + 1
    return found


def _value(block: str, start: int) -> tuple[str, int]:
    """Return a value without its backslashes, and where its newline is (the block's end where it has none)."""
    match = _VALUE.match(block, start)
    assert match is not None
    end = match.end()
    if block[end : end + 1] == "\\":  # the block's last character
        end += 1
    return (_ESCAPE.sub(r"\1", match[0]) if "\\" in match[0] else match[0]), end


def _after_line(block: str, position: int) -> int:
    return _value(block, position)[1] + 1


def changed(block: str, name: str, value: str | None) -> str:
    """Return the block with a variable set, or (None) deleted, as GRUB does it. Raises BrokenBlockError."""
    _check(block)
    span = _span(block, name)
    if value is None:
        if span is None:
            return block
        start, end = span
        return block[:start] + block[end + 1 :] + "#" * (end + 1 - start)
    escaped = value.replace("\\", "\\\\").replace("\n", "\\\n")
    used = len(block.rstrip("#"))
    if not used or block[used - 1] != "\n":
        raise BrokenBlockError("its last line is cut off")
    line = f"{name}={escaped}\n"
    if span is None:
        start = end = used
        new = line
    else:
        start, end = span
        new = line[:-1]
    grown = len(new) - (end - start)
    if grown > len(block) - used:
        raise BrokenBlockError(f"it has no room for {name}")
    body = block[:start] + new + block[end:used]
    return body + "#" * (len(block) - len(body))


def _span(block: str, name: str) -> tuple[int, int] | None:
    """Return where a variable's line begins and where its newline is, None where it is not set."""
    position = len(SIGNATURE)
    while position + len(name) + 1 < len(block):
        if block.startswith(f"{name}=", position):
            end = _value(block, position)[1]
            return (position, end) if end < len(block) else None
        position = _after_line(block, position)
    return None


def _check(block: str) -> None:
    if not block.startswith(SIGNATURE) or len(block) == len(SIGNATURE):
        raise BrokenBlockError("it does not begin with GRUB's signature")


def made(values: Sequence[tuple[str, str]] = (), size: int = SIZE) -> str:
    """Return a new block with these variables. Raises BrokenBlockError where they do not fit."""
    block = SIGNATURE + "#" * (size - len(SIGNATURE))
    for name, value in values:
        block = changed(block, name, value)
    return block
