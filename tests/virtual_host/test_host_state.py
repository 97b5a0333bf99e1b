"""The tuned host as its kernel and systemd show it, read with nothing of the project's own."""

import json
from typing import Any

import pytest
from tests.virtual_host.conftest import Sh
from tests.virtual_host.live_state import (
    INTERRUPTS_COMMAND,
    THREADS_COMMAND,
    Thread,
    boot_values,
    cpu_list,
    interrupts,
    threads,
)
from tests.virtual_host.promises import promised

from quietcore import vhost

pytestmark = pytest.mark.virtual_host

Plan = dict[str, Any]


@pytest.fixture(scope="module")
def pipeline_threads(sh: Sh) -> list[Thread]:
    found = threads(sh(THREADS_COMMAND))
    units = {thread.unit for thread in found}
    assert "quietcore-runtime.service" in units, f"units with threads: {sorted(units)}"
    assert any(unit.startswith("quietcore-feed@") for unit in units), f"units with threads: {sorted(units)}"
    return found


def test_plan_is_whole(plan: Plan, sh: Sh) -> None:
    sets = {name: set(cpus) for name, cpus in plan["sets"].items()}
    assert set(sets) == {"housekeeping", "irq", "feed", "strategy", "gateway"}
    assert all(sets.values()), "no set may be empty"
    assert sum(map(len, sets.values())) == len(set.union(*sets.values())), (
        "there are cores enough for disjoint sets"
    )
    assert 0 in sets["housekeeping"]
    assert set.union(*sets.values()) == cpu_list(sh("cat /sys/devices/system/cpu/online"))
    assert set(plan["isolated"]) == sets["feed"] | sets["strategy"] | sets["gateway"]


def test_machine_has_the_topology_that_was_asked_for(booted_host: vhost.Info, sh: Sh) -> None:
    read = "cat topology/physical_package_id topology/thread_siblings_list"
    shown = sh(
        f"for cpu in $(seq 0 {booted_host.cpus - 1}); do cd /sys/devices/system/cpu/cpu$cpu; "
        f"echo $cpu $({read}) node*; done"
    )
    assert len(shown.splitlines()) == booted_host.cpus
    threads = booted_host.threads
    for line in shown.splitlines():
        number, package, siblings, node = line.split()
        cpu = int(number)
        assert int(package) == cpu * booted_host.sockets // booted_host.cpus
        assert cpu_list(siblings) == set(range(cpu - cpu % threads, cpu - cpu % threads + threads))
        assert node == f"node{cpu * booted_host.nodes // booted_host.cpus}"


def test_no_core_is_divided(booted_host: vhost.Info, plan: Plan) -> None:
    cores = {name: {cpu // booted_host.threads for cpu in cpus} for name, cpus in plan["sets"].items()}
    assert sum(map(len, cores.values())) == len(set.union(*cores.values()))


@pytest.mark.parametrize("file", ["isolated", "nohz_full"])
def test_kernel_isolates_as_planned(file: str, plan: Plan, sh: Sh) -> None:
    assert cpu_list(sh(f"cat /sys/devices/system/cpu/{file}")) == set(plan["isolated"])


def test_command_line_is_understood_and_has_no_duplicates(plan: Plan, sh: Sh) -> None:
    values = boot_values(sh("cat /proc/cmdline"))
    isolated = set(plan["isolated"])
    flags, _, cpus = values["isolcpus"][0].partition("domain,")
    assert flags == "managed_irq,"
    assert cpu_list(cpus) == isolated
    assert cpu_list(values["rcu_nocbs"][0]) == isolated
    assert cpu_list(values["irqaffinity"][0]).isdisjoint(isolated)
    repeated = {name: given for name, given in values.items() if len(given) > 1 and name != "console"}
    assert not repeated
    said = sh("dmesg | grep -F 'Unknown kernel command line parameters' || true")
    # GRUB itself passes BOOT_IMAGE on, and the kernel always reports it.
    unknown = [
        word for word in said.partition('"')[2].rstrip('"\n').split() if not word.startswith("BOOT_IMAGE=")
    ]
    assert not unknown


def test_huge_pages_are_as_the_inventory_says(inventory: dict[str, Any], sh: Sh) -> None:
    meminfo = dict(line.split(":", 1) for line in sh("cat /proc/meminfo").splitlines())
    assert int(meminfo["HugePages_Total"]) == inventory["huge_pages_count"]


def test_huge_pages_are_on_the_nodes_that_were_promised(booted_host: vhost.Info, sh: Sh) -> None:
    wanted = next(p["wanted"] for p in promised("huge_pages", sh) if p["id"] == "huge_pages.reserved")
    shown = sh("cd /sys/devices/system/node; cat node*/hugepages/hugepages-2048kB/nr_hugepages").split()
    assert len(shown) == booted_host.nodes
    if isinstance(wanted, dict):
        assert {str(node): int(pages) for node, pages in enumerate(shown)} == wanted
    else:
        assert sum(map(int, shown)) == int(wanted)


def test_feed_threads_are_where_planned(plan: Plan, pipeline_threads: list[Thread]) -> None:
    feed = [thread for thread in pipeline_threads if thread.unit.startswith("quietcore-feed@")]
    assert feed
    # What writes the log is kept off the feed's own CPUs.
    log = [thread for thread in feed if thread.name == "qc-log"]
    assert all(thread.allowed <= set(plan["sets"]["housekeeping"]) for thread in log)
    rest = [thread for thread in feed if thread not in log]
    assert rest
    misplaced = [thread for thread in rest if not thread.allowed <= set(plan["sets"]["feed"])]
    assert not misplaced


def test_runtime_threads_are_where_planned(plan: Plan, pipeline_threads: list[Thread], sh: Sh) -> None:
    runtime = {
        thread.tid: thread for thread in pipeline_threads if thread.unit == "quietcore-runtime.service"
    }
    told = {
        entry["name"]: entry["tid"] for entry in json.loads(sh("cat /run/quietcore/runtime.json"))["threads"]
    }
    strategy = runtime.pop(told["strategy"])
    assert strategy.allowed == {plan["sets"]["strategy"][0]}
    assert strategy.last_cpu in strategy.allowed
    misplaced = [thread for thread in runtime.values() if not thread.allowed <= set(plan["sets"]["gateway"])]
    assert runtime
    assert not misplaced


def test_no_movable_interrupt_reaches_an_isolated_cpu(plan: Plan, sh: Sh) -> None:
    found = interrupts(sh(INTERRUPTS_COMMAND))
    movable = [interrupt for interrupt in found if interrupt.movable]
    # The machine has two network interfaces: were none of theirs movable, this test would prove nothing.
    assert sum("virtio1" in i.users or "virtio2" in i.users for i in movable) >= 4
    isolated = set(plan["isolated"])
    assert not [interrupt for interrupt in movable if interrupt.effective & isolated]
    assert not [interrupt for interrupt in movable if interrupt.affinity & isolated]


def test_system_is_running(sh: Sh) -> None:
    assert sh("systemctl is-system-running --wait || systemctl --failed").strip() == "running"


def test_units_run_and_have_not_restarted(sh: Sh) -> None:
    units = "quietcore-host.service 'quietcore-feed@*.service' quietcore-runtime.service"
    text = sh(f"systemctl show --property=Id,ActiveState,NRestarts {units}")
    found = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert len(found) >= 3
    assert [unit for unit in found if unit["ActiveState"] != "active" or unit["NRestarts"] != "0"] == []
