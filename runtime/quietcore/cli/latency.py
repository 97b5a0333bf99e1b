"""Show how long each hop of the pipeline takes: p50 to p99.99 and the maximum.

  quietcore latency                        the running pipeline's hops, from the runtime's status
  quietcore latency --feed bybit --seconds 10   by symbol, what every tick of a feed carries: venue → received and
                                           received → published, read from its ring for so long

Values are at most 1.6 % too high (the width of a histogram's bucket). What cannot be compared, a replayed message or
clocks that disagree, is counted apart and is no latency. The maximum is that of the whole run.

Exit codes: 0 shown, 2 wrong usage, 3 no status, no such feed, or nothing was measured yet.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from rich.table import Table

FIGURES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
NAP_SECONDS = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    where = "the runtime's status (runtime.json in $RUNTIME_DIRECTORY or /run/quietcore, else `quietcore local`'s)"
    parser.add_argument("--status", type=Path, metavar="FILE", help=where)
    parser.add_argument("--feed", metavar="NAME", help="by symbol, from this feed's ring")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="with --feed: how long (default %(default)s)"
    )
    parser.add_argument(
        "--symbol", action="append", metavar="NAME", help="with --feed: only this; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, with histograms")


def run(arguments: argparse.Namespace) -> int:
    """Show the hops."""
    if not 0 < arguments.seconds < math.inf:
        raise QuietcoreError("bad option", where="--seconds", found=arguments.seconds, expected="more than 0")
    rows = by_symbol(arguments) if arguments.feed else by_hop(arguments)
    if arguments.json:
        print(json.dumps({"feed": arguments.feed, "hops": rows}))
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    return ExitCode.OK if any(row["count"] for row in rows) else ExitCode.UNKNOWN


def by_hop(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the runtime's hops."""
    from quietcore.observe import status
    from quietcore.observe.status_place import status_path

    found = status.read(status_path(arguments.status))
    return [
        {"symbol": None, "hop": title, **found["hops"][name]} for name, title in status.HOP_TITLES.items()
    ]


def by_symbol(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Follow the feed for a while; return its symbols' hops. Ctrl-C ends it early."""
    from quietcore.bridge.segment import attach
    from quietcore.observe.status import HOP_TITLES
    from quietcore.observe.symbol_hops import SymbolHops

    segment = attach(arguments.feed)
    names = [symbol.name for symbol in segment.symbols]
    unknown = [name for name in arguments.symbol or [] if name not in names]
    if unknown:
        raise QuietcoreError(
            "no such symbol", where=f"--symbol {unknown[0]}", expected=" or ".join(names[:8])
        )
    hops = SymbolHops(segment)
    hops.follow(0)  # compiles before the time begins
    until = time.monotonic() + arguments.seconds
    try:
        while time.monotonic() < until and not segment.closed:
            if not hops.follow():
                time.sleep(NAP_SECONDS)
    except KeyboardInterrupt:
        pass
    wanted = set(arguments.symbol or names)
    return [
        {"symbol": name, "hop": HOP_TITLES[hop], **figures}
        for name, found in hops.report().items()
        if name in wanted
        for hop, figures in found.items()
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the hops as a table."""
    from rich.table import Table

    from quietcore.observe.report import duration

    shown = Table(title="latency", title_justify="left")
    symbols = any(row["symbol"] for row in rows)
    if symbols:
        shown.add_column("symbol", no_wrap=True)
    shown.add_column("hop", no_wrap=True)
    for column in ("count", *FIGURES, "not\ncomparable"):
        shown.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        foreign = f"{row['not_comparable']:,}" if row["not_comparable"] else ""
        cells = [row["hop"], f"{row['count']:,}", *(duration(row[name]) for name in FIGURES), foreign]
        shown.add_row(*([row["symbol"]] if symbols else []), *cells)
    return shown
