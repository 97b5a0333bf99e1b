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
from .boot_menu import MENU as MENU
from .boot_read_back import read_back
from .boot_trial import ordinary_boot
from .grub.kernel_line import quoted
from .grub_defaults import DROP_IN as DROP_IN
from .grub_defaults import VARIABLE
from .machine import AbsentError, Machine, UnreadableError
from .settings import Setting

_BESIDE = f"{MENU}.quietcore"
_SAFE = re.compile(r"[A-Za-z0-9_.,:;=/@+-]*")
_SAVED = "GRUB_DEFAULT=saved"


def word(name: str, value: str) -> str:
    """Return a parameter as it stands on the command line."""
    return f"{name}={value}" if value != "" else name


def check_word(name: str, value: str, variable: str) -> None:
    """Refuse a parameter with characters that the shell of GRUB's files, GRUB or the kernel would take for signs."""
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
        # A `;` ends a command for GRUB, so that such a word stands in quotes in the menu too.
        lines.append(f'{VARIABLE}="${VARIABLE} {quoted(word(setting.name, value))}"')
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
    """Return the command line that is booted by default once nothing is on trial, as GRUB makes it of its menu.

    Raises AbsentError or UnreadableError.
    """
    if boot_entries.in_use(machine):
        return boot_entries.default_words(machine)
    boot = ordinary_boot(machine).boot
    if not boot.kernel:
        raise UnreadableError(f"{MENU}: its default entry boots no Linux kernel: {boot.why}")
    return boot.words[: boot.words.index("--")] if "--" in boot.words else boot.words


def values_of(words: Sequence[str], name: str) -> list[str]:
    """Return each value that a parameter has on a command line, in order (an empty text: no value)."""
    return [item.partition("=")[2] for item in words if item.partition("=")[0] == name]


def menu_is_current(machine: Machine, wanted: Iterable[str], gone: Iterable[str]) -> bool:
    """Tell whether the menu's default entry has these words and has none of those."""
    try:
        entry = default_entry(machine)
    except (AbsentError, UnreadableError):
        return False
    return all(item in entry for item in wanted) and not any(item in entry for item in gone)


def menu_is_newer(machine: Machine) -> bool:
    """Tell whether the menu was written after our drop-in: what it lacks, another file keeps out of it."""
    try:
        return machine.path(MENU).stat().st_mtime > machine.path(DROP_IN).stat().st_mtime
    except OSError:
        return False


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
        read_back(machine, _BESIDE, words, exact=False)
        try:
            machine.rename_file(_BESIDE, MENU)
        except OSError as error:
            raise _not_written(str(error.strerror)) from error
    finally:
        for path in (_BESIDE, f"{_BESIDE}.new"):
            machine.remove_file(path)


def _check_menu(machine: Machine) -> None:
    """See that the new menu is whole, as far as GRUB's own check is there to tell. Raises QuietcoreError."""
    if not machine.exists(_BESIDE):
        raise _not_written("grub-mkconfig wrote nothing")
    if unchecked(machine) is None:
        result = machine.run("grub-script-check", str(machine.path(_BESIDE)))
        if result.returncode != 0:
            raise _not_written(" ".join(result.stderr.split()) or "grub-script-check does not take it")


def unchecked(machine: Machine) -> str | None:
    """Return what is said where GRUB's own check of its menu is not there, None where it is."""
    if machine.program("grub-script-check") is not None:
        return None
    return (
        "grub-script-check is not installed (package grub-common): GRUB's own check of the menu was left out"
    )


def menu_bytes(machine: Machine) -> bytes | None:
    """Return the menu as it is now, None where there is none."""
    try:
        return machine.path(MENU).read_bytes()
    except OSError:
        return None


def put_menu_back(machine: Machine, content: bytes | None) -> None:
    """Put an earlier menu in the place of the present one, whole."""
    if content is None or content == menu_bytes(machine):
        return
    machine.path(_BESIDE).write_bytes(content)
    machine.rename_file(_BESIDE, MENU)


def _not_written(found: str) -> QuietcoreError:
    return QuietcoreError(
        "GRUB's menu could not be written; the old one is still in place",
        where=MENU,
        found=found,
        remedy="run update-grub by hand and mend what it reports, then run this again",
        code=ExitCode.FOUND,
    )
