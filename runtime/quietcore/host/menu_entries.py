"""An entry of our own, made of one of GRUB's menu: the same commands, another identifier, title and command line."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import QuietcoreError
from .grub import Chosen, bytes_of, text_of
from .grub.kernel_line import quoted
from .grub.parser import Simple


def render(chosen: Chosen, identifier: str, title: str, words: Sequence[str]) -> str:
    """Return an entry that boots the chosen one's kernel with these words, as GRUB reads words. Raises QuietcoreError.

    Its other commands stay as they are written in the menu. Kernel and initial RAM disks stand as they were evaluated,
    so that it boots the same outside of a submenu.
    """
    entry, loaded = chosen.entry, chosen.loaded
    assert entry is not None
    assert loaded is not None
    block = entry.block
    replaced: list[tuple[Simple, list[str]]] = [(loaded.command, [text_of(loaded.kernel), *words])]
    if loaded.initial_command is not None:
        replaced.append((loaded.initial_command, [text_of(word) for word in loaded.initial]))
    body, end = "", block.offset
    for command, given in sorted(replaced, key=lambda item: item[0].start):
        inside = command.source is entry.source and block.offset <= command.start
        if not inside or command.end > block.offset + len(block.text):
            raise QuietcoreError(
                "an entry of GRUB's menu cannot be frozen",
                where=entry.where,
                found="its kernel is loaded by a function or another file",
                expected="a linux command in the entry itself",
            )
        body += entry.source.text[end : command.start]
        name = text_of(entry.source.text[command.start : command.end].split(None, 1)[0])
        body += bytes_of(f"{name}\t{' '.join(quote(word) for word in given)}")
        end = command.end
    body += entry.source.text[end : block.offset + len(block.text)]
    options = "" if entry.restricted else " --unrestricted"
    return f"menuentry '{title}'{options} --id '{identifier}' {{{text_of(body).rstrip()}\n}}\n"


def quote(word: str) -> str:
    """Return a word of a command line as GRUB's language wants it. Raises QuietcoreError."""
    found = quoted(word)
    if found is None:
        raise QuietcoreError(
            "a word of a command line cannot be put into a menu entry",
            where="/proc/cmdline",
            found=repr(word),
            expected="words without a line end",
        )
    return found
