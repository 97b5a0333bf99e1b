"""Boot loader specification entries, as RHEL and its kin have them: one file a kernel, changed through grubby.

Source: the Boot Loader Specification (type 1 entries), and GRUB's `blscfg` command as Fedora and RHEL have it.

    file      lines of key and value, parted by spaces or tabs; `#` begins a comment line; one line of `options`
    options   words; `$name` is a variable of GRUB's environment block, empty where it is not set
    order     by the file's name without `.conf`, taken apart into name, version and release at its last two `-`, each
              compared as rpm does; the newest is the menu's first entry
    default   `saved_entry`: an identifier (the file's name), else a title, else a number in that order; what is none of
              these, or beyond the menu, is the first entry
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from ..errors import ExitCode, QuietcoreError
from .boot_menu import read_bytes
from .grub import text_of
from .grub.environment_block import BrokenBlockError, variables
from .grub.numbers import SPACES, number
from .kernel_parameters import repeatable
from .machine import AbsentError, Machine, UnreadableError, split_command_line

FOLDER = "/boot/loader/entries"
BLOCK = "/boot/grub2/grubenv"
_TUNED = "tuned_params"
_PROFILE = "/etc/tuned/active_profile"
_SEGMENT = re.compile(r"[^A-Za-z0-9~]*(~|[0-9]+|[A-Za-z]+)?")


@dataclass(frozen=True)
class BootEntry:
    """One file: its name without `.conf`, and its first value of each key."""

    identifier: str
    title: str
    options: str


def in_use(machine: Machine) -> bool:
    """Tell whether this host boots by such entries: grubby is there, and entries for it."""
    return machine.program("grubby") is not None and machine.path(FOLDER).is_dir()


def default_words(machine: Machine) -> tuple[str, ...]:
    """Return the command line of the entry that is booted by default. Raises AbsentError or UnreadableError."""
    values = _variables(machine)
    entry = default_of(entries(machine), values.get("saved_entry", ""))
    words: list[str] = []
    for word in split_command_line(entry.options):
        words += split_command_line(values.get(word[1:], "")) if word.startswith("$") else [word]
    return tuple(words)


def entries(machine: Machine) -> list[BootEntry]:
    """Return the entries in the menu's order. Raises AbsentError or UnreadableError."""
    try:
        names = [path.stem for path in machine.path(FOLDER).glob("*.conf") if not path.name.startswith(".")]
    except OSError as error:
        raise UnreadableError(f"{FOLDER}: {error.strerror}") from error
    found = [read_entry(name, machine.read_raw(f"{FOLDER}/{name}.conf")) for name in menu_order(names)]
    there = [entry for entry in found if entry is not None]
    if not there:
        raise AbsentError(f"{FOLDER} has no entry")
    return there


def read_entry(name: str, text: str) -> BootEntry | None:
    """Return a file's entry, None where it has no kernel. Raises UnreadableError for two `options` lines, of which GRUB
    reads the first and others both.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        parts = line.strip(" \t").split(None, 1)
        if parts and not parts[0].startswith("#"):
            found.setdefault(parts[0], []).append(parts[1] if len(parts) > 1 else "")
    if not any(found.get("linux", ())):
        return None
    options = found.get("options", [""])
    if len(options) > 1:
        raise UnreadableError(
            f"{FOLDER}/{name}.conf: {len(options)} lines of options: which one counts depends on the reader"
        )
    return BootEntry(name, found.get("title", found["linux"])[0], options[0])


def default_of(menu: Sequence[BootEntry], saved: str) -> BootEntry:
    """Return the entry that `saved_entry` names. Raises UnreadableError for a number beyond these entries: what other
    scripts put behind them is not known here.
    """
    for entry in menu:
        if saved == entry.identifier:
            return entry
    for entry in menu:
        if saved == entry.title:
            return entry
    found = number(saved)
    if found is None or found.rest.strip(SPACES):
        return menu[0]
    if found.value >= len(menu):
        raise UnreadableError(f"{BLOCK}: saved_entry={saved}: there are {len(menu)} entries in {FOLDER}")
    return menu[found.value]


def menu_order(names: Sequence[str]) -> list[str]:
    """Return the names of entries as GRUB's menu has them: the newest first."""
    return sorted(names, key=cmp_to_key(_compare), reverse=True)


