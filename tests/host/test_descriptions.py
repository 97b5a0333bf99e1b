"""Descriptions of machines that were saved to a file: what is read from them, and the plan that follows."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.test_plan import check

from quietcore.cli.main import main
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.cli.plan import render
from quietcore.host.cpulist import format_cpu_list, parse_cpu_list
from quietcore.host.descriptions import from_json, from_lscpu, load_description
from quietcore.host.plan import PLACED, SETS, plan_cores, wishes_from
from quietcore.host.topology import read_topology, with_siblings_off
from quietcore.host.tree import LISTING_COMMAND, ListedTree

FOLDER = Path(__file__).parent / "descriptions"
SAVED = sorted(path.name for path in FOLDER.iterdir())

# What each machine gets: irq, feed, strategy, gateway (`-`: shares with housekeeping), and words of its warnings.
EXPECTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "big-little-8.sysfs": ("3 5 6 7", ()),
    "card-on-a-node-without-cpus.sysfs": ("4 5 6 7", ("node 2 runs: node 1, the nearest",)),
    "hybrid-8p-16e.sysfs": ("31 10-11 12-13 14-15", ()),
    "offline-siblings.sysfs": ("3,11 4 6 7", ()),
    "old-util-linux.lscpu.json": ("2-3 4-5 6 -", ("gateway shares",)),
    "one-socket-adjacent.sysfs": ("8-9 10-11 12-13 14-15", ()),
    "one-socket-split.lscpu.json": ("4,12 5,13 6,14 7,15", ()),
    "two-cores-rotating-disk.sysfs": (
        "- 1 - -",
        ("2 physical core(s)", "8 GiB", "sda, a rotating disk", "irq", "strategy", "gateway"),
    ),
    "two-sockets-256-cpus-8-nodes.sysfs": ("92,220 93,221 94,222 95,223", ()),
    "two-sockets-alternating.sysfs": ("8,24 10,26 12,28 14,30", ()),
    "two-sockets-offline.lscpu.json": ("12,28 13,29 14,30 15", ("not known which memory node",)),
    "two-sockets-split.sysfs": ("28,60 29,61 30,62 31,63", ()),
    "virtual-2.lscpu.json": ("- 1 - -", ("2 physical core(s)", "irq", "strategy", "gateway")),
    "virtual-6-sockets.sysfs": ("2 3 4 5", ()),
    "virtual-8-summary.lscpu.json": ("4 5 6 7", ("not known which memory node",)),
}


def test_every_saved_description_is_expected_something_of() -> None:
    assert sorted(EXPECTED) == SAVED


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_machine_gets_its_plan(name: str) -> None:
    plan = plan_cores(load_description(FOLDER / name))
    check(plan)
    sets = ["-" if item in plan.shared else format_cpu_list(plan.sets[item]) for item in PLACED]
    wanted, words = EXPECTED[name]
    assert " ".join(sets) == wanted
    assert len(plan.warnings) == len(words)
    for warning, word in zip(plan.warnings, words, strict=True):
        assert word in warning


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", SAVED)
def test_the_picture_has_every_cpu_once_and_fits(name: str, width: int) -> None:
    plan = plan_cores(load_description(FOLDER / name), wishes_from({"siblings_off": ["feed"]}))
    lines = render(plan, width).splitlines()
    assert max(map(len, lines)) <= width
    drawn: dict[int, str] = {}
    for line in (line for line in lines if line.startswith("│   ")):
        for mark, numbers in re.findall(r"([·A-Z]) ([\d+()]+)", line):
            for part in numbers.split("+"):
                assert int(part.strip("()")) not in drawn
                drawn[int(part.strip("()"))] = mark if part[0] != "(" else "off"
    assert set(drawn) == {cpu.number for cpu in plan.topology.online()}
    for number, mark in drawn.items():
        home = next((item for item in PLACED if item not in plan.shared and number in plan.sets[item]), "·")
        assert mark == ("off" if number in plan.siblings_off else home[0].upper())


@pytest.mark.parametrize("name", SAVED)
def test_siblings_that_went_off_line_change_no_later_plan(name: str) -> None:
    """The kernel shows neither core nor node of a CPU that is off: the plan file remembers."""
    wishes = wishes_from({"siblings_off": ["feed", "strategy"]})
    topology = load_description(FOLDER / name)
    first = plan_cores(topology, wishes)
    saved = json.loads(json.dumps(first.to_json()))
    rows = []
    for cpu in topology.to_json()["cpus"]:
        off = cpu["number"] in first.siblings_off
        rows.append({**cpu, "online": False, "core": cpu["number"], "node": 0} if off else cpu)
    later = from_json({**topology.to_json(), "cpus": rows})
    assert plan_cores(with_siblings_off(later, saved), wishes) == first
    if first.siblings_off:
        assert plan_cores(later, wishes) != first
    assert with_siblings_off(later, {"siblings_off": "x"}) == later


def test_the_command_that_saves_a_listing_describes_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "here.sysfs"
    result = subprocess.run(["bash", "-c", LISTING_COMMAND], capture_output=True, text=True, check=False)
    path.write_text(result.stdout)
    here, saved = read_topology(), load_description(path)
    assert saved.cpus == here.cpus
    assert (saved.interface, saved.interface_node) == (here.interface, here.interface_node)
    assert saved.node_memory_kib == here.node_memory_kib


def test_lscpu_of_a_hybrid_processor_gives_the_plan_of_its_listing(tmp_path: Path) -> None:
    listing = load_description(FOLDER / "hybrid-8p-16e.sysfs")
    rows = [
        {"cpu": cpu.number, "core": cpu.core, "socket": 0, "node": 0, "online": True} for cpu in listing.cpus
    ]
    path = tmp_path / "lscpu.json"
    path.write_text(json.dumps({"cpus": rows}))
    assert load_description(path).cpus == listing.cpus
    assert plan_cores(load_description(path)).sets == plan_cores(listing).sets
    # A sibling that is off line makes no efficiency core of the other one.
    rows = [{**row, "online": row["cpu"] != 1} for row in rows if row["cpu"] < 16]
    path.write_text(json.dumps({"cpus": rows}))
    assert not any(cpu.efficient for cpu in load_description(path).cpus)


def test_a_card_of_a_listing_is_chosen_or_refused() -> None:
    path = FOLDER / "two-sockets-split.sysfs"
    assert load_description(path, "lo").interface_node == -1
    with pytest.raises(QuietcoreError, match=r"core_plan_interface; found eth9; expected one of: enp129"):
        load_description(path, "eth9")
    with pytest.raises(QuietcoreError, match=r"does not know network cards: --interface; found eth0"):
        load_description(FOLDER / "virtual-2.lscpu.json", "eth0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--interface-node", "2"], "no such memory node.*found 2; expected one of: 0-1"),
        (["--interface-node=-3"], "no such memory node: --interface-node; found -3"),
        (
            ["--feed-cpus", "0,32"],
            "CPU 0 and its siblings.*core_plan_feed_cpus; found 0,32; expected whole cores",
        ),
        (["--feed-cpus", "5"], "only a part of the physical core 5,37"),
        (["--feed-cpus", "64"], "CPU 64 does not exist"),
        (["--feed-cpus", "0-63"], "no CPU for the system"),
        (["--strategy-cpus", "5,37", "--feed-cpus", "5,37"], "two sets overlap"),
        (["--feed-cores", "0"], "core_plan_feed_cores; found 0; expected 1 or more"),
    ],
)
def test_wishes_that_cannot_be_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["plan", "--from", str(FOLDER / "two-sockets-split.sysfs"), *options])
    assert code == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(message, printed.err)
    assert printed.err.count("\n") == 1


def test_json_describes_the_machine_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SAVED:
        assert main(["plan", "--from", str(FOLDER / name), "--json"]) == 0
        path = tmp_path / f"{name}.json"
        path.write_text(capsys.readouterr().out)
        assert load_description(path) == load_description(FOLDER / name)


def test_a_line_that_is_none_of_a_listing_is_refused() -> None:
    with pytest.raises(QuietcoreError, match=r"HOST.sysfs:2; found '/etc/passwd:x'; expected /sys/PATH"):
        ListedTree("/proc/meminfo:MemTotal: 1 kB\n/etc/passwd:x\n", "HOST.sysfs")


def test_a_card_above_virtio_has_its_node_from_the_function_below_it(host: FakeHost) -> None:
    host.put("/sys/devices/pci0000:00/0000:00:02.0/numa_node", "0\n")
    assert read_topology(host.root, "eth0").interface_node == 0


@pytest.mark.parametrize(
    "value",
    [
        {"cpus": [{"number": "0", "core": 0}], "memory_kib": 0},
        {"cpus": [{"number": 0, "core": 0, "online": 1}], "memory_kib": 0},
        {"cpus": [{"number": 0, "core": 0}, {"number": 0, "core": 0}], "memory_kib": 0},
        {"cpus": [{"number": 0, "core": 0, "node": -1}], "memory_kib": 0},
        {"cpus": [{"number": 0, "core": 0, "colour": 1}], "memory_kib": 0},
        {"cpus": [{"cpu": 0, "core": 0, "online": True}, {"cpu": 0, "core": 0, "online": True}]},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(value))
    with pytest.raises(QuietcoreError, match=r"saved\.json"):
        load_description(path)


def test_sets_in_the_order_of_the_plan() -> None:
    plan = plan_cores(load_description(FOLDER / "virtual-6-sockets.sysfs"))
    assert [format_cpu_list(plan.sets[name]) for name in SETS] == ["0-1", "2", "3", "4", "5"]
    assert parse_cpu_list(plan.lists()["isolated_running"]) == set(plan.isolated)


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
