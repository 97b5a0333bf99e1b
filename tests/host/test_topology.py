from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.plan import plan_cores
from quietcore.host.topology import Cpu, describe, read_topology


def test_sockets_nodes_siblings_from_sysfs(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, cpus=16, threads=2, nodes=2)
    topology = read_topology(host.root)
    assert topology.cores()[3] == (Cpu(3, 3, 0, 0), Cpu(11, 3, 0, 0))
    assert topology.cores()[4] == (Cpu(4, 4, 1, 1), Cpu(12, 4, 1, 1))
    assert topology.nodes() == (0, 1)
    assert topology.distance(0, 1) == 21
    assert topology.memory_kib == 2048000
    assert describe(topology) == "2 sockets · 2 memory nodes · 8 cores · 16 CPUs, 2 a core · 2 GiB"


def test_off_line_cpus_and_hybrid_cores(host: FakeHost) -> None:
    host.put("/sys/devices/system/cpu/online", "0-3,5\n")
    host.put("/sys/devices/cpu_atom/cpus", "3\n")
    topology = read_topology(host.root)
    assert [cpu.number for cpu in topology.online()] == [0, 1, 2, 3, 5]
    assert [cpu.number for cpu in topology.cpus if cpu.efficient] == [3]
    assert "off line: 4" in describe(topology)
    assert 4 not in {cpu for cpus in plan_cores(topology).sets.values() for cpu in cpus}


def test_the_network_card_of_the_default_route(host: FakeHost) -> None:
    host.put(
        "/proc/net/route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "eth0\t00000000\t0200A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    )
    host.put("/sys/devices/pci0000:00/0000:00:02.0/virtio1/numa_node", "0\n")
    topology = read_topology(host.root)
    assert (topology.interface, topology.interface_node) == ("eth0", 0)


def test_an_interface_that_is_not_there_is_refused(host: FakeHost) -> None:
    with pytest.raises(QuietcoreError, match=r"core_plan_interface; found eth9; expected one of: eth0"):
        read_topology(host.root, "eth9")


def test_a_tree_without_sysfs_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError) as caught:
        read_topology(tmp_path)
    assert caught.value.code is ExitCode.UNKNOWN


def test_a_running_cpu_without_siblings_cannot_tell(host: FakeHost) -> None:
    host.drop("/sys/devices/system/cpu/cpu3/topology/core_cpus_list")
    with pytest.raises(QuietcoreError, match="cpu3/topology") as caught:
        read_topology(host.root)
    assert caught.value.code is ExitCode.UNKNOWN
