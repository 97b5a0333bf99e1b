"""Boot loader specification entries, as RHEL and its kin have them: one file a kernel, changed through grubby.

Source: the Boot Loader Specification (type 1 entries), and Fedora's `blscfg` for what `$kernelopts` means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError, split_command_line

FOLDER = "/boot/loader/entries"
BLOCK = "/boot/grub2/grubenv"


def in_use(machine: Machine) -> bool:
    """Tell whether this host boots by such entries: grubby is there, and entries for it."""
    return machine.program("grubby") is not None and machine.path(FOLDER).is_dir()


def default_words(machine: Machine) -> tuple[str, ...]:
    """Return the command line of the entry that is booted by default. Raises AbsentError or UnreadableError.

    That is the one GRUB's environment names as `saved_entry`, else the newest.
    """
    variables = _variables(machine)
    try:
        names = sorted(
            (path.stem for path in machine.path(FOLDER).glob("*.conf")), key=_version, reverse=True
        )
    except OSError as error:
        raise UnreadableError(f"{FOLDER}: {error.strerror}") from error
    if not names:
        raise AbsentError(f"{FOLDER} has no entry")
    saved = variables.get("saved_entry", "")
    name = saved if saved in names else next((item for item in names if "-rescue" not in item), names[0])
    words: list[str] = []
    for line in machine.read_raw(f"{FOLDER}/{name}.conf").splitlines():
        key, _, value = line.strip().partition(" ")
        if key == "options":
            for word in split_command_line(value):
                words += split_command_line(variables.get(word[1:], "")) if word.startswith("$") else [word]
    return tuple(words)


def _variables(machine: Machine) -> dict[str, str]:
    try:
        lines = machine.read_raw(BLOCK).splitlines()
    except AbsentError:
        return {}
    parted = (line.partition("=") for line in lines if not line.startswith("#"))
    return {key: value for key, equals, value in parted if equals}


def _version(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts by version: numbers by value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def write_words(machine: Machine, words: Sequence[str], gone: Sequence[str]) -> None:
    """Take parameters out of all entries, and others in. Raises QuietcoreError, before anything is changed where
    one would replace somebody else's, which undo could not bring back.
    """
    there = default_words(machine)
    ours = {*words, *gone}
    for word in words:
        name = word.partition("=")[0]
        other = [item for item in there if item.partition("=")[0] == name and item not in ours]
        if other:
            raise QuietcoreError(
                "another value of a kernel parameter is configured already",
                where=FOLDER,
                found=" ".join(other),
                expected=f"none, to put {word} there",
                remedy=f"grubby --update-kernel=ALL --remove-args='{' '.join(other)}'",
            )
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
