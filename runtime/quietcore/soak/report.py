"""A soak as tables for the terminal and as a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quietcore.errors import QuietcoreError
from quietcore.observe.report import duration
from quietcore.soak.plan import Report, Soak, Sweep
from quietcore.soak.rig import Load

COLUMNS = ("p50", "p99", "p99.9", "p99.99", "max")
LINES = ("p50", "p99", "p99.9")


def latencies(load: Load) -> list[str]:
    """Return the cells of a load's latencies."""
    return [duration(load.latency[name]) for name in COLUMNS]


def lost(load: Load) -> Text:
    """Return what was lost, in few words."""
    if not load.problems:
        return Text("nothing", style="green")
    return Text("; ".join(load.problems), style="bold red")


def soaks_table(soaks: list[Soak]) -> Table:
    """Return a line a size."""
    table = Table(title="sizes", title_justify="left")
    for column in (
        "symbols",
        "capacity\nmessages/s",
        "load\nmessages/s",
        "messages",
        *COLUMNS,
        "venue's\np99",
    ):
        table.add_column(column, justify="right")
    table.add_column("lost")
    for soak in soaks:
        load = soak.load
        rate = f"{load.achieved:,.0f}"
        cells = [f"{soak.symbols:,}", f"{soak.capacity:,.0f}", rate, f"{load.sent:,}", *latencies(load)]
        table.add_row(*cells, duration(load.late["p99"]), lost(load))
    return table


def sweep_table(sweep: Sweep) -> Table:
    """Return a line a load."""
    title = f"latency against load, {sweep.symbols:,} symbols, capacity {sweep.capacity:,.0f} messages/s"
    table = Table(title=title, title_justify="left")
    for column in ("load", "messages/s", "taken/s", *COLUMNS, "venue's\np99"):
        table.add_column(column, justify="right")
    table.add_column("lost")
    for percent, load in zip(sweep.loads, sweep.steps, strict=True):
        rates = [f"{load.rate or 0:,.0f}", f"{load.achieved:,.0f}"]
        table.add_row(f"{percent:g} %", *rates, *latencies(load), duration(load.late["p99"]), lost(load))
    return table


def whole(report: Report) -> RenderableType:
    """Return both tables and how to read them."""
    parts: list[RenderableType] = [soaks_table(report.soaks)] if report.soaks else []
    if report.sweep is not None:
        parts.append(sweep_table(report.sweep))
    parts.append(
        "latency: from when a message was due until the strategy had its last tick, whatever held it up; "
        "venue's p99: how late it was written, which is in it"
    )
    if report.placement.feed < 0:
        parts.append("nothing is pinned, and all of it shares the CPUs: --cpus gives each a core of its own")
    if report.virtual:
        parts.append(f"a virtual machine ({report.virtual}): not to be quoted for a host of metal")
    return Group(*parts)


def write_png(path: Path, report: Report) -> None:
    """Draw latency against load; raise QuietcoreError where that is not possible."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise QuietcoreError(
            "a picture needs matplotlib",
            found="it is not installed",
            remedy="run it on the controller, or pip install matplotlib",
        ) from error
    sweep = report.sweep
    if sweep is None:
        raise QuietcoreError("nothing to draw", where=str(path), expected="a sweep (--loads)")
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in LINES:
        points = [
            (percent, value / 1000)
            for percent, load in zip(sweep.loads, sweep.steps, strict=True)
            if (value := load.latency[name]) is not None
        ]
        axes.plot([x for x, _ in points], [max(y, 1e-3) for _, y in points], "o-", label=name)
    axes.axvline(100.0, color="#aaaaaa", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel(f"load, % of {sweep.capacity:,.0f} messages/s")
    axes.set_ylabel("latency from when it was due, µs")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    virtual = f"; a virtual machine ({report.virtual}), not to be quoted" if report.virtual else ""
    axes.set_title(f"{sweep.symbols:,} symbols{virtual}", fontsize=10)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise QuietcoreError("picture cannot be written", where=str(path), found=error.strerror) from error
