"""State of systemd's units: asked of systemd on a live host, read from its files in a copied tree."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError

_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


# Of these a control group tells that they run; a timer that waits leaves no trace in any file.
_WITH_CGROUP = ("service", "mount", "slice", "scope", "socket", "swap")
# Units of the distribution that read our files only when they start.
_READS_AT_START = {
    "file:/etc/systemd/system/irqbalance.service.d/": "irqbalance.service",
    "file:/etc/quietcore/irqbalance.env": "irqbalance.service",
}


@dataclass(frozen=True)
class UnitState:
    """A unit: started with the system or not, running or not."""

    enabled: bool
    active: bool


def unit_state(machine: Machine, unit: str) -> UnitState:
    """Return the state. Raises AbsentError where there is no such unit, UnreadableError where nobody can
    tell.
    """
    if not machine.can_run:
        return _from_files(machine, unit)
    result = machine.run("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", unit)
    fields = dict(line.partition("=")[::2] for line in result.stdout.splitlines())
    if result.returncode != 0 or "LoadState" not in fields:
        raise UnreadableError(f"systemctl show {unit}: {result.stderr.strip() or 'no answer'}")
    if fields["LoadState"] == "not-found":
        raise AbsentError(f"no unit {unit}")
    return UnitState(
        enabled=fields.get("UnitFileState", "").startswith("enabled"),
        active=fields.get("ActiveState") in ("active", "activating", "reloading"),
    )


def _from_files(machine: Machine, unit: str) -> UnitState:
    if not machine.exists("/etc/systemd"):
        raise UnreadableError(f"{unit}: /etc/systemd is not in this tree")
    if not any(machine.exists(f"{folder}/{unit}") for folder in _FOLDERS):
        raise AbsentError(f"no unit {unit}")
    if unit.rpartition(".")[2] not in _WITH_CGROUP:
        raise UnreadableError(f"{unit}: whether it waits is known to systemd alone, not told by this tree")
    # A link of a copied tree still points to where the file was on its own host: that it is there is what counts.
    folders = [*machine.path("/etc/systemd/system").glob("*.wants")]
    folders += machine.path("/etc/systemd/system").glob("*.requires")
    links = [folder for folder in folders if (folder / unit).is_symlink() or (folder / unit).exists()]
    if not machine.exists("/sys/fs/cgroup/system.slice"):
        raise UnreadableError(f"{unit}: whether it runs is not told by this tree (no /sys/fs/cgroup)")
    return UnitState(enabled=bool(links), active=machine.exists(f"/sys/fs/cgroup/system.slice/{unit}"))


def systemctl(machine: Machine, *words: str) -> None:
    """Run systemctl. Raises QuietcoreError with its own words."""
    result = machine.run("systemctl", *words)
    if result.returncode != 0:
        raise QuietcoreError(
            f"systemctl {' '.join(words)} failed",
            found=" ".join(result.stderr.split()) or f"exit status {result.returncode}",
            remedy="see `systemctl status` and `journalctl -xe`",
            code=ExitCode.FOUND,
        )


def reader_of(target: str) -> str | None:
    """Return the unit that has to start anew to see this target of the journal changed, None where none has."""
    return next((unit for start, unit in _READS_AT_START.items() if target.startswith(start)), None)


def environment_of(machine: Machine, unit: str) -> dict[str, str]:
    """Return the environment that a running service was started with.

    Raises AbsentError where it does not run, UnreadableError where nobody can tell.
    """
    group = f"/sys/fs/cgroup/system.slice/{unit}"
    if not machine.exists("/sys/fs/cgroup/system.slice"):
        raise UnreadableError(f"{unit}: whether it runs is not told by this tree (no /sys/fs/cgroup)")
    pids = machine.read(f"{group}/cgroup.procs").split()
    if not pids:
        raise AbsentError(f"{unit} has no process")
    text = machine.read_raw(f"/proc/{min(pids, key=int)}/environ")
    return dict(item.partition("=")[::2] for item in text.split("\0") if item)