def _compare(first: str, second: str) -> int:
    for one, two in zip(_parts(first), _parts(second), strict=True):
        order = compare_versions(one, two)
        if order:
            return order
    return 0


def _parts(identifier: str) -> tuple[str, str, str]:
    """Return name, version and release, as rpm's names of packages have them."""
    rest, dash, release = identifier.rpartition("-")
    if not dash:
        return identifier, "", ""
    name, dash, version = rest.rpartition("-")
    return (name, version, release) if dash else (rest, release, "")


def compare_versions(first: str, second: str) -> int:
    """Return 1 where the first version is newer, -1 where the second is, else 0: segment by segment, as rpm does it.

    Runs of digits are numbers, and newer than letters; `~` is older than anything, also than the end.
    """
    if first == second:
        return 0
    at = [0, 0]
    while True:
        matches = [_SEGMENT.match(text, start) for text, start in zip((first, second), at, strict=True)]
        one, two = (match[1] if match is not None and match[1] else "" for match in matches)
        at = [match.end() if match is not None else 0 for match in matches]
        if "~" in (one, two):
            if one != two:
                return -1 if one == "~" else 1
            continue
        if not one or not two:
            return (one != "") - (two != "")
        if one.isdigit() != two.isdigit():
            return 1 if one.isdigit() else -1
        if one.isdigit():
            one, two = one.lstrip("0"), two.lstrip("0")
            if len(one) != len(two):
                return 1 if len(one) > len(two) else -1
        if one != two:
            return 1 if one > two else -1


def _variables(machine: Machine) -> dict[str, str]:
    try:
        found = variables(read_bytes(machine, BLOCK))
    except AbsentError:
        return {}
    except BrokenBlockError as error:
        raise UnreadableError(f"{BLOCK}: {error}") from None
    return {text_of(name): text_of(value) for name, value in found.items()}


def write_words(machine: Machine, words: Sequence[str], gone: Sequence[str]) -> None:
    """Take parameters out of all entries, and others in. Raises QuietcoreError, before anything is changed where
    one would replace somebody else's, which undo could not bring back, and where GRUB would take one for a sign.
    """
    for word in words:
        if ";" in word:
            raise QuietcoreError(
                "a kernel parameter cannot stand in a boot entry",
                where=FOLDER,
                found=word,
                expected="no ; since GRUB ends the command there, and other readers know no quotes",
            )
    there = default_words(machine)
    ours = {*words, *gone}
    for word in words:
        name = word.partition("=")[0]
        other = [item for item in there if item.partition("=")[0] == name and item not in ours]
        if other and not repeatable(name):
            raise _configured(machine, other, word)
    command = ["grubby", "--update-kernel=ALL"]
    old = [word for word in gone if word in there]
    new = [word for word in words if word not in there]
    command += [f"--remove-args={' '.join(old)}"] if old else []
    command += [f"--args={' '.join(new)}"] if new else []
    if not (old or new):
        return
    result = machine.run(*command)
    after = default_words(machine) if result.returncode == 0 else ()
    lacking = [word for word in words if word not in after]
    if result.returncode != 0 or lacking:
        raise QuietcoreError(
            "grubby could not change the boot entries",
            where=FOLDER,
            found=" ".join(result.stderr.split()) or f"without {' '.join(lacking)}",
            remedy="run it by hand and mend what it reports, then run this again",
            code=ExitCode.FOUND,
        )


def _configured(machine: Machine, other: list[str], word: str) -> QuietcoreError:
    """Return the refusal of another value, with a remedy for the place where it stands."""
    tuned = split_command_line(_variables(machine).get(_TUNED, ""))
    where, remedy = FOLDER, f"grubby --update-kernel=ALL --remove-args='{' '.join(other)}'"
    if any(item in tuned for item in other):
        where = f"{BLOCK}: {_TUNED}"
        rest = " ".join(item for item in tuned if item not in other)
        try:
            profile = machine.read(_PROFILE)
        except (AbsentError, UnreadableError):
            profile = ""
        remedy = f"grub2-editenv - set '{_TUNED}={rest}'"
        if profile:
            remedy = (
                f"take it out of cmdline in [bootloader] of TuneD's profile {profile} (or choose another with "
                f"tuned-adm profile), which writes it there again, then {remedy}"
            )
    return QuietcoreError(
        "another value of a kernel parameter is configured already",
        where=where,
        found=" ".join(other),
        expected=f"none, to put {word} there",
        remedy=remedy,
    )
