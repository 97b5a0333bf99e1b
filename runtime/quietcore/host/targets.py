"""What a journal entry is about, by kind of address: `value:/sys/…`, `irq:24:eth0-rx`, `file:/etc/…`,
`folder:/etc/…`, `unit:…`, `threads:user:…` (masks by thread), `partition:SLICE`, `grubenv:saved_entry`,
`network:eth0:ring`.

A target is read before it is first changed, and written with a value of the same form: by apply with the
wanted
one, by revert with the one that was there.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .boot_environment import read_variable, write_variable
from .cpulist import parse_cpu_list
from .kernel_answers import meaning, refused, words
from .machine import AbsentError, Machine, UnreadableError
from .network_card import read_part, write_part
from .threads import move
from .units import systemctl, unit_state

PARTITION_UNIT = "quietcore-partition.service"


def partition_path(name: str) -> str:
    """Return the file that says what a slice's cpuset is (`member`, `isolated`, `isolated invalid (…)`)."""
    return f"/sys/fs/cgroup/{name}/cpuset.cpus.partition"


def chosen(text: str) -> str:
    """Return the choice in brackets of `always [madvise] never`, or the text itself."""
    start, end = text.find("["), text.find("]")
    return text[start + 1 : end] if 0 <= start < end else " ".join(text.split())


# Pairs of which the kernel keeps one: writing either sets the other to 0.
_PAIRS = (
    ("/proc/sys/vm/dirty_bytes", "/proc/sys/vm/dirty_ratio"),
    ("/proc/sys/vm/dirty_background_bytes", "/proc/sys/vm/dirty_background_ratio"),
    ("/proc/sys/vm/overcommit_kbytes", "/proc/sys/vm/overcommit_ratio"),
)


def counterpart(path: str) -> str | None:
    """Return the file that becomes 0 when this one is written, None where there is none."""
    for pair in _PAIRS:
        if path in pair:
            return pair[1 - pair.index(path)]
    return None


def read_target(machine: Machine, target: str) -> Any:
    """Return what the target holds, None where it is not there. Raises UnreadableError."""
    kind, _, address = target.partition(":")
    try:
        if kind == "value":
            return chosen(machine.read(address))
        if kind == "irq":
            return machine.read(f"/proc/irq/{address.partition(':')[0]}/smp_affinity_list")
        if kind == "file":
            return _read_file(machine, address)
        if kind == "folder":
            return "made" if machine.path(address).is_dir() else None
        if kind == "grubenv":
            return read_variable(machine, address)
        if kind == "unit":
            state = unit_state(machine, address)
            return {"enabled": state.enabled, "active": state.active}
        if kind == "partition":
            return machine.read(partition_path(address))
        if kind == "network":
            interface, _, part = address.partition(":")
            return dict(read_part(machine, interface, part).current)
    except AbsentError:
        return None
    raise QuietcoreError("unknown kind of target", where=target, code=ExitCode.UNKNOWN)


def _read_file(machine: Machine, address: str) -> dict[str, Any]:
    content = machine.read_raw(address)
    status = machine.path(address).stat()
    return {"content": content, "mode": f"{status.st_mode & 0o7777:04o}"}


def write_target(machine: Machine, target: str, value: Any) -> None:
    """Make the target hold a value of the form that `read_target` returned. Raises QuietcoreError."""
    kind, _, address = target.partition(":")
    try:
        if kind == "value":
            machine.write_value(address, str(value))
        elif kind == "irq":
            machine.write_value(f"/proc/irq/{address.partition(':')[0]}/smp_affinity_list", str(value))
        elif kind == "file" and value is None:
            machine.remove_file(address)
        elif kind == "file":
            machine.replace_file(address, value["content"], int(value["mode"], 8))
        elif kind == "folder" and value is None:
            machine.remove_empty_folders(address)
        elif kind == "grubenv":
            write_variable(machine, address, value)
        elif kind == "unit":
            _write_unit(machine, address, value)
        elif kind == "threads":
            _move_threads(machine, target, value)
        elif kind == "network":
            interface, _, part = address.partition(":")
            write_part(machine, interface, part, value)
        elif kind == "partition":
            # The unit writes the state and reads it back; stopped, it makes the slice an ordinary one again.
            systemctl(machine, "restart" if value == "isolated" else "stop", PARTITION_UNIT)
        else:
            raise QuietcoreError("unknown kind of target", where=target, code=ExitCode.UNKNOWN)
    except OSError as error:
        raise refused(target, value, error) from error


def _move_threads(machine: Machine, target: str, wanted: Mapping[str, str]) -> None:
    """Move every thread that lets itself be moved, then name those that do not. Raises QuietcoreError."""
    refusing = move(machine, wanted)
    if not refusing:
        return
    said = [
        f"thread {key.split(':')[1]} to {wanted[key]}: {words(target, error)}"
        for key, error in refusing.items()
    ]
    raise QuietcoreError(
        f"the kernel refused to move {len(refusing)} of {len(wanted)} threads",
        found="; ".join(said),
        remedy=meaning(target, next(iter(refusing.values())))[1]
        or "leave them, or widen their control group",
        code=ExitCode.FOUND,
    )


def _write_unit(machine: Machine, unit: str, value: Any) -> None:
    """Bring a unit into a state; a unit that was not there before and is gone by now needs nothing."""
    try:
        state = unit_state(machine, unit)
    except AbsentError:
        if value is None or not (value["enabled"] or value["active"]):
            return
        raise QuietcoreError("no such unit", where=unit, remedy="install its package first") from None
    wanted = value or {"enabled": False, "active": False}
    if wanted["enabled"] != state.enabled:
        systemctl(machine, "enable" if wanted["enabled"] else "disable", unit)
    if wanted["active"] != state.active:
        systemctl(machine, "start" if wanted["active"] else "stop", unit)


def same(target: str, first: Any, second: Any) -> bool:
    """Tell whether two values of a target mean the same."""
    if target.startswith("irq:") and isinstance(first, str) and isinstance(second, str):
        return parse_cpu_list(first) == parse_cpu_list(second)
    if target.startswith("network:") and isinstance(first, dict) and isinstance(second, dict):
        return all(first.get(word) == value for word, value in second.items())
    return bool(first == second)


def probe_immovable(machine: Machine, number: int) -> str | None:
    """Return why an interrupt cannot be moved, found by writing its own mask back; None where it can.

    Raises UnreadableError where that cannot be tried.
    """
    path = f"/proc/irq/{number}/smp_affinity"
    if not machine.live:
        raise UnreadableError(f"{path}: whether it can be moved is only told by the live kernel")
    try:
        machine.write_value(path, machine.read(path))
    except OSError as error:
        # kernel/irq/proc.c: to root, Linux 6.1 says EIO and 6.12 says EPERM. The latter also makes the file of such an
        # interrupt read-only: without the capability to write to any file, root is told EACCES.
        read_only = error.errno == errno.EACCES and not machine.path(path).stat().st_mode & stat.S_IWUSR
        if error.errno in (errno.EIO, errno.EPERM) or read_only:
            return "the kernel manages it and refuses to move it"
        raise UnreadableError(f"{path}: {words(f'irq:{number}:', error)}") from error
    except AbsentError as error:
        raise UnreadableError(str(error)) from error
    return None
