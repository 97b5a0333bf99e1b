"""GRUB's generated menu taken apart: what each entry boots, and an entry of our own made of one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import QuietcoreError

_HEAD = re.compile(r"^(?P<indent>\s*)menuentry\s+(?P<quote>['\"])(?P<title>.*?)(?P=quote)(?P<rest>.*)\{\s*$")
_IDENTIFIER = re.compile(r"(?:\$\{?menuentry_id_option\}?|--id)\s+['\"]?(?P<id>[^'\"\s]+)['\"]?")
_KERNEL_COMMANDS = ("linux", "linuxefi", "linux16")
_PLAIN = re.compile(r"[A-Za-z0-9_.,:;=/@+%\[\]-]*")
_PLAIN_WITHOUT = ";"


@dataclass(frozen=True)
class MenuEntry:
    """One entry: its body line by line without indentation, and the words of its kernel's command line."""

    identifier: str
    options: str  # what stands between title and identifier: classes, users
    body: tuple[str, ...]
    kernel: str
    words: tuple[str, ...]  # as they stand in the menu, GRUB's own variables included

    @property
    def initial(self) -> tuple[str, ...]:
        """The initial RAM disks, as GRUB names them."""
        found: list[str] = []
        for line in self.body:
            words = line.split()
            if words and words[0] in ("initrd", "initrdefi", "initrd16"):
                found += words[1:]
        return tuple(found)


def menu_entries(menu: str) -> list[MenuEntry]:
    """Return the entries with a Linux kernel, those in submenus too, in their order."""
    found: list[MenuEntry] = []
    lines = iter(menu.splitlines())
    for line in lines:
        head = _HEAD.match(line)
        if head is None:
            continue
        body: list[str] = []
        for inner in lines:
            if inner.rstrip() == head["indent"] + "}":
                break
            body.append(inner.strip())
        kernel = [item.split(None, 2) for item in body if item.split(None, 1)[:1] and _is_kernel(item)]
        if not kernel or len(kernel[0]) < 2:
            continue
        identifier = _IDENTIFIER.search(head["rest"])
        found.append(
            MenuEntry(
                identifier=identifier["id"] if identifier else "",
                options=" ".join(_IDENTIFIER.sub("", head["rest"]).split()),
                body=tuple(body),
                kernel=kernel[0][1],
                words=tuple(kernel[0][2].split()) if len(kernel[0]) > 2 else (),
            )
        )
    return found


def _is_kernel(line: str) -> bool:
    return line.split(None, 1)[0] in _KERNEL_COMMANDS


def default_of(menu: str) -> str:
    """Return what the menu boots where no one-shot is set: a number, an identifier, or `${saved_entry}`."""
    found = re.findall(r'^\s*set default="([^"]*)"', menu, re.MULTILINE)
    others = [value for value in found if value != "${next_entry}"]
    return others[0] if others else "0"


def render(entry: MenuEntry, identifier: str, title: str, words: Sequence[str]) -> str:
    """Return an entry like this one, with another identifier, title and command line. Raises QuietcoreError."""
    line = " ".join([entry.kernel, *(quoted(word) for word in words)])
    body = [f"{item.split(None, 1)[0]}\t{line}" if item and _is_kernel(item) else item for item in entry.body]
    options = f" {entry.options}" if entry.options else ""
    head = f"menuentry '{title}'{options} $menuentry_id_option '{identifier}' {{"
    return "\n".join([head, *(f"\t{item}" for item in body), "}"]) + "\n"


def quoted(word: str) -> str:
    """Return a word of a command line as GRUB's language wants it. Raises QuietcoreError."""
    if word.startswith("$") or (_PLAIN.fullmatch(word) and _PLAIN_WITHOUT not in word):
        return word
    if "'" in word or "\n" in word:
        raise QuietcoreError(
            "a word of the running command line cannot be frozen in a menu entry",
            where="/proc/cmdline",
            found=word,
            expected="words without a single quote",
        )
    return f"'{word}'"
