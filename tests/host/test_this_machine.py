"""Every reader of the kernel's texts on the machine that the tests run on, whichever it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quietcore.host.kinds.interrupts import read_interrupts
from quietcore.host.machine import Machine, UnreadableError
from quietcore.host.texts.control_groups import read_control_groups
from quietcore.host.texts.counter_tables import read_interrupt_table, read_softirq_table
from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.texts.cpuinfo import read_cpuinfo
from quietcore.host.texts.memory import read_total_kib
from quietcore.host.texts.mounts import read_mounts
from quietcore.host.texts.tasks import TaskStatus, read_limits, read_sched_stat, read_task_stat
from quietcore.host.threads import read_threads
from quietcore.host.topology import read_topology
from quietcore.jitter.counters import read_counts, read_tasks

PROC = Path("/proc")


def test_its_counters() -> None:
    online = set(read_topology().online())
    cpus = {cpu.number for cpu in online}
    assert set(read_interrupt_table((PROC / "interrupts").read_text()).cpus) == cpus
    assert set(read_softirq_table((PROC / "softirqs").read_text()).cpus) >= cpus
    times = read_cpu_times((PROC / "stat").read_text())
    assert set(times) == cpus
    assert all(time.total > 0 for time in times.values())
    counts = read_counts()
    assert set(counts.interrupts) == cpus == set(counts.steal_ns)
    numbered = [
        source for source in read_interrupt_table((PROC / "interrupts").read_text()).sources if source.number
    ]
    if numbered:
        assert all(interrupt.allowed for interrupt in read_interrupts(Machine()))
    else:  # such as in some containers
        with pytest.raises(UnreadableError, match="no interrupt in use"):
            read_interrupts(Machine())


def test_this_process() -> None:
    own = PROC / "self"
    stat = read_task_stat((own / "stat").read_text())
    assert stat.tid == os.getpid()
    status = TaskStatus((own / "status").read_text())
    assert status.allowed == os.sched_getaffinity(0)
    assert status.given_up + status.taken > 0
    assert read_sched_stat((own / "schedstat").read_text()).ran_ns > 0
    assert read_limits((own / "limits").read_text())["Max open files"][0].isdecimal()
    groups = read_control_groups((own / "cgroup").read_text())
    assert groups.unified is not None or groups.by_controller


def test_all_processes() -> None:
    threads = read_threads(Machine())
    assert os.getpid() in {thread.pid for thread in threads}
    assert set(read_tasks()) & {thread.tid for thread in threads}


def test_its_memory_mounts_and_processors() -> None:
    total = read_total_kib((PROC / "meminfo").read_text())
    assert total * 1024 == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
    points = [mount.point for mount in read_mounts((PROC / "mounts").read_text())]
    assert "/proc" in points
    assert len(read_cpuinfo((PROC / "cpuinfo").read_text())) >= 1
