"""Measure a configuration (run), and say what a change of it has done (compare): regressions first.

  quietcore bench run --label before --out before.json
  … change something …
  quietcore bench run --label after --out after.json
  quietcore bench compare before.json after.json --html report.html --png report.png

What can be switched to and fro without a reboot is better measured in turns, A B, B A, A B …, so that whatever else
happens on the host meets both alike:

  quietcore bench run jitter --alternate 'sysctl -w kernel.timer_migration=0' 'sysctl -w kernel.timer_migration=1' \\
      --out off.json on.json

Of several changes made one after the other, with a measurement after each, `attribute` says which did what:

  quietcore bench attribute before.json one.json two.json three.json

Suites: jitter (interruptions of the cores), ring (reading ticks), book (parser, book and ring), tick-to-order (the
whole pipeline against the simulator). What a suite needs and this host has not is said in the report.

`compare` gives each figure (p50, p99, p99.9, rate) an interval by block bootstrap, widened for the number of
comparisons so that all hold at once with 99 %, and the verdict better, worse, no difference or too few. The maximum
has none. Runs of the same thing are called different in at most 1 of 100 reports.

Exit codes: 0 measured, or nothing is worse; 1 something is worse; 2 wrong usage; 3 no suite could be measured, or
nothing could be judged.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from quietcore.compare.verdict import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|compare|attribute")
    run_parser = commands.add_parser(
        "run",
        help="measure suites",
        description="Measure suites in rounds and write the values to a file; `quietcore bench --help` has examples.",
    )
    run_parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help="jitter, ring, book, tick-to-order (default: all)"
    )
    run_parser.add_argument(
        "--out",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="where to write; two with --alternate",
    )
    run_parser.add_argument("--label", help="what is measured (default: the file's name)")
    run_parser.add_argument("--rounds", type=int, default=10, help="(default %(default)s)")
    run_parser.add_argument(
        "--seconds", type=float, default=1.0, help="of a round of a suite (default %(default)s)"
    )
    run_parser.add_argument(
        "--cpus", metavar="LIST", help="as of `quietcore jitter`: the cores to measure on"
    )
    run_parser.add_argument(
        "--alternate",
        nargs=2,
        metavar=("COMMAND_A", "COMMAND_B"),
        help="commands (no shell) that make the two configurations, run before each round",
    )
    compare_parser = commands.add_parser(
        "compare",
        help="compare two measurements",
        description="Compare two files that `bench run` wrote.",
    )
    compare_parser.add_argument("before", type=Path)
    compare_parser.add_argument("after", type=Path)
    compare_parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page of its own")
    compare_parser.add_argument("--png", type=Path, metavar="FILE", help="also draw the intervals")
    compare_parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    attribute_parser = commands.add_parser(
        "attribute",
        help="say which of several steps did what",
        description="Compare each of the files that `bench run` wrote with the one before it, regressions first.",
    )
    attribute_parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="as it was, after each step, and at the end"
    )
    attribute_parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table there")
    attribute_parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    if arguments.command == "run":
        return measure(arguments)
    return judge(arguments) if arguments.command == "compare" else attribute_steps(arguments)


def measure(arguments: argparse.Namespace) -> int:
    """Measure and write."""
    from quietcore.compare.collect import SUITES, collect
    from quietcore.compare.series import Run, write_run
    from quietcore.jitter.cores import chosen_cores

    names = list(dict.fromkeys(arguments.suites)) or list(SUITES)
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise QuietcoreError("no such suite", where=", ".join(unknown), expected=", ".join(SUITES))
    if arguments.rounds < 1 or not 0.1 <= arguments.seconds < math.inf:
        raise QuietcoreError(
            "bad option",
            where="--rounds, --seconds",
            found=f"{arguments.rounds}, {arguments.seconds}",
            expected="1 or more, 0.1 or more",
        )
    wanted = 2 if arguments.alternate else 1
    if len(arguments.out) != wanted:
        raise QuietcoreError(
            "bad option",
            where="--out",
            found=f"{len(arguments.out)} files",
            expected=f"{wanted}, one a configuration",
        )
    labels = [path.stem for path in arguments.out]
    if arguments.label is not None:
        labels = [arguments.label] if wanted == 1 else [f"{arguments.label} {label}" for label in labels]
    runs = [Run(label) for label in labels]

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    try:
        collect(
            names,
            chosen_cores(arguments.cpus),
            runs,
            arguments.alternate or (),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            tell=tell,
        )
    finally:
        tell("")
    for path, one in zip(arguments.out, runs, strict=True):
        write_run(path, one)
        print(f"{path}: {one.label}: {len(one.metrics)} metrics, {arguments.rounds} rounds")
    for name, reason in runs[0].absent.items():
        print(f"{name} was not measured: {reason}")
    return ExitCode.OK if runs[0].metrics else ExitCode.UNKNOWN


def judge(arguments: argparse.Namespace) -> int:
    """Compare and report."""
    from quietcore.compare.report import tables, write_html, write_png
    from quietcore.compare.series import read_run
    from quietcore.compare.verdict import compare

    before, after = read_run(arguments.before), read_run(arguments.after)
    found = compare(before, after)
    if arguments.html is not None:
        write_html(arguments.html, found, before, after)
    if arguments.png is not None:
        write_png(arguments.png, found)
    if arguments.json:
        print(json.dumps(found.to_json()))
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 160).print(tables(found))
    return exit_code(found.worst, found)


def exit_code(worst: str, whole: Comparison) -> int:
    """Return FOUND where something became worse, UNKNOWN where too little was measured to judge."""
    from quietcore.compare.verdict import TOO_FEW, WORSE

    if worst == WORSE:
        return ExitCode.FOUND
    return ExitCode.OK if any(row.verdict != TOO_FEW for row in whole.rows) else ExitCode.UNKNOWN


def attribute_steps(arguments: argparse.Namespace) -> int:
    """Compare step by step and report."""
    from rich.console import Console

    from quietcore.compare.attribution import attribute, tables
    from quietcore.compare.series import read_run

    found = attribute([read_run(path) for path in arguments.files])
    if arguments.out is not None:
        beside = arguments.out.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                Console(width=160, file=file).print(tables(found))
            beside.replace(arguments.out)
        except OSError as error:
            raise QuietcoreError(
                "report cannot be written", where=str(arguments.out), found=error.strerror
            ) from error
    if arguments.json:
        print(json.dumps(found.to_json()))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(tables(found))
    return exit_code(found.worst, found.whole)
