"""A comparison as tables, as one HTML page with nothing outside of it, and as PNG: regressions first."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quietcore.compare.series import Run
from quietcore.compare.verdict import ALPHA, BETTER, RATE, SAME, TOO_FEW, WORSE, Comparison, Row
from quietcore.errors import QuietcoreError
from quietcore.observe.report import duration

STYLES: Final = {WORSE: "bold red", BETTER: "green", SAME: "", TOO_FEW: "yellow"}
COLOURS: Final = {WORSE: "#c0392b", BETTER: "#27864a", SAME: "#777777"}
WIDTH: Final = 240  # of an interval in the page, for a factor of 2 either way
FACTOR: Final = 2.0


def value(row: Row, number: float) -> str:
    """Return a figure with its unit."""
    if row.figure == RATE:
        return f"{number:,.0f} /s" if number >= 100 else f"{number:,.3g} /s"
    return duration(round(number)) if number >= 100 else f"{number:.1f} ns"


def change(row: Row) -> str:
    """Return the change with its interval, in per cent, or what a verdict would need."""
    if row.estimate is None:
        return f"needs {row.needed:,}"
    found = row.estimate

    def percent(ratio: float) -> str:
        return (
            f"{100 * (ratio - 1):+.1f} %"
            if ratio < 100
            else f"× {ratio:.0f}"
            if math.isfinite(ratio)
            else "?"
        )

    return f"{percent(found.ratio)}  [{percent(found.low)}, {percent(found.high)}]"


def counts(row: Row) -> str:
    """Return how many values there are on either side."""
    one, other = row.n
    return f"{one:,}" if one == other else f"{one:,} / {other:,}"


def headline(found: Comparison) -> str:
    """Return the outcome in one line."""
    if not found.rows:
        return "nothing to compare"
    told = []
    for verdict in (WORSE, BETTER, SAME, TOO_FEW):
        number = sum(row.verdict == verdict for row in found.rows)
        if number:
            told.append(f"{number} {verdict}")
    return ", ".join(told)


def method(found: Comparison) -> str:
    """Return how the verdicts came about."""
    return (
        f"intervals of after / before by block bootstrap; all {found.comparisons} hold at once with "
        f"{1 - ALPHA:.0%} (Bonferroni); the maximum is a single value and has no verdict"
    )


def remarks(found: Comparison) -> list[str]:
    """Return what a reader must know: why not to quote, what differs, what is missing."""
    said = [
        f"not to be quoted: {line}" if line.startswith("measured on") else line for line in found.warnings
    ]
    said += [f"only in {label}: {name}" for name, label in found.only.items()]
    return said + [f"{name} was not measured: {reason}" for name, reason in found.absent.items()]


def tables(found: Comparison) -> RenderableType:
    """Return the report for a terminal."""
    title = f"{found.before} → {found.after}: {headline(found)}"
    table = Table(title=title, title_justify="left", caption=method(found), caption_justify="left")
    table.add_column("metric")
    table.add_column("figure", no_wrap=True)
    for column in ("before", "after"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("change", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("verdict", no_wrap=True)
    for row in found.rows:
        both = ("–", "–") if row.estimate is None else (row.estimate.before, row.estimate.after)
        cells = [cell if isinstance(cell, str) else value(row, cell) for cell in both]
        verdict = Text(row.verdict, style=STYLES[row.verdict])
        table.add_row(row.metric, row.figure, *cells, change(row), counts(row), verdict)
    parts: list[RenderableType] = [table]
    if found.maxima:
        largest = Table(title="largest value seen (no verdict)", title_justify="left")
        for column in ("metric", "before", "after"):
            largest.add_column(column, justify="left" if column == "metric" else "right")
        for name, (before, after) in found.maxima.items():
            largest.add_row(name, duration(round(before)), duration(round(after)))
        parts.append(largest)
    return Group(*parts, *remarks(found))


def _bar(row: Row) -> str:
    """Return the interval as a picture: the line in the middle is no change, its ends half and double."""
    if row.estimate is None:
        return ""

    def at(ratio: float) -> float:
        share = math.log(min(max(ratio, 1 / FACTOR), FACTOR)) / math.log(FACTOR) if ratio > 0 else -1.0
        return WIDTH / 2 * (1 + share)

    colour, found = COLOURS[row.verdict], row.estimate
    return (
        f'<svg width="{WIDTH}" height="14" role="img" aria-label="{html.escape(change(row))}">'
        f'<line x1="{WIDTH / 2}" y1="0" x2="{WIDTH / 2}" y2="14" stroke="#aaa"/>'
        f'<line x1="{at(found.low):.1f}" y1="7" x2="{at(found.high):.1f}" y2="7" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{at(found.ratio):.1f}" cy="7" r="4" fill="{colour}"/></svg>'
    )


def page(found: Comparison, before: Run, after: Run) -> str:
    """Return the report as one HTML page."""
    rows = []
    for row in found.rows:
        both = ("–", "–") if row.estimate is None else (row.estimate.before, row.estimate.after)
        figures = [cell if isinstance(cell, str) else value(row, cell) for cell in both]
        cells = [row.metric, row.figure, *figures, change(row), counts(row)]
        written = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        style = row.verdict.replace(" ", "-")
        rows.append(f'<tr>{written}<td>{_bar(row)}</td><td class="{style}">{row.verdict}</td></tr>')
    largest = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{duration(round(one))}</td><td>{duration(round(other))}</td></tr>"
        for name, (one, other) in found.maxima.items()
    )
    facts = sorted({*before.host, *after.host})
    hosts = "".join(
        f"<tr><th>{html.escape(fact)}</th><td>{html.escape(str(before.host.get(fact)))}</td>"
        f"<td>{html.escape(str(after.host.get(fact)))}</td></tr>"
        for fact in facts
    )
    said = "".join(f"<li>{html.escape(line)}</li>" for line in remarks(found))
    names = f"{html.escape(found.before)} → {html.escape(found.after)}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{names}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #8884; vertical-align: top }}
.worse {{ color: {COLOURS[WORSE]}; font-weight: bold }} .better {{ color: {COLOURS[BETTER]} }}
.scroll {{ overflow-x: auto }} ul.said {{ border-left: 4px solid #c80; padding: .5em 2em }}
</style></head><body>
<h1>{names}</h1><p>{html.escape(headline(found))}</p>
{f'<ul class="said">{said}</ul>' if said else ""}
<div class="scroll"><table><tr><th>metric</th><th>figure</th><th>before</th><th>after</th><th>change</th><th>n</th>
<th>half … same … double</th><th>verdict</th></tr>{"".join(rows)}</table></div>
<p>{html.escape(method(found))}</p>
<h2>Largest value seen</h2><table><tr><th>metric</th><th>before</th><th>after</th></tr>{largest}</table>
<h2>Hosts</h2><div class="scroll"><table><tr><th></th><th>before</th><th>after</th></tr>{hosts}</table></div>
</body></html>
"""


def write_html(path: Path, found: Comparison, before: Run, after: Run) -> None:
    """Write the page; raise QuietcoreError where that is not possible."""
    try:
        path.write_text(page(found, before, after), encoding="utf-8")
    except OSError as error:
        raise QuietcoreError("report cannot be written", where=str(path), found=error.strerror) from error


def write_png(path: Path, found: Comparison) -> None:
    """Draw every interval; raise QuietcoreError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise QuietcoreError(
            "a picture needs matplotlib",
            found="it is not installed",
            remedy="compare on the controller, pip install matplotlib, or use --html",
        ) from error
    judged = [row for row in found.rows if row.estimate is not None][::-1]
    figure = Figure(figsize=(10, 1.6 + 0.32 * max(1, len(judged))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, row in enumerate(judged):
        one = row.estimate
        assert one is not None
        low, high = max(one.low, 1e-3), min(one.high, 1e3)
        axes.plot([low, high], [place, place], color=COLOURS[row.verdict], linewidth=2.5)
        axes.plot([one.ratio], [place], "o", color=COLOURS[row.verdict])
    axes.axvline(1.0, color="#aaaaaa", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(judged)), [f"{row.metric}, {row.figure}: {row.verdict}" for row in judged])
    axes.set_xlabel("after / before")
    axes.set_title(
        "\n".join([f"{found.before} → {found.after}: {headline(found)}", *remarks(found)[:2]]), fontsize=9
    )
    try:
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise QuietcoreError("report cannot be written", where=str(path), found=error.strerror) from error
