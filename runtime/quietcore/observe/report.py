"""A status as tables: the pipeline in one screen of 80 columns; on a narrower one a number is folded, never cut."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quietcore.observe.status import HOP_TITLES


def duration(nanoseconds: int | None) -> str:
    """Return a latency with a unit that suits it."""
    if nanoseconds is None:
        return "–"
    if nanoseconds < 10_000:
        return f"{nanoseconds} ns"
    if nanoseconds < 10_000_000:
        return f"{nanoseconds / 1000:.1f} µs"
    if nanoseconds < 10_000_000_000:
        return f"{nanoseconds / 1e6:.1f} ms"
    return f"{nanoseconds / 1e9:.1f} s"


def scaled(steps: int, step: list[int]) -> str:
    """Return ``steps`` steps of mantissa / 10**exponent in plain notation."""
    mantissa, exponent = step
    return f"{Decimal(steps * mantissa).scaleb(-exponent):f}"


def counts_table(status: dict[str, Any]) -> Table:
    """Return ticks, signals, orders and fills."""
    table = Table(title="pipeline", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    ticks, orders = status["ticks"], status["orders"]
    kinds = ", ".join(f"{name} {ticks[name]:,}" for name in ("bbo", "trade", "level", "book"))
    table.add_row("ticks read", f"{ticks['read']:,}  ({kinds})")
    table.add_row("ticks dropped", Text(f"{ticks['dropped']:,}", style="red" if ticks["dropped"] else ""))
    table.add_row("signals", f"{status['signals']:,}")
    names = ("sent", "acknowledged", "filled", "cancelled", "rejected", "uncertain", "withheld")
    always = ("sent", "acknowledged")
    table.add_row(
        "orders", ", ".join(f"{name} {orders[name]:,}" for name in names if orders[name] or name in always)
    )
    refusals = ", ".join(f"{reason} {count:,}" for reason, count in orders["refusals"].items())
    table.add_row(
        "refused by risk", f"{orders['refused_by_risk']:,}" + (f"  ({refusals})" if refusals else "")
    )
    venue = status.get("venue", {})
    if venue.get("paused"):
        table.add_row("no orders", Text(venue["paused"], style="red"))
    for refusal in venue.get("refusals", {}).values():
        meaning = f" ({refusal['meaning']})" if refusal["meaning"] else ""
        table.add_row("refused by venue", f"{refusal['times']:,}  {refusal['found']}{meaning}")
    for kind, count in venue.get("kinds", {}).items():
        table.add_row("from the venue", f"{count:,}  {kind}")
    table.add_row("fills", f"{status['fills']:,}")
    table.add_row("position", f"{status['position']} {status['symbol']}")
    return table


def hops_table(status: dict[str, Any]) -> Table:
    """Return the latency of each hop; clocks that cannot be compared are named, never subtracted."""
    table = Table(title="latency per hop", title_justify="left")
    table.add_column("hop", no_wrap=True)
    for column in ("count", "p50", "p99", "max", "not\ncomparable"):
        table.add_column(column, justify="right", overflow="fold")
    for name, title in HOP_TITLES.items():
        hop = status["hops"][name]
        figures = (duration(hop[key]) for key in ("p50", "p99", "max"))
        foreign = f"{hop['not_comparable']:,}" if hop["not_comparable"] else ""
        table.add_row(title, f"{hop['count']:,}", *figures, foreign)
    if any(status["hops"][name]["not_comparable"] for name in HOP_TITLES):
        table.caption = "not comparable: replayed or disagreeing clocks; counted, never shown as a latency"
        table.caption_justify = "left"
    return table


def symbols_table(symbols: dict[str, Any], most: int = 12) -> Table:
    """Return the books of the first ``most`` symbols."""
    table = Table(title="books", title_justify="left")
    for column in ("symbol", "state", "bid", "ask", "messages", "ladder hash"):
        table.add_column(
            column, justify="right" if column in ("bid", "ask", "messages") else "left", overflow="fold"
        )
    for name, symbol in list(symbols.items())[:most]:
        best = [
            "–"
            if symbol[side] is None
            else f"{scaled(symbol[side][0], symbol['tick'])} × {scaled(symbol[side][1], symbol['lot'])}"
            for side in ("bid", "ask")
        ]
        table.add_row(name, symbol["state"], *best, f"{symbol['books']:,}", symbol["ladder_hash"])
    if len(symbols) > most:
        table.caption = f"and {len(symbols) - most} more"
    return table


def threads_table(status: dict[str, Any]) -> Table:
    """Return the runtime's threads and where they run."""
    locked = status["memory"]["locked_kib"]
    memory = f"locked: {locked // 1024} MiB" if locked else "not locked"
    table = Table(title=f"threads of pid {status['pid']}, memory {memory}", title_justify="left")
    for column in ("thread", "tid", "last CPU", "allowed", "page faults since ready"):
        table.add_column(column, justify="left" if column == "thread" else "right", overflow="fold")
    for thread in status["threads"]:
        faults = f"{thread['minor_faults']} minor, {thread['major_faults']} major"
        table.add_row(thread["name"], str(thread["tid"]), str(thread["cpu"]), thread["allowed"], faults)
    return table


def whole(status: dict[str, Any]) -> RenderableType:
    """Return the final report."""
    return Group(
        counts_table(status), hops_table(status), symbols_table(status["symbols"]), threads_table(status)
    )
