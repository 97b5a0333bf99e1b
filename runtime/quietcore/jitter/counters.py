"""The kernel's counters by core: /proc/interrupts, /proc/softirqs, steal time, and which tasks ran where."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from quietcore.host.texts.counter_tables import CounterTable, read_interrupt_table, read_softirq_table
from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.texts.tasks import read_sched_stat, read_task_stat
from quietcore.host.unreadable import NotUnderstoodError

PROC = Path("/proc")
# Lines of /proc/interrupts that count no interruption of a core.
NO_INTERRUPTION = frozenset({"ERR", "MIS"})
_ROUNDS = 3  # how often a text that changed while it was read is read again

_Read = TypeVar("_Read")


def by_cpu(table: CounterTable) -> dict[int, dict[str, int]]:
    """Return counts by CPU and source; what is counted for the whole machine only is left out.

    A source is the line's label and text; of a numbered interrupt its number and the device: `36 virtio1-req.0`.
    """
    found: dict[int, dict[str, int]] = {cpu: {} for cpu in table.cpus}
    for source in table.sources:
        if source.label in NO_INTERRUPTION or not source.counts:
            continue
        text = source.text if source.number is None else source.names or source.chip
        name = f"{source.label} {text}".rstrip()
        for cpu, count in zip(table.cpus, source.counts, strict=True):
            found[cpu][name] = count
    return found


class Counts(NamedTuple):
    """What the kernel counted so far, by CPU."""

    interrupts: dict[int, dict[str, int]]
    softirqs: dict[int, dict[str, int]]
    steal_ns: dict[int, int]


def read_counts(proc: Path = PROC) -> Counts:
    """Read the counters now. Raises OSError; NotUnderstoodError where a text is of another form, read again or not."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return Counts(
        by_cpu(_settled(proc / "interrupts", read_interrupt_table)),
        by_cpu(_settled(proc / "softirqs", read_softirq_table)),
        {cpu: times.steal * tick_ns for cpu, times in _settled(proc / "stat", read_cpu_times).items()},
    )


def _settled(path: Path, read: Callable[[str, str], _Read]) -> _Read:
    """Read a text again where a CPU came or went meanwhile. Raises OSError or NotUnderstoodError."""
    for _ in range(_ROUNDS):
        try:
            return read(path.read_text(errors="replace"), str(path))
        except NotUnderstoodError as error:
            refusal = error
    raise refusal


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each source grew, without those that did not."""
    deltas = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: delta for name, delta in deltas.items() if delta > 0}


class Task(NamedTuple):
    """One thread of the system: where it last ran and how long it has run."""

    name: str
    cpu: int
    ran_ns: int


def read_tasks(proc: Path = PROC) -> dict[int, Task]:
    """Return every thread that may be seen, by thread id. Run time is from schedstat: ns on a CPU.

    Threads that end meanwhile are left out. Raises NotUnderstoodError.
    """
    found: dict[int, Task] = {}
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            threads = [Path(entry) for entry in os.scandir(process / "task")]
        except OSError:
            continue  # it ended, or is not ours to see
        for thread in threads:
            try:
                text = (thread / "stat").read_text(errors="replace")
                ran = (thread / "schedstat").read_text()
            except OSError:
                continue
            stat = read_task_stat(text, str(thread / "stat"))
            run = read_sched_stat(ran, str(thread / "schedstat"))
            found[stat.tid] = Task(stat.name, stat.processor, run.ran_ns)
    return found
