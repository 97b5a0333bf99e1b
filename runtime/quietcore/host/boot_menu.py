"""GRUB's menu on this host, read as GRUB reads it: what a boot with this environment boots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

from ..errors import ExitCode, QuietcoreError
from .grub import Chosen, HostDisk, Machinery, bytes_of, evaluate, every_entry
from .grub.environment_block import BrokenBlockError, changed, made
from .machine import AbsentError, Machine, UnreadableError

MENU = "/boot/grub/grub.cfg"
BLOCK = "/boot/grub/grubenv"
Blocks = dict[str, str]
Changes = Mapping[str, "str | None"]
# Each parameter's finding asks for the same boot: a menu is executed once for an environment.
_KNOWN: WeakKeyDictionary[Machine, dict[tuple[str, tuple[tuple[str, str], ...]], Chosen]] = (
    WeakKeyDictionary()
)


def read_bytes(machine: Machine, path: str) -> str:
    """Return a file's bytes as latin-1 characters. Raises AbsentError or UnreadableError."""
    try:
        return machine.path(path).read_bytes().decode("latin-1")
    except FileNotFoundError:
        raise AbsentError(f"{path} does not exist") from None
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from error


def environment(machine: Machine, changes: Changes) -> Blocks:
    """Return GRUB's environment block with these variables set or (None) taken out. Raises QuietcoreError."""
    try:
        block = read_bytes(machine, BLOCK)
    except AbsentError:
        block = made()
    try:
        for name, value in changes.items():
            if value is not None or f"\n{name}=" in block:
                block = changed(block, name, None if value is None else bytes_of(value))
    except BrokenBlockError as error:
        raise QuietcoreError(
            "GRUB's environment block is broken",
            where=BLOCK,
            found=str(error),
            remedy=f"grub-editenv {BLOCK} create, then run this again",
            code=ExitCode.FOUND,
        ) from None
    return {BLOCK: block}


def boots(machine: Machine, blocks: Blocks, menu: str = MENU) -> Chosen:
    """Return what boots with these environment blocks; `menu` is the file that becomes GRUB's menu.

    Raises AbsentError, UnreadableError, or CannotTellError for what is outside the evaluator's grammar.
    """
    machinery = _machinery(machine, menu)
    known, key = _KNOWN.setdefault(machine, {}), (machinery.text, tuple(sorted(blocks.items())))
    if key not in known:
        known[key] = evaluate(machinery, lambda: HostDisk(machine, blocks))
    return known[key]


def entries(machine: Machine) -> Iterator[Chosen]:
    """Yield what each entry of the menu boots. Raises as `boots` does."""
    blocks = environment(machine, {"next_entry": None})
    return every_entry(_machinery(machine, MENU), lambda: HostDisk(machine, blocks))


def _machinery(machine: Machine, menu: str) -> Machinery:
    platform = "efi" if machine.exists("/sys/firmware/efi") else "pc"
    return Machinery(MENU, read_bytes(machine, menu), platform)
