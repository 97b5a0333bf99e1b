"""Traces of osnoise, timerlat and hwlat whose events are known.

Formats: trace_print_osnoise(), trace_print_timerlat(), trace_hwlat_print() in kernel/trace/trace_output.c, the head in
kernel/trace/trace.c.
"""

from __future__ import annotations

import random
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.host.unreadable import NotUnderstoodError
from quietcore.jitter.tracers import PARSERS

Trace = tuple[str, str]
TASKS = ("<...>-859", "<idle>-0", "odd task-12", "osnoise/3-77")


def head(name: str, count: int) -> list[str]:
    return [
        f"# tracer: {name}",
        "#",
        f"# entries-in-buffer/entries-written: {count}/{count}   #P:8",
        "#           TASK-PID     CPU#  ||||   TIMESTAMP  FUNCTION",
    ]


def render(chance: random.Random) -> tuple[Trace, dict[int, Any]]:
    name, count = chance.choice(("osnoise", "timerlat", "hwlat")), chance.randrange(6)
    lines, truth = head(name, count), dict[int, Any]()
    sums: dict[tuple[int, str], list[int]] = {}
    for number in range(count):
        cpu = chance.choice((0, 3, 120))
        start = f"{chance.choice(TASKS):>16} [{cpu:03d}] d..h1 {number:5d}.037220: "
        if name == "osnoise":
            noise, longest = chance.randrange(1000), chance.randrange(100)
            counts = [chance.randrange(50) for _ in range(5)]
            lines.append(
                start + f"1000000 {noise:10d}  99.98100 {longest:7d}" + "".join(f" {n:6d}" for n in counts)
            )
            keys = ("hardware", "nmi", "interrupt", "softirq", "thread")
            cell = truth.setdefault(
                cpu, {"runtime_ns": 0, "noise_ns": 0, "longest_ns": 0} | dict.fromkeys(keys, 0)
            )
            cell["runtime_ns"] += 1_000_000_000
            cell["noise_ns"] += noise * 1000
            cell["longest_ns"] = max(cell["longest_ns"], longest * 1000)
            for key, value in zip(keys, counts, strict=True):
                cell[key] += value
        elif name == "timerlat":
            context, value = chance.choice(("irq", "thread")), chance.randrange(1 << 20)
            lines.append(start + f"#{number:<7d} context {context:>6} timer_latency {value:9d} ns")
            sums.setdefault((cpu, context), []).append(value)
        else:
            inner, outer = chance.randrange(90), chance.randrange(90)
            lines.append(
                start + f"#{number:<7d} inner/outer(us): {inner:4d}/{outer:<5d} ts:1581527483.3 count:9"
            )
            cell = truth.setdefault(cpu, {"count": 0, "max_ns": 0})
            cell["count"] += 1
            cell["max_ns"] = max(cell["max_ns"], 1000 * inner, 1000 * outer)
    for (cpu, context), values in sums.items():
        truth.setdefault(cpu, {})[context] = {
            "count": len(values),
            "total": sum(values),
            "max_ns": max(values),
        }
    return (name, "\n".join(lines) + "\n"), truth


def read(trace: Trace) -> dict[int, Any]:
    name, text = trace
    found = PARSERS[name](text.splitlines())
    if name == "timerlat":  # a mean that is kept up step by step is compared as the sum that it stands for
        for cell in (cell for cells in found.values() for cell in cells.values()):
            cell["total"] = round(cell.pop("mean_ns") * cell["count"])
    return found


def what_is_none_is_left_out(trace: Trace) -> dict[int, Any]:
    name, text = trace
    while True:
        try:
            return read((name, text))
        except NotUnderstoodError as error:
            lines = text.split("\n")
            text = "\n".join(line for line in lines if not line or repr(line[:80]) != error.found)


def no_event(chance: random.Random, trace: Trace) -> Trace:
    return trace[0], f"{trace[1]}  <...>-1 [000] d..h1 1.0: {chance.choice(('other: 1', '#1 context', ''))}\n"


READERS: list[Reader] = [
    Reader(
        "traces",
        render,
        read,
        {
            "a line that is no event": Damage(no_event, NotUnderstoodError),
            "events lost on a CPU": Damage(
                lambda c, trace: (trace[0], f"{trace[1]}CPU:3 [LOST {c.choice(('', '12 '))}EVENTS]\n"),
                NotUnderstoodError,
            ),
            "events overwritten": Damage(
                lambda c, trace: (trace[0], trace[1].replace("   #P", f"{c.randrange(1, 9)}   #P", 1)),
                NotUnderstoodError,
            ),
        },
        {"what is no event is left out": what_is_none_is_left_out},
    )
]
