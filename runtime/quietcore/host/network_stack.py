"""Which network cards an interface stands on: those below a bond, team, bridge, VLAN or macvlan.

What sysfs shows, from net/core/dev.c and drivers/net: each interface is a folder of /sys/class/net; `lower_NAME` links
to an interface that it stands on; `device` leads to the hardware of one that has any. Files there (`bonding_masters`)
are no interfaces, and alternative names (`altname` of ip-link) have no folder. A card may stand on another one (the
virtual function below a Hyper-V interface): the lowest carries the packets.
"""

from __future__ import annotations

from dataclasses import dataclass

from .tree import Tree
from .unreadable import NotUnderstoodError

FOLDER = "/sys/class/net"


@dataclass(frozen=True)
class Card:
    """A network card and its memory node, -1 where that is not known."""

    name: str
    node: int = -1


def interfaces(tree: Tree) -> list[str]:
    """Return the names of all interfaces."""
    return [name for name in tree.names(FOLDER) if tree.names(f"{FOLDER}/{name}")]


def cards_below(tree: Tree, interface: str) -> tuple[Card, ...]:
    """Return the cards that an interface stands on, by name; the interface itself where it is one.

    What is below and has no hardware (a virtual machine's tap on a bridge) is left out; where nothing below has any,
    there are none. Raises NotUnderstoodError.
    """
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [interface]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        lower = [entry.removeprefix("lower_") for entry in tree.names(f"{FOLDER}/{name}", "lower_*")]
        waiting += lower
        if not lower and _has_hardware(tree, name):
            found.add(name)
    if not found and _has_hardware(tree, interface):
        found.add(interface)  # a card on which nothing but interfaces without hardware lies
    return tuple(Card(name, node_of(tree, name)) for name in sorted(found))


def _has_hardware(tree: Tree, name: str) -> bool:
    return "device" in tree.names(f"{FOLDER}/{name}")


def node_of(tree: Tree, name: str) -> int:
    """Return a card's memory node, -1 where the firmware does not say. Raises NotUnderstoodError."""
    # A virtio card, a port of a USB card and a subfunction have no node of their own: the PCI function above has.
    for path in (f"{FOLDER}/{name}/device/numa_node", f"{FOLDER}/{name}/device/../numa_node"):
        text = tree.text(path)
        if text is None:
            continue
        if not text.removeprefix("-").isdecimal():
            raise NotUnderstoodError(
                "not a memory node", where=tree.shown(path), found=text, expected="a number"
            )
        if int(text) >= 0:
            return int(text)
    return -1
