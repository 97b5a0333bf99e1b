"""Where the virtual hosts and their images live on the controller, and what such a host is called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from quietcore.errors import QuietcoreError

STATE_VARIABLE = "QUIETCORE_VHOST_DIR"
NAME_VARIABLE = "QUIETCORE_VHOST"
DEFAULT_NAME = "demo"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
RESERVED = frozenset({"images", "logs"})


def repository_root() -> Path:
    """Return the checkout this package runs from, or the one around the working folder.

    Raises QuietcoreError where there is none: the state folder would land somewhere unexpected.
    """
    for start in (Path(__file__).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "inventory" / "virtual").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise QuietcoreError(
        "no Quietcore checkout here",
        where=str(Path.cwd()),
        expected="a folder with pyproject.toml and inventory/virtual, or below one",
        remedy=f"change to the checkout, or set {STATE_VARIABLE} to a folder for the virtual hosts",
    )


def state_root() -> Path:
    """Return the folder that holds every virtual host and image: $QUIETCORE_VHOST_DIR or build/vhost."""
    chosen = os.environ.get(STATE_VARIABLE)
    return Path(chosen).absolute() if chosen else repository_root() / "build" / "vhost"


def chosen_name(name: str | None = None) -> str:
    """Return the wanted host's name: the given one, else $QUIETCORE_VHOST, else `demo`."""
    found = name or os.environ.get(NAME_VARIABLE) or DEFAULT_NAME
    if not _NAME.fullmatch(found) or found in RESERVED:
        raise QuietcoreError(
            "not a name for a virtual host",
            where=f"--name or {NAME_VARIABLE}",
            found=repr(found),
            expected="1 to 31 of a-z, 0-9 and '-', not 'images' or 'logs'",
            remedy="choose another name",
        )
    return found


@dataclass(frozen=True)
class Places:
    """The files of one virtual host, all below ``root / name``."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """Return the host's own folder."""
        return self.root / self.name

    @property
    def images(self) -> Path:
        """Return the folder of the images, shared by all hosts of this state folder."""
        return self.root / "images"

    @property
    def identity(self) -> Path:
        """Return the private ssh key that opens every host of this state folder."""
        return self.root / "id_ed25519"

    @property
    def accelerator(self) -> Path:
        """Return the file that remembers how the trial boot went."""
        return self.root / "accelerator.json"

    @property
    def host(self) -> str:
        """Return the name the host has in ssh, in the inventory and for itself."""
        return f"quietcore-{self.name}"

    @property
    def disk(self) -> Path:
        """Return the disk: what the host changed on top of its image, and the snapshots."""
        return self.folder / "disk.qcow2"

    @property
    def firmware_variables(self) -> Path:
        """Return the UEFI variables, qcow2 so that a snapshot may hold them."""
        return self.folder / "firmware.qcow2"

    @property
    def ssh_config(self) -> Path:
        """Return the ssh configuration that Ansible, the tests and people use."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """Return the host's public key as ssh wants it."""
        return self.folder / "known_hosts"

    @property
    def console(self) -> Path:
        """Return the log of the serial console of the present boot; earlier ones end in .1, .2, …"""
        return self.folder / "console.log"

    @property
    def qemu_log(self) -> Path:
        """Return what qemu itself had to say."""
        return self.folder / "qemu.log"

    @property
    def record(self) -> Path:
        """Return the JSON file that tells how the host was started."""
        return self.folder / "vhost.json"

    @property
    def pid_file(self) -> Path:
        """Return qemu's process number; qemu removes it when it ends."""
        return self.folder / "qemu.pid"


def places(name: str | None = None) -> Places:
    """Return the places of the named (or chosen) virtual host."""
    return Places(state_root(), chosen_name(name))
