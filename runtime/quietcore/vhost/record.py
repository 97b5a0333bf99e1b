"""What is known of the virtual hosts of this state folder, and the grip on one that is up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quietcore.errors import QuietcoreError
from quietcore.vhost import process, ssh
from quietcore.vhost.places import RESERVED, Places, places


@dataclass(frozen=True)
class Info:
    """A virtual host that is up: how to reach it and how it came up."""

    name: str
    host: str  # its name in ssh_config and in the inventory
    folder: Path
    ssh_config: Path
    port: int  # of 127.0.0.1
    pid: int
    release: str
    image: str
    accelerator: str  # kvm or tcg
    reason: str  # why that one
    cpus: int
    memory: int  # MiB
    sockets: int
    threads: int  # of a core
    nodes: int  # of memory
    came_up: str  # "booted", "restored" or "already up"
    seconds: float  # it took

    @property
    def places(self) -> Places:
        """Return the files of the host."""
        return Places(self.folder.parent, self.name)

    def ssh_command(self, *remote: str) -> list[str]:
        """Return the command line of a shell on the host, or of ``remote`` there."""
        return ssh.command(self.places, remote)

    def exec(
        self, remote: str, *, input_text: str | None = None, timeout: float | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host; QuietcoreError where it fails and ``check`` is set."""
        return ssh.run(self.places, remote, input_text=input_text, timeout=timeout, check=check)

    def copy(self, sources_: Sequence[Path], destination: str) -> None:
        """Copy files and folders into a folder of the host."""
        ssh.copy(self.places, sources_, destination)


def read(host: Places) -> dict[str, Any]:
    """Return the record of a host, running or not; empty where there is none that can be read."""
    try:
        found = json.loads(host.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(host: Places, info: Info) -> None:
    """Write the record of a host, beside and renamed."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(info).items()}
    beside = host.record.with_suffix(".new")
    beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    beside.rename(host.record)


def info(name: str | None = None) -> Info | None:
    """Return what is known of a host that is running, None where it is not."""
    host = places(name)
    pid = process.running_pid(host)
    values = read(host)
    if pid is None or values.get("pid") != pid:
        return None
    try:
        return Info(**{**values, "folder": host.folder, "ssh_config": host.ssh_config})
    except TypeError:
        return None  # written by another version


def require_up(name: str | None = None) -> Info:
    """Return what is known of the host; QuietcoreError with the command that starts it where it is not up."""
    found = info(name)
    if found is None:
        host = places(name)
        raise QuietcoreError(
            "the virtual host is not up", where=host.name, remedy=f"quietcore vhost up --name {host.name}"
        )
    return found


def names() -> list[str]:
    """Return the names of all hosts of this state folder, running or not."""
    root = places("demo").root
    found = root.iterdir() if root.is_dir() else iter(())
    return sorted(
        p.name for p in found if p.is_dir() and p.name not in RESERVED and not p.name.startswith(".")
    )
