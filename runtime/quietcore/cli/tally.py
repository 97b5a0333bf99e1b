"""Read a feed's ring and count: ticks by kind, ticks dropped, final ladders and their running hash.

A pure reader: it trades nothing and the feed does not know of it. Without --seconds or --until-idle it
reads until it is interrupted (Ctrl-C, SIGTERM) and then reports. Exit code 1 where ticks were dropped.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quietcore import stop_signals
from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from quietcore.bridge.follower import Follower

NAP_SECONDS = 0.0002


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--feed", required=True, help="the feed's name: /dev/shm/quietcore.FEED")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--from-start", action="store_true", help="begin with the ring's first tick")
    parser.add_argument(
        "--until-idle", type=float, metavar="SECONDS", help="end when no tick came for so long"
    )
    parser.add_argument("--seconds", type=float, metavar="SECONDS", help="end after so long")
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="for the feed to appear (30)"
    )
    parser.add_argument(
        "--levels", type=int, default=20, metavar="N", help="levels a side in the report (20)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Follow the feed, then report."""
    for name in ("until_idle", "seconds", "wait"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value < float("inf"):
            option = "--" + name.replace("_", "-")
            raise QuietcoreError("bad option", where=option, found=value, expected="seconds, 0 or more")
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    # First of all: told to end while it still loads, waits or compiles, it reports what there is.
    for number in stop_signals.NUMBERS:
        signal.signal(number, stop)
    try:
        follower = follow(arguments, lambda: stopped)
    finally:  # the report is still to be written
        stop_signals.ignore()
    report = follower.report(arguments.levels)
    if arguments.json:
        json.dump(report, sys.stdout)
        print()
    else:
        show(report)
    return ExitCode.FOUND if follower.dropped else ExitCode.OK


def follow(arguments: argparse.Namespace, stopped: Callable[[], bool]) -> Follower:
    """Read until stopped, idle, out of time, or the feed's end; return the follower."""
    from quietcore.bridge.follower import Follower
    from quietcore.bridge.ring import word_at
    from quietcore.bridge.segment import NotThereYetError, attach
    from quietcore.execution.process import notify

    try:
        segment = attach(arguments.feed)
    except NotThereYetError as error:
        if not arguments.wait:
            raise
        print(f"tally: {error.message()}; waiting up to {arguments.wait:g} s", file=sys.stderr, flush=True)
        segment = attach(arguments.feed, arguments.wait, give_up=stopped)
    follower = Follower(segment, from_start=arguments.from_start)
    follower.follow(0)  # compiles before the first tick is awaited
    notify("READY=1")
    started = last = time.monotonic()
    while not stopped():
        now = time.monotonic()
        if follower.follow():
            last = now
            continue
        if segment.closed:
            break
        if arguments.until_idle is not None and now - last >= arguments.until_idle:
            break
        if arguments.seconds is not None and now - started >= arguments.seconds:
            break
        time.sleep(NAP_SECONDS)
    # What was published before the end was asked for still counts.
    end = word_at(segment.ring.published)
    while follower.next_tick < end and follower.follow():
        pass
    return follower


def show(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    ticks = report["ticks"]
    table = Table(title=f"feed {report['feed']} ({report['venue']}), epoch {report['epoch']}")
    for column in ticks:
        table.add_column(column, justify="right")
    table.add_row(*(f"{count:,}" for count in ticks.values()))
    console.print(table)
    table = Table()
    for column in ("symbol", "state", "bid", "ask", "books", "ladder hash", "exact"):
        table.add_column(column, justify="right" if column in ("bid", "ask", "books") else "left")
    for name, symbol in report["symbols"].items():
        best = (
            "–" if symbol[side] is None else f"{symbol[side][0]} × {symbol[side][1]}"
            for side in ("bid", "ask")
        )
        exact = "yes" if symbol["exact"] and report["exact"] else "since joining" if symbol["exact"] else "no"
        table.add_row(name, symbol["state"], *best, f"{symbol['books']:,}", symbol["ladder_hash"], exact)
    console.print(table)
