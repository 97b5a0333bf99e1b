"""Show where a process of the pipeline spends its time, or a command its memory; draw it as a flame graph.

  quietcore profile cpu --unit quietcore-runtime.service     Python stacks, by py-spy, without stopping the process
  quietcore profile perf --pid 1234                          machine code and kernel, by perf where the kernel lets it
  quietcore profile memory --seconds 20 -- sim --generate    what a command of this program still holds at its end

Sampling costs the process something: look at a trading one when a slower tick does not matter. Exit codes: 0 ok, 1 no
sample was taken (it slept), 2 wrong usage, 3 the sampler is missing or not allowed; memory: the command's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

MOST_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the ways, and the options of each."""
    ways = parser.add_subparsers(dest="what", required=True, metavar="cpu|perf|memory")
    for name, words in (("cpu", "Python stacks, by py-spy"), ("perf", "machine code and kernel, by perf")):
        way = ways.add_parser(name, help=words, description=words)
        way.add_argument("--pid", type=int, help="of the process")
        way.add_argument("--unit", metavar="NAME", help="the process of this unit of systemd")
        way.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
        way.add_argument("--rate", type=int, default=100, metavar="HZ", help="samples a second (default 100)")
        _add_output(way)
    words = "what a command still holds at its end"
    memory = ways.add_parser("memory", help=words, description=words)
    _add_output(memory)
    memory.add_argument("command", nargs="+", help="a command of quietcore with its options, after --")
    memory.add_argument(
        "--seconds",
        type=float,
        help="interrupt the command after so long, as Ctrl-C does (default: until it ends)",
    )


def _add_output(way: argparse.ArgumentParser) -> None:
    way.add_argument(
        "--output", type=Path, metavar="FILE.svg", help="the flame graph (default: none is drawn)"
    )
    way.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Take samples, show them, draw them."""
    from quietcore.profiling import samplers

    peak, code = None, ExitCode.OK
    if arguments.what == "memory":
        from quietcore.cli.main import main

        if arguments.seconds is None:
            print("profile: memory is shown when the command ends, or at Ctrl-C", file=sys.stderr, flush=True)
        elif not 0.5 <= arguments.seconds <= 86_400:
            raise QuietcoreError(
                "bad option", where="--seconds", found=f"{arguments.seconds:g}", expected="0.5 to 86400"
            )
        stacks, peak, ended = samplers.by_tracemalloc(lambda: main(arguments.command), arguments.seconds)
        title, unit = f"memory of quietcore {' '.join(arguments.command)}", "bytes"
    else:
        check(arguments)
        ended, pid = 0, process(arguments)
        take = samplers.by_py_spy if arguments.what == "cpu" else samplers.by_perf
        stacks = take(pid, arguments.seconds, arguments.rate)
        title, unit = f"{arguments.what} of process {pid}, {arguments.seconds:g} s", "samples"
        code = ExitCode.OK if stacks else ExitCode.FOUND
    show(arguments, stacks, title, unit, peak)
    return ended or code


def check(arguments: argparse.Namespace) -> None:
    """Raise QuietcoreError for times and rates that make no sense."""
    if not 0.5 <= arguments.seconds <= 3600 or not 1 <= arguments.rate <= 10_000:
        raise QuietcoreError(
            "bad option", where="--seconds, --rate", found=f"{arguments.seconds:g}, {arguments.rate}",
            expected="0.5 to 3600 seconds, 1 to 10000 a second",
        )  # fmt: skip


def process(arguments: argparse.Namespace) -> int:
    """Return the process that is meant; raise QuietcoreError."""
    if (arguments.pid is None) == (arguments.unit is None):
        raise QuietcoreError("bad usage", found="both or none", expected="one of --pid and --unit")
    if arguments.pid is not None:
        return int(arguments.pid)
    from quietcore.host.machine import Machine
    from quietcore.host.threads import processes_of

    found = processes_of(Machine(), arguments.unit)
    if len(found) != 1:
        raise QuietcoreError(
            "not one process", where=arguments.unit, found=found or "none", expected="one",
            remedy="name it with --pid; `quietcore pin --unit NAME --show` lists them", code=ExitCode.UNKNOWN,
        )  # fmt: skip
    return found[0]


def show(arguments: argparse.Namespace, stacks: object, title: str, unit: str, peak: int | None) -> None:
    """Print the table or the object, and write the flame graph."""
    from collections import Counter

    from quietcore.profiling import flame
    from quietcore.profiling.stacks import shares

    assert isinstance(stacks, Counter)
    rows, everything = shares(stacks)[:MOST_ROWS], stacks.total()
    if arguments.output is not None:
        try:
            arguments.output.write_text(flame.draw(stacks, title, unit), encoding="utf-8")
        except OSError as error:
            raise QuietcoreError(
                "flame graph cannot be written", where=str(arguments.output), found=error.strerror
            ) from error
    if arguments.json:
        frames = [row._asdict() for row in rows]
        print(json.dumps({"title": title, "unit": unit, "all": everything, "peak": peak, "frames": frames}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: {everything:,} {unit}", title_justify="left")
    for column in ("own", "with callees"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("frame", overflow="fold")
    for row in rows:
        own, total = (f"{count / everything:.1%}" for count in (row.own, row.total))
        table.add_row(own, total, row.frame)
    console = Console()
    console.print(table)
    if peak is not None:
        console.print(f"peak {peak:,} bytes")
    if not stacks:
        console.print("no sample: the process slept all the time")
    if arguments.output is not None:
        console.print(f"flame graph: {arguments.output}")
