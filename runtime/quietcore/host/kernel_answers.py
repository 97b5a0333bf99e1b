"""What the kernel answers to a write: the meaning of an error number depends on what was written to.

ENOSPC from an interrupt's affinity says that a CPU has no interrupt vector left, and nothing of a disk. The meanings
are those of the kernel's own code: kernel/irq/proc.c, arch/x86/kernel/apic/vector.c, kernel/cpu.c, drivers/cpufreq.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from ..errors import ExitCode, QuietcoreError

_AGAIN = "quietcore apply; a timer does it too where the role has one"
_ROOT = "run as root on a host whose kernel allows it (no container)"

# By a pattern of the target and the error's number: (meaning, remedy). The first pattern that matches counts.
_MEANINGS: tuple[tuple[str, dict[int, tuple[str, str]]], ...] = (
    (
        r"irq:",
        {
            errno.ENOSPC: (
                "these CPUs have no interrupt vector left",
                "give the interrupts more CPUs, or the devices fewer queues",
            ),
            errno.EBUSY: ("it is still being moved from its last CPU", _AGAIN),
            errno.EAGAIN: ("its controller could not take it at this moment", _AGAIN),
            errno.EINVAL: ("none of these CPUs is on line, or its controller reaches none of them", ""),
            errno.EIO: ("the kernel manages it, or its controller cannot move it", "leave it where it is"),
            errno.EPERM: ("the kernel manages it, or its controller cannot move it", "leave it where it is"),
        },
    ),
    (
        r"value:/sys/devices/system/cpu/cpu\d+/online$",
        {
            errno.ENOSPC: (
                "the other CPUs have too few interrupt vectors left for its interrupts",
                "give the devices fewer queues, or leave this CPU on line",
            ),
            errno.EBUSY: (
                "it is the last CPU of its kind, keeps the time for nohz_full, or CPUs cannot be switched now",
                _AGAIN,
            ),
            errno.EPERM: ("this kernel does not let it be switched (SMT off, or CPU 0)", ""),
            errno.EIO: ("it did not come up: the firmware or hypervisor keeps it off", ""),
        },
    ),
    (
        r"value:.*/energy_performance_preference$",
        {errno.EBUSY: ("the driver takes no other preference under the governor performance", _AGAIN)},
    ),
    (
        r"value:.*/(no_turbo|boost)$",
        {
            errno.EPERM: (
                "the firmware forbids it",
                "allow turbo in the firmware, or leave it as it is (cpu_power_turbo: keep)",
            )
        },
    ),
    (
        r"value:.*/nr_hugepages$",
        {errno.EINVAL: ("the kernel reserves pages of this size at boot only", "reserve them at boot")},
    ),
    (
        r"threads:",
        {
            errno.EINVAL: ("its control group or the kernel allows it none of these CPUs", ""),
            errno.EPERM: ("this process may not move threads of others", _ROOT),
        },
    ),
)
# For any file of the kernel.
_KERNEL: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the kernel has no more of what this takes (no matter of disks)", ""),
    errno.ENOMEM: ("the kernel finds no memory for it", "free memory, or reboot"),
    errno.EBUSY: ("in use or being changed at this moment", _AGAIN),
    errno.EAGAIN: ("not at this moment", _AGAIN),
    errno.EIO: ("the device or its driver failed", "see the kernel's log"),
    errno.ERANGE: ("out of the range that the kernel takes", "choose a value that this kernel accepts"),
    errno.EACCES: ("this process may not write there", "run as root"),
    errno.EPERM: ("this kernel allows it to nobody, or not in a container", _ROOT),
    errno.EROFS: ("mounted read-only", "make the file system writable (inside a container it never is)"),
}
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESRCH)
_DISK: dict[int, tuple[str, str]] = {
    errno.EACCES: ("", "run as root"),
    errno.EPERM: ("", "run as root; is the file immutable (lsattr)?"),
    errno.EROFS: ("", "make the file system writable (inside a container it never is)"),
    errno.ENOSPC: ("", "make room on the disk"),
    errno.EDQUOT: ("", "make room within the quota"),
}
_VALID = "choose a value that this kernel accepts"


def meaning(target: str, error: OSError) -> tuple[str, str]:
    """Return what the kernel's refusal to write a target means ("" where its own words say it), and the remedy."""
    number = error.errno or 0
    if target.startswith(("file:", "folder:", "grubenv:")):
        return _DISK.get(number, ("", "see that the disk is well"))
    if number in _GONE:
        return "it went away while it was being set", "nothing, where it is gone for good"
    for pattern, meanings in _MEANINGS:
        if re.match(pattern, target) and number in meanings:
            return meanings[number]
    return _KERNEL.get(number, ("", _VALID))


def words(target: str, error: OSError) -> str:
    """Return what the kernel said, in its own words and in what they mean of this target."""
    said, _ = meaning(target, error)
    if said and error.errno == errno.ENOSPC:  # its own words speak of a device
        return f"{said} (ENOSPC)"
    return os.strerror(error.errno or 0) + (f" ({said})" if said else "")


def place(target: str) -> str:
    """Return a target as people know it."""
    kind, _, address = target.partition(":")
    if kind == "irq":
        number, _, name = address.partition(":")
        return f"interrupt {number} ({name})"
    if kind == "threads":
        return f"{address.partition(':')[0]} threads"
    return address


def refused(target: str, value: Any, error: OSError) -> QuietcoreError:
    """Return the error for a write that the kernel refused."""
    _, remedy = meaning(target, error)
    shown = value.get("mode", "") if target.startswith("file:") and isinstance(value, dict) else value
    return QuietcoreError(
        "a file could not be written" if target.startswith("file:") else "the kernel refused a value",
        where=place(target),
        found=f"{words(target, error)} for {shown!r}",
        remedy=remedy or _VALID,
        code=ExitCode.FOUND,
    )
