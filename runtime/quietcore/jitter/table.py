"""The jitter report for a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from quietcore.host.cpulist import format_cpu_list
from quietcore.observe.report import duration

SOURCES_SHOWN = 3
LEAST_SHOWN = 0.5  # pauses by estimate: less is none


def cores_table(report: dict[str, Any]) -> Table:
    """Return one line a core: how often, how long, how much of the time."""
    title = f"interruptions of {duration(report['threshold_ns'])} and longer ({report['clock']})"
    table = Table(title=title, title_justify="left")
    for column in ("CPU", "a second", "p50", "p99", "p99.99", "max", "time lost"):
        table.add_column(column, justify="right")
    for core in report["cores"]:
        figures = (duration(core[name]) for name in ("p50", "p99", "p99.99", "max"))
        table.add_row(str(core["cpu"]), f"{core['per_second']:,.1f}", *figures, f"{core['lost_share']:.3%}")
    steps = ", ".join(f"{core['step_ns']:.1f}" for core in report["cores"])
    table.caption = f"one step of the detector takes {steps} ns"
    table.caption_justify = "left"
    return table


def source_text(source: dict[str, Any]) -> str:
    """Return one source: its name, and how often or how long."""
    if source["count"] is None:
        return f"{source['name']}: ran {duration(source['lost_ns'])}"
    return f"{source['name']}: {source['count']:,.0f}"


def causes_table(report: dict[str, Any]) -> Table:
    """Return the causes of each core, the costliest first, with who was behind them."""
    table = Table(title="causes, the costliest first", title_justify="left")
    table.add_column("CPU", justify="right")
    table.add_column("cause", no_wrap=True)
    for column in ("count", "p99", "lost"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("behind it")
    for core in report["cores"]:
        for cause in core["causes"]:
            if not cause["count"]:
                continue
            sources = [one for one in cause["sources"] if one["count"] is None or one["count"] >= LEAST_SHOWN]
            behind = [source_text(source) for source in sources[:SOURCES_SHOWN]]
            if cause["cause"] == "unexplained" and core["kernel"]["steal_ns"]:
                behind.append(f"hypervisor kept {duration(core['kernel']['steal_ns'])}")
            figures = duration(cause["p99"]), duration(cause["lost_ns"])
            table.add_row(
                str(core["cpu"]), cause["cause"], f"{cause['count']:,}", *figures, "\n".join(behind)
            )
    return table


def notes(report: dict[str, Any]) -> list[str]:
    """Return what a reader must know of these figures."""
    said = []
    if report["reader"]["disturbs"]:
        cpus = format_cpu_list(report["reader"]["cpus"])
        said.append(f"the reader of the counters had no other CPU than {cpus}: it shows as a context switch")
    said += [
        f"CPU {core['cpu']}: {core['unlogged']:,} pauses came faster than they could be attributed"
        for core in report["cores"]
        if core["unlogged"]
    ]
    if report.get("virtual"):
        said.append(f"virtual machine ({report['virtual']}): its host interrupts these cores unseen")
    return said


def instrument_lines(name: str, found: dict[str, Any]) -> list[str]:
    """Return what one other instrument says."""
    if "absent" in found:
        return [f"{name}: not here: {found['absent']}"]
    lines = []
    for cpu, figures in found["cpus"].items():
        if name == "osnoise":
            counts = ", ".join(
                f"{key} {figures[key]:,}" for key in ("hardware", "nmi", "interrupt", "softirq", "thread")
            )
            share = figures["noise_ns"] / max(1, figures["runtime_ns"])
            lines.append(
                f"osnoise: CPU {cpu}: {share:.4%} noise, longest {duration(figures['longest_ns'])}; {counts}"
            )
        elif name == "timerlat":
            told = "; ".join(
                f"{context} {duration(cell['max_ns'])} at most, {duration(round(cell['mean_ns']))} on average"
                for context, cell in sorted(figures.items())
            )
            lines.append(f"timerlat: CPU {cpu}: {told}")
        elif name == "hwlat":
            lines.append(
                f"hwlat: CPU {cpu}: {figures['count']:,} stops, {duration(figures['max_ns'])} at most"
            )
        else:
            told = f"{duration(round(figures['max_ns']))} at most, {duration(round(figures['mean_ns']))} on average"
            lines.append(f"{name}: CPU {cpu}: {told}, of {figures['count']:,}")
    return lines or [f"{name}: nothing seen"]


def whole(report: dict[str, Any]) -> RenderableType:
    """Return all of it."""
    parts: list[RenderableType] = [cores_table(report), causes_table(report), *notes(report)]
    for name, found in report.get("instruments", {}).items():
        parts += instrument_lines(name, found)
    return Group(*parts)
