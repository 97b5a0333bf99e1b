"""Measure the project's targets on this host: each is met, missed, or not measurable here, and why.

  quietcore targets                  also starts a pipeline against the simulator for a while where none runs
  quietcore targets --no-pipeline    without one
  quietcore targets --list           the targets and how each is measured; measures nothing

It takes the measured cores for itself: run it beside a trading pipeline only where you may disturb it. Where a
pipeline runs, its own histograms are judged. A value that wavers around its bound is not judged.

Exit codes: 0 every target that can be measured here is met; 1 one is missed; 2 wrong usage; 3 nothing could be
measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from quietcore.targets.outcome import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--cpus", metavar="LIST", help="as of `quietcore jitter`: the cores to measure on")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each measurement (default %(default)s)"
    )
    where = "of the runtime ($RUNTIME_DIRECTORY or /run/quietcore, runtime.json)"
    parser.add_argument("--status", type=Path, metavar="FILE", help=where)
    parser.add_argument("--no-pipeline", action="store_true", help="start none where none runs")
    parser.add_argument("--list", action="store_true", help="show the targets, measure nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Measure and judge."""
    from quietcore.targets.catalogue import TARGETS

    if arguments.list:
        if arguments.json:
            print(json.dumps([target._asdict() for target in TARGETS]))
        else:
            for target in TARGETS:
                print(f"{target.what}: {target.bound_text}: {target.how}")
        return ExitCode.OK
    if not 0.1 <= arguments.seconds <= 3600:
        raise QuietcoreError("bad option", where="--seconds", found=arguments.seconds, expected="0.1 to 3600")
    from quietcore.jitter.cores import chosen_cores, virtualisation
    from quietcore.observe.status_place import status_path
    from quietcore.targets.measure import everything
    from quietcore.targets.outcome import judge

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    try:
        found, pipeline = everything(
            chosen_cores(arguments.cpus),
            status_path(arguments.status),
            arguments.seconds,
            start=not arguments.no_pipeline,
            tell=tell,
        )
    finally:
        tell("")
    outcomes = judge(found)
    virtual = virtualisation()
    if arguments.json:
        report = {"virtual": virtual, "pipeline": pipeline, "targets": [one.to_json() for one in outcomes]}
        print(json.dumps(report))
    else:
        show(outcomes, pipeline, virtual)
    return exit_code(outcomes)


def exit_code(outcomes: list[Outcome]) -> ExitCode:
    """Return what the verdicts come to."""
    verdicts = {one.verdict for one in outcomes}
    if "missed" in verdicts:
        return ExitCode.FOUND
    return ExitCode.OK if "met" in verdicts else ExitCode.UNKNOWN


def show(outcomes: list[Outcome], pipeline: str, virtual: str | None) -> None:
    """Print the table, the missed ones first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"missed": "bold red", "met": "green"}
    table = Table(title=f"targets; pipeline: {pipeline}", title_justify="left")
    table.add_column("target")
    for column in ("bound", "found"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("on what, or why not")
    for one in sorted(
        outcomes, key=lambda one: ("missed", "met").index(one.verdict) if one.verdict in styles else 2
    ):
        value = "–" if one.value is None else f"{one.value:,.4g}" if one.value < 1e4 else f"{one.value:,.0f}"
        verdict = Text(one.verdict, style=styles.get(one.verdict, ""))
        table.add_row(one.target.what, one.target.bound_text, value, verdict, one.note or one.target.how)
    if virtual:
        table.caption = f"a virtual machine ({virtual}): not to be quoted for a host of metal"
        table.caption_justify = "left"
    Console(width=None if sys.stdout.isatty() else 140).print(table)
