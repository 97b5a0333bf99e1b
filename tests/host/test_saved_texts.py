"""Texts of real machines, as public reports show them."""

from __future__ import annotations

from quietcore.host.texts.counter_tables import read_interrupt_table

# raspberrypi/linux issue 5255: a board with four ARM cores.
BOARD = """\
           CPU0       CPU1       CPU2       CPU3
  9:          0          0          0          0     GICv3  25 Level     vgic
 11:       2601       2030       1576       1614     GICv3  30 Level     arch_timer
 12:          0          0          0          0     GICv3  27 Level     kvm guest vtimer
 14:        365        540        411        424     GICv3  79 Level     timer@306a0000
 37:          0          0          0          0     GICv3 110 Level     30280000.watchdog
"""
# armbian/build issue 351: a controller that prints neither level nor edge.
OLD_BOARD = """\
           CPU0       CPU1       CPU2       CPU3
 29:      25151      15781      12360      23056       GIC  29  twd
 41:          0          0          0          0       GIC  41  galcore interrupt service
 50:          0          0          0          0       GIC  50  vdoa
"""
# prometheus/node_exporter issue 2557: a single ARM core in a cloud.
CLOUD = """\
           CPU0
  3:       8053     GICv3  27 Level     arch_timer
 10:          0     GICv3  48 Edge      ACPI:Ged
"""


def names(text: str) -> dict[str, str]:
    return {source.label: source.names for source in read_interrupt_table(text).sources}


def test_interrupts_of_arm_boards() -> None:
    found = read_interrupt_table(BOARD)
    assert found.cpus == (0, 1, 2, 3)
    assert found.sources[1].counts == (2601, 2030, 1576, 1614)
    assert list(names(BOARD).values()) == [
        "vgic",
        "arch_timer",
        "kvm guest vtimer",
        "timer@306a0000",
        "30280000.watchdog",
    ]
    assert names(OLD_BOARD) == {"29": "twd", "41": "galcore interrupt service", "50": "vdoa"}
    assert names(CLOUD) == {"3": "arch_timer", "10": "ACPI:Ged"}
