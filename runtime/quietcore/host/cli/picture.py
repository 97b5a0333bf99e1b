"""The plan as a picture: a box for each socket, in it memory nodes and physical cores, and who lives where."""

from __future__ import annotations

from collections.abc import Sequence

from ..cpulist import format_cpu_list
from ..plan import HOUSEKEEPING, PLACED, SETS, CorePlan
from ..topology import Cpu, gibibytes

_MARKS = {HOUSEKEEPING: "·", **{name: name[0].upper() for name in PLACED}}


def picture(plan: CorePlan, width: int = 80) -> list[str]:
    """Return the picture's lines, none longer than `width` characters."""
    cores = list(plan.topology.cores().values())
    packages = sorted({cpus[0].package for cpus in cores})
    label = max(len(_numbers(cpus)) for cpus in cores)
    lines: list[str] = []
    if len(packages) > 1 and len(packages) == len(cores):
        # What many hypervisors show: a box for each core would fill pages.
        title = f"sockets {format_cpu_list(packages)}, a core each"
        lines += _box(title, _nodes(plan, cores, label, width - 4), width)
    else:
        for package in packages:
            inside = [cpus for cpus in cores if cpus[0].package == package]
            lines += _box(f"socket {package}", _nodes(plan, inside, label, width - 4), width)
    legend = [f"{_MARKS[name]} {name}" for name in SETS]
    if plan.siblings_off:
        legend.append("(n) to be taken off line")
    if any(cpu.efficient for cpu in plan.topology.online()):
        legend.append("e efficiency core")
    return lines + _wrapped(legend, width)


def _nodes(plan: CorePlan, cores: Sequence[tuple[Cpu, ...]], label: int, width: int) -> list[str]:
    topology = plan.topology
    lines: list[str] = []
    for node in sorted({cpus[0].node for cpus in cores}):
        parts = [f"node {node}"]
        if topology.memory_of(node):
            parts.append(gibibytes(topology.memory_of(node)))
        if node == topology.interface_node:
            parts.append(topology.interface or "network card")
        lines.append(" · ".join(parts))
        cells = [_cell(plan, cpus).ljust(label + 2) for cpus in cores if cpus[0].node == node]
        across = max(1, (width - 2 + 3) // (label + 2 + 3))
        across = next((count for count in (16, 12, 8, 4) if count <= across), across)
        lines += [
            "  " + "   ".join(cells[start : start + across]).rstrip()
            for start in range(0, len(cells), across)
        ]
    return lines


def _cell(plan: CorePlan, cpus: tuple[Cpu, ...]) -> str:
    name = next((name for name in (*PLACED, HOUSEKEEPING) if cpus[0].number in plan.sets[name]), HOUSEKEEPING)
    if name in plan.shared:
        name = HOUSEKEEPING
    return f"{_MARKS[name]} {_numbers(cpus, plan.siblings_off)}"


def _numbers(cpus: tuple[Cpu, ...], off: Sequence[int] = ()) -> str:
    """Return a core's CPUs: `3+19`, `3+(19)`, `16e`; `8-15` where there are many."""
    mark = "e" if cpus[0].efficient else ""
    if len(cpus) > 4:
        return format_cpu_list(cpu.number for cpu in cpus) + mark
    return "+".join(f"({cpu.number})" if cpu.number in off else str(cpu.number) for cpu in cpus) + mark


def _box(title: str, lines: Sequence[str], width: int) -> list[str]:
    inner = width - 4
    top = f"┌─ {title} " + "─" * (width - len(title) - 5) + "┐"
    return [top, *(f"│ {line[:inner]:<{inner}} │" for line in lines), "└" + "─" * (width - 2) + "┘"]


def _wrapped(parts: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}   {part}" if lines[-1] else part
        if len(longer) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines
