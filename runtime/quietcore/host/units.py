"""State of systemd's units: asked of systemd on a live host, read from its files in a copied tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError
from .texts.systemd_show import read_properties

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
    (fields,) = properties(machine, ("LoadState", "ActiveState", "UnitFileState"), unit)[:1] or (None,)
    if fields is None:
        raise UnreadableError(f"systemctl show {unit}: no answer")
    if fields["LoadState"] == "not-found":
        raise AbsentError(f"no unit {unit}")
    return UnitState(
        enabled=fields["UnitFileState"].startswith("enabled"),
        active=fields["ActiveState"] in ("active", "activating", "reloading", "refreshing"),
    )


def properties(machine: Machine, names: Sequence[str], *units: str) -> list[dict[str, str]]:
    """Return properties of units, or of systemd itself where none is named. Raises UnreadableError."""
    result = machine.run("systemctl", "show", f"--property={','.join(names)}", *units)
    shown = " ".join(("systemctl show", *units))
    if result.returncode != 0:
        raise UnreadableError(f"{shown}: {' '.join(result.stderr.split()) or 'no answer'}")
    return read_properties(result.stdout, names, shown)


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
    return UnitState(enabled=bool(links), active=machine.exists(f"{_service_groups(machine, unit)}/{unit}"))


def _service_groups(machine: Machine, unit: str) -> str:
    """Return the folder of the services' control groups: of the unified hierarchy, or systemd's own of version 1.

    Raises UnreadableError.
    """
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        if machine.exists(f"{top}/system.slice"):
            return f"{top}/system.slice"
    raise UnreadableError(
        f"{unit}: whether it runs is not told by this tree (no system.slice in /sys/fs/cgroup)"
    )


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
    group = f"{_service_groups(machine, unit)}/{unit}"
    pids = machine.read(f"{group}/cgroup.procs").split()
    if not all(map(str.isdecimal, pids)):
        raise UnreadableError(f"{group}/cgroup.procs: {pids[:3]} are no processes")
    if not pids:
        raise AbsentError(f"{unit} has no process")
    text = machine.read_raw(f"/proc/{min(pids, key=int)}/environ")
    return dict(item.partition("=")[::2] for item in text.split("\0") if item)
