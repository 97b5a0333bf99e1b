"""Words between GRUB's language and the kernel's command line, both ways.

To the kernel (grub-core/lib/cmdline.c of GRUB 2.06): words are joined by spaces; a word with a space stands in double
quotes; `\\`, `'` and `"` inside a word get a backslash. The kernel itself knows double quotes only (lib/cmdline.c of
Linux): a backslash stays part of the value. Before the words stands `BOOT_IMAGE=` and the kernel's path. What does not
fit is left out, word by word from the first that does not, without a message: 2048 bytes with the NUL, on x86 and arm64
(COMMAND_LINE_SIZE).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .lexer import RESERVED

LIMIT = 2048
_IMAGE = "BOOT_IMAGE="
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=/@+%\[\]~^-]+")


def escaped(word: str) -> str:
    """Return a word as GRUB writes it on the command line."""
    found = re.sub(r"([\\'\"])", r"\\\1", word)
    return f'"{found}"' if " " in word else found


def command_line(kernel: str, words: Sequence[str], limit: int = LIMIT) -> str:
    """Return the command line that the kernel gets; what does not fit into `limit` bytes is not there, as with GRUB."""
    room = limit - len(_IMAGE)
    found: list[str] = []
    for word in (kernel, *words):
        text = escaped(word)
        if room < len(text.encode("utf-8", "surrogateescape")) + 1:
            break
        room -= len(text.encode("utf-8", "surrogateescape")) + 1
        found.append(text)
    return _IMAGE + " ".join(found)


def words_of(line: str) -> tuple[str, ...] | None:
    """Return the words that GRUB was given where it wrote this command line, None where it cannot have written it."""
    found: list[str] = []
    position, text = 0, line.rstrip("\n")
    while position < len(text):
        spaced = text[position] == '"'
        position += spaced
        word = ""
        while position < len(text) and text[position] != ('"' if spaced else " "):
            position += text[position] == "\\"
            word += text[position : position + 1]
            position += 1
        position += spaced
        found.append(word)
        if position == len(text) - 1:
            found.append("")  # an empty word at the end leaves its blank alone
        position += 1
    return tuple(found) if " ".join(map(escaped, found)) == text else None


def quoted(word: str) -> str | None:
    """Return a word in GRUB's language so that GRUB reads this very word; None for what no configuration can hold."""
    if "\0" in word or "\n" in word or "\r" in word:
        return None
    if _PLAIN.fullmatch(word) and word not in RESERVED:
        return word
    return "'" + word.replace("'", "'\\''") + "'"
