"""The kernel's counters by core: /proc/interrupts, /proc/softirqs, steal time, and which tasks ran where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
# Lines of /proc/interrupts that count no interruption of a core, or nothing by core.
NO_INTERRUPTION = frozenset({"ERR", "MIS"})


def parse_table(text: str) -> dict[int, dict[str, int]]:
    """Return counts by CPU and source of /proc/interrupts or /proc/softirqs.

    A source is the line's label; of a numbered interrupt, its number and the device behind it: `36 virtio1-req.0`.
    """
    lines = text.splitlines()
    if not lines:
        return {}
    cpus = [int(word.removeprefix("CPU")) for word in lines[0].split()]
    found: dict[int, dict[str, int]] = {cpu: {} for cpu in cpus}
    for line in lines[1:]:
        label, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or label.strip() in NO_INTERRUPTION or len(words) < len(cpus):
            continue
        name = label.strip()
        if name.isdecimal() and len(words) > len(cpus):
            name = f"{name} {words[-1]}"
        elif len(words) > len(cpus):
            name = f"{name} {' '.join(words[len(cpus) :])}"
        for cpu, word in zip(cpus, words, strict=False):
            found[cpu][name] = int(word)
    return found


def parse_steal(text: str) -> dict[int, int]:
    """Return the clock ticks that the hypervisor kept from each CPU, from /proc/stat."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words and words[0].startswith("cpu") and words[0] != "cpu":
            found[int(words[0][3:])] = int(words[8]) if len(words) > 8 else 0
    return found


class Counts(NamedTuple):
    """What the kernel counted so far, by CPU."""

    interrupts: dict[int, dict[str, int]]
    softirqs: dict[int, dict[str, int]]
    steal_ns: dict[int, int]


def read_counts(proc: Path = PROC) -> Counts:
    """Read the counters now."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return Counts(
        parse_table((proc / "interrupts").read_text()),
        parse_table((proc / "softirqs").read_text()),
        {cpu: ticks * tick_ns for cpu, ticks in parse_steal((proc / "stat").read_text()).items()},
    )


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
    """Return every thread that may be seen, by thread id. Run time is from schedstat: ns on a CPU."""
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
                stat = (thread / "stat").read_text()
                ran = (thread / "schedstat").read_text().split()
            except OSError:
                continue
            name = stat[stat.index("(") + 1 : stat.rindex(")")]
            fields = stat[stat.rindex(")") + 2 :].split()
            found[int(thread.name)] = Task(name, int(fields[36]), int(ran[0]) if ran else 0)
    return found
