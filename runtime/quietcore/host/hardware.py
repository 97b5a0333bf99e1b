"""What a host should have at least. Below it everything still works, and the plan says what to expect."""

from __future__ import annotations

from .topology import Topology

MINIMUM_CORES = 4  # physical: the system, interrupts, feed and strategy; the gateway then shares
MINIMUM_MEMORY_GIB = 8
# Firmware and kernel keep a part of what was bought.
_USABLE = 0.93


def shortfalls(topology: Topology) -> list[str]:
    """Return a warning for each way in which the machine is below the minimum; what is not known is none.

    No warning has a number that changes from boot to boot: they stand in the plan file.
    """
    warnings: list[str] = []
    cores = len(topology.cores())
    if cores < MINIMUM_CORES:
        warnings.append(f"below the minimum: {cores} physical core(s) instead of {MINIMUM_CORES}")
    if 0 < topology.memory_kib < MINIMUM_MEMORY_GIB * (1 << 20) * _USABLE:
        warnings.append(f"below the minimum: less than {MINIMUM_MEMORY_GIB} GiB of memory")
    if topology.rotating_disk:
        warnings.append(
            f"below the minimum: / is on {topology.rotating_disk}, a rotating disk: journal, logs and "
            "recordings wait for its head"
        )
    return warnings
