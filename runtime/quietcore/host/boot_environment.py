"""GRUB's environment block: the default entry and the entry for one boot, and whether GRUB can write it at all."""

from __future__ import annotations

from ..errors import ExitCode, QuietcoreError
from . import boot_entries
from .boot_menu import BLOCK, read_bytes
from .grub import bytes_of, text_of
from .grub.environment_block import BrokenBlockError, variables
from .machine import AbsentError, Machine, UnreadableError

# GRUB writes its environment only into blocks that it finds by itself on a plain partition.
_NOT_WRITABLE = ("btrfs", "cpiofs", "newc", "odc", "romfs", "squash4", "tarfs", "zfs")


def obstacle(machine: Machine) -> str | None:
    """Return why GRUB cannot clear a one-shot by itself here, or None where it can.

    Where it cannot, the one-shot entry would be booted every time.
    """
    if boot_entries.in_use(machine):
        return "this host boots by grubby's entries, of which this version freezes none"
    if machine.program("grub-editenv") is None or machine.program("grub-probe") is None:
        return "grub-editenv and grub-probe are not installed"
    found: dict[str, list[str]] = {}
    for target in ("fs", "abstraction"):
        result = machine.run("grub-probe", f"--target={target}", "/boot/grub")
        if result.returncode != 0:
            said = " ".join(result.stderr.split()) or f"exit status {result.returncode}"
            return f"grub-probe cannot tell what /boot/grub lies on: {said}"
        found[target] = result.stdout.split()
    for name in found["fs"]:
        if name in _NOT_WRITABLE:
            return (
                f"GRUB cannot write its environment on {name}, so a one-shot entry would be booted every time"
            )
    if found["abstraction"]:
        lies_on = ", ".join(found["abstraction"])
        return f"GRUB cannot write its environment through {lies_on}, so a one-shot entry would be booted every time"
    return None


def read_variable(machine: Machine, name: str) -> str | None:
    """Return a variable of the block, None where it is not set, or empty, as GRUB leaves it. Raises UnreadableError."""
    try:
        found = variables(read_bytes(machine, BLOCK)).get(bytes_of(name))
    except AbsentError:
        return None
    except BrokenBlockError as error:
        raise UnreadableError(f"{BLOCK}: {error}; remedy: grub-editenv {BLOCK} create") from None
    return text_of(found) if found else None


def write_variable(machine: Machine, name: str, value: str | None) -> None:
    """Set or (None) unset a variable of the block, and read it back. Raises QuietcoreError."""
    words = ("set", f"{name}={value}") if value is not None else ("unset", name)
    result = machine.run("grub-editenv", str(machine.path(BLOCK)), *words)
    try:
        found = read_variable(machine, name)
    except UnreadableError as error:
        found = str(error)
    if result.returncode != 0 or found != value:
        raise QuietcoreError(
            "GRUB's environment could not be written",
            where=f"{BLOCK}: {name}",
            found=" ".join(result.stderr.split()) or found,
            expected=value if value is not None else "not set",
            remedy="see that /boot/grub has room and is writable, then run this again",
            code=ExitCode.FOUND,
        )
