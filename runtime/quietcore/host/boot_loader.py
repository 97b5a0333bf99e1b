"""GRUB as Debian and Ubuntu set it up: one drop-in file of our own, and what the generated menu says.

Where grubby rules (RHEL), the drop-in is only the record of what is ours, and `boot_entries` does the rest.

The drop-in appends to the distribution's default arguments and sorts after other drop-ins, so that console
arguments of a cloud image stay. Recovery entries do not read that variable: they boot without our parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..errors import ExitCode, QuietcoreError
from . import boot_entries
from .machine import AbsentError, Machine, UnreadableError, split_command_line
from .menu_entries import menu_entries
from .settings import Setting

DROP_IN = "/etc/default/grub.d/zz-quietcore.cfg"
MENU = "/boot/grub/grub.cfg"
_BESIDE = f"{MENU}.quietcore"
_SAFE = re.compile(r"[A-Za-z0-9_.,:;=/@+-]*")
_VARIABLE = "GRUB_CMDLINE_LINUX_DEFAULT"
_SAVED = "GRUB_DEFAULT=saved"


def word(name: str, value: str) -> str:
    """Return a parameter as it stands on the command line."""
    return f"{name}={value}" if value != "" else name


def check_word(name: str, value: str, variable: str) -> None:
    """Refuse a parameter that would not survive the shell that GRUB's files are."""
    if not name or not _SAFE.fullmatch(name) or "=" in name or not _SAFE.fullmatch(value):
        raise QuietcoreError(
            "not a kernel parameter",
            where=variable,
            found=repr(word(name, value)),
            expected="letters, digits and _ . , : ; = / @ + - only",
        )


def drop_in_content(settings: Iterable[Setting], values: Iterable[str], saved: bool = False) -> str | None:
    """Return the drop-in's content for these parameters, or None where there are none.

    `saved`: the default entry is the one in GRUB's environment, which a trial needs.
    """
    lines: list[str] = []
    for setting, value in zip(settings, values, strict=True):
        lines.append(f"# {setting.id}: {setting.why}")
        lines.append(f'{_VARIABLE}="${_VARIABLE} {word(setting.name, value)}"')
    if not lines:
        return None
    if saved:
        lines += ["# The entry that is known to be good stays the default until a boot is confirmed.", _SAVED]
    head = "# Written by Quietcore from /etc/quietcore/host.d; `quietcore revert` removes it. Edits are lost."
    return "\n".join([head, *lines]) + "\n"


def obstacle(machine: Machine) -> str | None:
    """Return why parameters cannot be configured here, or None where they can."""
    if boot_entries.in_use(machine):
        return None
    if not machine.exists("/etc/default/grub"):
        return "no GRUB as Debian sets it up: /etc/default/grub does not exist"
    if machine.program("grub-mkconfig") is None:
        return "grub-mkconfig is not installed"
    if not machine.exists("/boot/grub"):
        return "/boot/grub does not exist"
    return None


def default_entry(machine: Machine) -> tuple[str, ...]:
    """Return the command line that is booted by default: that of the menu's first entry, or of grubby's default.

    Raises AbsentError or UnreadableError.
    """
    if boot_entries.in_use(machine):
        return boot_entries.default_words(machine)
    for line in machine.read(MENU).splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0] in ("linux", "linuxefi", "linux16"):
            return split_command_line(words[2])
    raise UnreadableError(f"{MENU}: no entry with a Linux kernel")


def values_of(words: Sequence[str], name: str) -> list[str]:
    """Return each value that a parameter has on a command line, in order (an empty text: no value)."""
    return [item.partition("=")[2] for item in words if item.partition("=")[0] == name]


def menu_is_current(machine: Machine, wanted: Iterable[str], gone: Iterable[str]) -> bool:
    """Tell whether the menu's first entry has these words and has none of those."""
    try:
        entry = default_entry(machine)
    except (AbsentError, UnreadableError):
        return False
    return all(item in entry for item in wanted) and not any(item in entry for item in gone)


def regenerate_menu(machine: Machine, words: Sequence[str] = (), gone: Sequence[str] = ()) -> None:
    """Write the menu anew from the files below /etc/default. Raises QuietcoreError with GRUB's own words.

    Where grubby rules, `words` go into its entries and those `gone` out of them.

    Beside the old one, then renamed: grub-mkconfig by itself writes into the menu in place, and a power cut there
    leaves half of it.
    """
    if boot_entries.in_use(machine):
        boot_entries.write_words(machine, words, gone)
        return
    for path in (_BESIDE, f"{_BESIDE}.new"):  # of a run that was cut off
        machine.remove_file(path)
    try:
        result = machine.run("grub-mkconfig", "-o", str(machine.path(_BESIDE)))
        if result.returncode != 0:
            last = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["no message"]
            raise _not_written(last[0])
        _check_menu(machine)
        try:
            machine.rename_file(_BESIDE, MENU)
        except OSError as error:
            raise _not_written(str(error.strerror)) from error
    finally:
        for path in (_BESIDE, f"{_BESIDE}.new"):
            machine.remove_file(path)


def _check_menu(machine: Machine) -> None:
    """See that the new menu is whole and boots something. Raises QuietcoreError."""
    try:
        entries = menu_entries(machine.read_raw(_BESIDE))
    except (AbsentError, UnreadableError) as error:
        raise _not_written(str(error)) from None
    if not entries:
        raise _not_written("what grub-mkconfig wrote has no entry with a Linux kernel")
    if machine.program("grub-script-check") is not None:
        result = machine.run("grub-script-check", str(machine.path(_BESIDE)))
        if result.returncode != 0:
            raise _not_written(" ".join(result.stderr.split()) or "grub-script-check does not take it")


def _not_written(found: str) -> QuietcoreError:
    return QuietcoreError(
        "GRUB's menu could not be written; the old one is still in place",
        where=MENU,
        found=found,
        remedy="run update-grub by hand and mend what it reports, then run this again",
        code=ExitCode.FOUND,
    )
