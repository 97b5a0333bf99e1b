"""Show the pipeline of this host: every feed's ring, and the runtime's own status.

Exit code 0 where every ring could be read, 3 where there is nothing to show or a ring cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from rich.console import RenderableType

# The runtime rewrites its status each second.
FRESH_STATUS_SECONDS = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--feed", action="append", metavar="NAME", help="only this feed (may be repeated)")
    where = "of the runtime (runtime.json in $RUNTIME_DIRECTORY or /run/quietcore, else `quietcore local`'s)"
    parser.add_argument("--status", type=Path, metavar="FILE", help=where)
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="show it again and again, live")
    parser.add_argument("--count", type=int, metavar="N", help="with --watch: end after N times")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object (a line each time) instead of tables"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show once, or until interrupted."""
    if arguments.watch is not None and not 0 < arguments.watch < float("inf"):
        raise QuietcoreError("bad option", where="--watch", found=arguments.watch, expected="more than 0")
    if arguments.count is not None and (arguments.count < 1 or arguments.watch is None):
        raise QuietcoreError(
            "bad option", where="--count", found=arguments.count, expected="1 or more, with --watch"
        )
    if arguments.watch is None:
        state = gather(arguments)
        if arguments.json:
            print(json.dumps(state))
        else:
            from rich.console import Console

            Console().print(render(state))
        return verdict(state)
    return watch(arguments)


def watch(arguments: argparse.Namespace) -> int:
    """Show live until interrupted; Ctrl-C is a usual end."""
    shown = 0
    state: dict[str, Any] = {}
    previous: dict[str, Any] | None = None

    def step() -> dict[str, Any]:
        nonlocal state, previous, shown
        previous, state = state or None, gather(arguments)
        add_rates(state, previous)
        shown += 1
        return state

    try:
        if arguments.json or not sys.stdout.isatty():
            while arguments.count is None or shown < arguments.count:
                step()
                if arguments.json:
                    print(json.dumps(state), flush=True)
                else:
                    from rich.console import Console

                    Console(width=100).print(render(state))
                if shown != arguments.count:
                    time.sleep(arguments.watch)
        else:
            from rich.live import Live

            with Live(render(step()), auto_refresh=False) as live:
                while arguments.count is None or shown < arguments.count:
                    time.sleep(arguments.watch)
                    live.update(render(step()), refresh=True)
    except KeyboardInterrupt:
        pass
    return verdict(state)


def verdict(state: dict[str, Any]) -> int:
    """Return the exit code: could everything be told?"""
    nothing = not state["feeds"] and state["runtime"] is None
    unreadable = any("error" in feed for feed in state["feeds"].values())
    return ExitCode.UNKNOWN if nothing or unreadable else ExitCode.OK


def gather(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the state of all feeds and of the runtime, ready for JSON."""
    from quietcore.bridge.segment import attach, feed_names
    from quietcore.monitoring.feeds import feed_state
    from quietcore.observe import status
    from quietcore.observe.status_place import status_path

    feeds: dict[str, Any] = {}
    for name in arguments.feed or feed_names():
        try:
            segment = attach(name)
        except QuietcoreError as error:
            feeds[name] = {"error": error.message()}
            continue
        try:
            feeds[name] = feed_state(segment)
        except QuietcoreError as error:
            feeds[name] = {"error": error.message()}
        segment.close()
    runtime: dict[str, Any] | None = None
    problem = ""
    try:
        runtime = status.read(status_path(arguments.status))
    except QuietcoreError as error:
        problem = error.message()
    if runtime is not None:
        runtime["age_seconds"] = round(time.time() - runtime["written"], 3)
    return {"time": time.time(), "feeds": feeds, "runtime": runtime, "runtime_problem": problem}


def add_rates(state: dict[str, Any], previous: dict[str, Any] | None) -> None:
    """Add ticks and messages a second since the previous look, where it was the same producer."""
    if previous is None:
        return
    seconds = state["time"] - previous["time"]
    for name, feed in state["feeds"].items():
        before = previous["feeds"].get(name)
        if (
            before is None
            or seconds <= 0
            or "error" in feed
            or "error" in before
            or before["epoch"] != feed["epoch"]
        ):
            continue
        feed["ticks_per_second"] = round((feed["published"] - before["published"]) / seconds, 1)
        messages = feed["statistics"]["messages"] - before["statistics"]["messages"]
        feed["messages_per_second"] = round(messages / seconds, 1)


def render(state: dict[str, Any]) -> RenderableType:
    """Return the state as tables."""
    from rich.console import Group
    from rich.text import Text

    from quietcore.observe import report

    parts: list[RenderableType] = [feeds_table(state["feeds"])]
    problems = [f"{name}: {feed['error']}" for name, feed in state["feeds"].items() if "error" in feed]
    runtime = state["runtime"]
    if runtime is None:
        problems.append(state["runtime_problem"])
    else:
        parts += [report.counts_table(runtime), report.hops_table(runtime), report.threads_table(runtime)]
        if runtime["final"]:
            problems.append(f"the runtime ended {runtime['age_seconds']:.0f} s ago: this is its final report")
        elif runtime["age_seconds"] > FRESH_STATUS_SECONDS:
            problems.append(f"the runtime is silent since {runtime['age_seconds']:.0f} s")
        problems += runtime["warnings"]
    parts += [Text(problem, style="yellow") for problem in problems if problem]
    return Group(*parts)


def feeds_table(feeds: dict[str, Any]) -> RenderableType:
    """Return one row a feed."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="feeds", title_justify="left")
    table.add_column("feed", no_wrap=True)
    table.add_column("producer", no_wrap=True)
    for column in ("ticks", "ticks/s", "messages", "gaps", "live"):
        table.add_column(column, justify="right")
    for name, feed in feeds.items():
        if "error" in feed:
            table.add_row(name, Text("unreadable", style="red"), *[""] * 5)
            continue
        producer, counts = feed["producer"], feed["statistics"]
        rate = feed.get("ticks_per_second")
        table.add_row(
            name,
            Text(producer, style="green" if producer == "alive" else "red"),
            f"{feed['published']:,}",
            "" if rate is None else f"{rate:,.0f}",
            f"{counts['messages']:,}",
            f"{counts['gaps']:,}",
            f"{feed['books']['LIVE']} of {feed['symbols']}",
        )
    if not feeds:
        table.add_row("none", *[""] * 6)
    return table
