"""Processors whose cores are of several kinds, and CPUs that are off line: what is read, planned and warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost

from quietcore.cli.main import main
from quietcore.errors import QuietcoreError
from quietcore.host.descriptions import load_description
from quietcore.host.kinds.interrupts import read_interrupts
from quietcore.host.machine import UnreadableError
from quietcore.host.plan import plan_cores, wishes_from
from quietcore.host.topology import Cpu, Topology, describe, read_topology

# As `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE` of util-linux 2.38 prints a CPU that is off line: no JSON.
OFF = '{"cpu": 3, "core": -, "socket": -, "node": -, "online": false}'
ON = ",".join(
    f'{{"cpu": {n}, "core": {n % 4}, "socket": 0, "node": 0, "online": true}}' for n in (0, 1, 2, 4, 5, 6, 7)
)


def test_lscpu_shows_a_cpu_that_is_off_line_by_a_bare_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lscpu.json"
    path.write_text(f'{{\n "cpus": [{ON},{OFF}]\n}}\n')
    topology = load_description(path)
    assert [cpu.number for cpu in topology.cpus if not cpu.online] == [3]
    assert topology.siblings(5) == {1, 5}
    assert topology.siblings(7) == {7}
    assert "off line: 3" in describe(topology)
    assert main(["plan", "--from", str(path)]) == 0
    assert "off line: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        '{"cpu": 3, "core": -, "socket": 0, "node": 0, "online": true}',
        '{"cpu": 3, "core": 3, "socket": 0, "node": -, "online": true}',
        '{"cpu": -, "core": 3, "socket": 0, "node": 0, "online": true}',
        '{"cpu": 3, "core": 3, "socket": 0, "node": 0, "online": -}',
        '{"cpu": 3, "core": -3, "socket": 0, "node": 0, "online": true}',
    ],
)
def test_a_dash_where_a_running_cpu_needs_a_number_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "lscpu.json"
    path.write_text(f'{{"cpus": [{ON},{row}]}}')
    with pytest.raises(QuietcoreError, match=r"lscpu\.json.*remedy: save `lscpu -J -e=CPU"):
        load_description(path)


def test_the_parsable_table_of_lscpu_gives_the_same_machine(tmp_path: Path) -> None:
    table, parsable = tmp_path / "lscpu.json", tmp_path / "lscpu.csv"
    table.write_text(f'{{"cpus": [{ON},{OFF}]}}')
    rows = "".join(f"{n},{n % 4},0,0,Y\n" for n in (0, 1, 2, 4, 5, 6, 7)) + "3,,,,N\n"
    parsable.write_text("# The following is the parsable format, …\n# CPU,Core,Socket,Node,Online\n" + rows)
    assert load_description(parsable) == load_description(table)


def test_interrupts_without_a_column_for_cpu_0(host: FakeHost) -> None:
    """CPU 0 is off line, and so is CPU 3: the columns are those of the others."""
    text = "           CPU1       CPU2       CPU4       CPU5       \n"
    text += "  8:          0          0          0          1   IO-APIC   8-edge      rtc0\n"
    text += " 24:         17          0          0          0  PCI-MSIX-0000:00:01.0   0-edge      virtio0-req.0\n"
    text += " 25:          0          9          0          0  PCI-MSIX-0000:00:02.0   0-edge      two words: a, b\n"
    text += "LOC:          5          5          5          5   Local timer interrupts\n"
    text += "ERR:          0\nMIS:          0\n"
    host.put("/proc/interrupts", text)
    names = {interrupt.number: interrupt.name for interrupt in read_interrupts(host.machine())}
    assert names == {8: "rtc0", 24: "virtio0-req.0", 25: "two words: a, b"}


def test_an_interrupt_that_goes_while_it_is_read_is_left_out_and_another_one_is_not(host: FakeHost) -> None:
    machine = host.machine()
    text = host.get("/proc/interrupts") + "\n"
    line = next(line for line in text.splitlines() if line.startswith("  24:"))
    texts = iter((text, text.replace(line + "\n", "")))
    raw = machine.read_raw
    machine.read_raw = lambda path: next(texts) if path == "/proc/interrupts" else raw(path)  # type: ignore[method-assign]
    for name in ("smp_affinity_list", "smp_affinity", "effective_affinity_list"):
        host.drop(f"/proc/irq/24/{name}")
    (host.root / "proc/irq/24").rmdir()
    assert [interrupt.number for interrupt in read_interrupts(machine)] == [8, 25]
    with pytest.raises(Exception, match="/proc/irq/24/smp_affinity_list"):
        read_interrupts(host.machine())


def test_a_table_that_never_settles_cannot_tell(host: FakeHost) -> None:
    host.put(
        "/proc/interrupts", "           CPU0       CPU1       \n 24:          0  PCI-MSI 1-edge      eth0\n"
    )
    with pytest.raises(UnreadableError, match="not a count for each CPU"):
        read_interrupts(host.machine())


def hybrid(*grades: int) -> Topology:
    """Return a machine with one CPU a core: 0 performance, 1 efficiency, 2 low-power efficiency."""
    cpus = (Cpu(n, n, efficient=grade > 0, low_power=grade == 2) for n, grade in enumerate(grades))
    return Topology(tuple(cpus), memory_kib=32 << 20)


@pytest.mark.parametrize(
    ("grades", "sets", "warnings"),
    [
        ((0, 0, *[1] * 8), "7 1 8 9", ["strategy, gateway on efficiency cores"]),
        ((0, *[1] * 8), "5 6 7 8", ["feed, strategy, gateway on efficiency cores"]),
        ((0, 0, 0, 0, 1, 1, 2, 2), "5 1 2 3", []),
        ((0, 0, 1, 2, 2, 1), "4 1 2 5", ["strategy, gateway on efficiency cores"]),
        ((0, 0, 2, 2, 2), "2 1 3 4", ["strategy, gateway on low-power efficiency cores"]),
        ((1, 1, 1, 1, 1), "1 2 3 4", []),
    ],
)
def test_the_pipeline_gets_the_quickest_cores_there_are_and_slow_ones_are_told(
    grades: tuple[int, ...], sets: str, warnings: list[str]
) -> None:
    plan = plan_cores(hybrid(*grades))
    assert " ".join(str(plan.sets[name][0]) for name in ("irq", "feed", "strategy", "gateway")) == sets
    slow = [warning for warning in plan.warnings if "slow cores" in warning]
    assert slow == [f"slow cores for the pipeline: {text}" for text in warnings]


def test_a_wish_for_a_slow_core_is_met_and_told() -> None:
    plan = plan_cores(hybrid(0, 0, 0, 0, 0, 2), wishes_from({"feed_cpus": "5"}))
    assert plan.sets["feed"] == (5,)
    assert "slow cores for the pipeline: feed on low-power efficiency cores" in plan.warnings


def test_low_power_cores_are_known_from_sysfs(host: FakeHost) -> None:
    host.put("/sys/devices/cpu_core/cpus", "0-1\n")
    host.put("/sys/devices/cpu_atom/cpus", "2-3\n")
    host.put("/sys/devices/cpu_lowpower/cpus", "4-5\n")
    assert [cpu.grade for cpu in read_topology(host.root).cpus] == [0, 0, 1, 1, 2, 2]
    sets = plan_cores(read_topology(host.root)).sets
    assert [sets[name] for name in ("feed", "strategy", "gateway")] == [(1,), (2,), (3,)]


def test_nodes_whose_numbers_have_gaps(host: FakeHost) -> None:
    """POWER numbers its nodes 0 and 8: the second distance is that to node 8."""
    base = "/sys/devices/system/node"
    host.put(f"{base}/node0/cpulist", "0-2\n")
    host.put(f"{base}/node0/distance", "10 40\n")
    host.put(f"{base}/node8/cpulist", "3-5\n")
    host.put(f"{base}/node8/distance", "40 10\n")
    topology = read_topology(host.root)
    assert topology.nodes() == (0, 8)
    assert (topology.distance(0, 8), topology.distance(8, 8), topology.distance(0, 3)) == (40, 10, 20)
    with pytest.raises(QuietcoreError, match=r"no such memory node.*expected one of: 0,8"):
        plan_cores(Topology(topology.cpus, interface_node=3, distances=topology.distances))


def test_a_cpu_that_comes_while_the_tree_is_read_cannot_tell(host: FakeHost) -> None:
    host.put("/sys/devices/system/cpu/cpu1/topology/core_cpus_list", "1,3\n")
    with pytest.raises(QuietcoreError, match="two CPUs of one core tell of different cores"):
        read_topology(host.root)


def test_a_node_without_memory_of_its_own_is_told(host: FakeHost) -> None:
    base = "/sys/devices/system/node"
    host.put(f"{base}/node0/cpulist", "0-2\n")
    host.put(f"{base}/node1/cpulist", "3-5\n")
    for node, kib in ((0, 1 << 24), (1, 0)):
        host.put(f"{base}/node{node}/meminfo", f"\nNode {node} MemTotal:       {kib:8} kB\n")
        host.put(f"{base}/node{node}/distance", "10 20\n" if node == 0 else "20 10\n")
    host.put("/sys/devices/pci0000:00/0000:00:02.0/numa_node", "1\n")
    plan = plan_cores(read_topology(host.root, "eth0"))
    assert "memory node 1 has no memory of its own: all of the pipeline's is on another node" in plan.warnings
