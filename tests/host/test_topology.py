from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.host.fake_host import FakeHost

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.cpulist import format_cpu_list
from quietcore.host.plan import plan_cores
from quietcore.host.topology import Cpu, describe, from_json, from_lscpu, load_description, read_topology


def test_sockets_nodes_siblings_from_sysfs(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, cpus=16, threads=2, nodes=2)
    topology = read_topology(host.root)
    assert topology.cores()[3] == (Cpu(3, 3, 0, 0), Cpu(11, 3, 0, 0))
    assert topology.cores()[4] == (Cpu(4, 4, 1, 1), Cpu(12, 4, 1, 1))
    assert topology.nodes() == (0, 1)
    assert topology.distance(0, 1) == 21
    assert topology.memory_kib == 2048000
    assert describe(topology) == "16 CPUs on 8 cores (2 thread(s) a core), 2 package(s), 2 memory node(s)"


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
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\neth0\t00000000\t0200A8C0\t0003\t0\t0\t0\t00000000\n",
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


def test_saved_descriptions_give_the_same_plan(tmp_path: Path) -> None:
    host = FakeHost(tmp_path / "root", cpus=16, threads=2, nodes=2)
    topology = read_topology(host.root)
    saved = tmp_path / "plan.json"
    saved.write_text(json.dumps(plan_cores(topology).to_json()))
    assert plan_cores(load_description(saved)).sets == plan_cores(topology).sets
    rows: list[dict[str, Any]] = [
        {"cpu": cpu.number, "core": cpu.core, "socket": cpu.package, "node": cpu.node, "online": True}
        for cpu in topology.cpus
    ]
    table = tmp_path / "lscpu.json"
    table.write_text(json.dumps({"cpus": rows}))
    assert plan_cores(load_description(table)).sets == plan_cores(topology).sets
    old = [{key: "yes" if value is True else str(value) for key, value in row.items()} for row in rows]
    assert from_lscpu({"cpus": old}) == from_lscpu({"cpus": rows})
    assert load_description(table, interface_node=1).interface_node == 1


def test_lscpu_numbers_cores_per_socket() -> None:
    rows = [
        {"cpu": cpu, "core": cpu % 2, "socket": cpu // 2, "node": cpu // 2, "online": True}
        for cpu in range(4)
    ]
    assert len(from_lscpu({"cpus": rows}).cores()) == 4


def test_a_summary_is_enough_only_without_smt() -> None:
    fields = {
        "Thread(s) per core:": "1",
        "On-line CPU(s) list:": "0-3",
        "NUMA:": "",
        "NUMA node0 CPU(s):": "0,1",
    }
    fields["NUMA node1 CPU(s):"] = "2,3"
    value = {"lscpu": [{"field": field, "data": data} for field, data in fields.items()]}
    assert [cpu.node for cpu in from_lscpu(value).cpus] == [0, 0, 1, 1]
    value["lscpu"][0]["data"] = "2"
    with pytest.raises(QuietcoreError, match=r"2 thread\(s\) per core.*lscpu -J -e"):
        from_lscpu(value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cpus": []}', '{"cpus": [{}]}', '{"topology": {}}', '{"lscpu": []}']
)
def test_what_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "saved.json"
    path.write_text(text)
    with pytest.raises(QuietcoreError) as caught:
        load_description(path)
    assert str(path) in str(caught.value)


def test_topology_round_trips(host: FakeHost) -> None:
    topology = read_topology(host.root)
    assert from_json(json.loads(json.dumps(topology.to_json()))) == topology
    assert format_cpu_list(cpu.number for cpu in topology.cpus) == "0-5"
