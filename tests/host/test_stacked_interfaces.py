"""A default route by a bond, bridge, VLAN or team: the node is that of the cards below, and all of them are tuned."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost

from quietcore.errors import QuietcoreError
from quietcore.host.descriptions import from_json
from quietcore.host.network_stack import Card, interfaces
from quietcore.host.plan import plan_cores
from quietcore.host.topology import read_topology
from quietcore.host.tree import FolderTree

NET = "/sys/class/net"
TITLE = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """Two nodes with four cores each, two cards on node 1, one on node 0."""
    host = FakeHost(tmp_path / "root", cpus=8, nodes=2)
    for name, node in (("enp1s0", 1), ("enp2s0", 1), ("enp9s0", 0)):
        host.put(f"{NET}/{name}/device/numa_node", f"{node}\n")
    host.put(f"{NET}/bonding_masters", "bond0\n")
    return host


def stack(host: FakeHost, name: str, *lower: str) -> None:
    for below in lower:
        host.put(f"{NET}/{name}/lower_{below}/mtu", "1500\n")
    host.put(f"{NET}/{name}/mtu", "1500\n")


def route(host: FakeHost, name: str) -> None:
    host.put("/proc/net/route", f"{TITLE}{name}\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")


@pytest.mark.parametrize("kind", ["bond", "bridge over a VLAN over a bond", "team", "VLAN"])
def test_the_plan_lives_on_the_node_of_the_cards_below(host: FakeHost, kind: str) -> None:
    below = ["enp1s0"] if kind == "VLAN" else ["enp1s0", "enp2s0"]
    top = "top0"
    if kind.startswith("bridge"):
        stack(host, "bond0", *below)
        stack(host, "bond0.7", "bond0")
        stack(host, "tap3")  # a virtual machine's
        stack(host, top, "bond0.7", "tap3")
    else:
        stack(host, top, *below)
    route(host, top)
    topology = read_topology(host.root)
    assert (topology.interface, topology.interface_node) == (top, 1)
    assert topology.cards == tuple(Card(name, 1) for name in below)
    plan = plan_cores(topology)
    assert {cpu.node for cpu in topology.cpus if cpu.number in plan.sets["feed"]} == {1}
    assert not any("not known which memory node" in warning for warning in plan.warnings)
    assert plan.to_json()["topology"]["cards"] == [{"name": name, "node": 1} for name in below]
    assert from_json(topology.to_json()) == topology


def test_cards_on_several_nodes_are_told(host: FakeHost) -> None:
    stack(host, "bond0", "enp1s0", "enp2s0", "enp9s0")
    route(host, "bond0")
    plan = plan_cores(read_topology(host.root))
    assert plan.topology.interface_node == 1
    assert (
        "the cards of bond0 are on several memory nodes: enp1s0 on 1, enp2s0 on 1, enp9s0 on 0"
        in plan.warnings
    )


def test_a_file_among_the_interfaces_is_none(host: FakeHost) -> None:
    assert "bonding_masters" not in interfaces(FolderTree(host.root))
    with pytest.raises(QuietcoreError, match=r"no such network interface.*found bonding_masters") as caught:
        read_topology(host.root, "bonding_masters")
    assert "expected one of: enp1s0, enp2s0, enp9s0, eth0" in str(caught.value)


def test_what_stands_on_no_card_is_of_no_known_node(host: FakeHost) -> None:
    stack(host, "wg0")
    route(host, "wg0")
    topology = read_topology(host.root)
    assert (topology.interface_node, topology.cards) == (-1, (Card("wg0", -1),))
    assert any(
        "not known which memory node the network card (wg0) is on" in w for w in plan_cores(topology).warnings
    )


def test_the_virtual_function_below_a_paravirtual_card_counts(host: FakeHost) -> None:
    stack(host, "eth0", "enp1s0")
    route(host, "eth0")
    assert read_topology(host.root).cards == (Card("enp1s0", 1),)


def test_the_default_route_of_ipv6_alone(host: FakeHost) -> None:
    host.put("/proc/net/route", TITLE)
    zeros = "0" * 32
    rows = [f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo"]
    rows += [
        f"{zeros} 00 {zeros} 00 fe80{'0' * 27}1 {metric:08x} 00000001 00000000 00000003 {name:>8}"
        for metric, name in ((1024, "enp9s0"), (100, "enp1s0"))
    ]
    host.put("/proc/net/ipv6_route", "\n".join(rows) + "\n")
    assert read_topology(host.root).interface == "enp1s0"
