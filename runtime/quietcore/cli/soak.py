"""Load the pipeline of this machine, and say what became of it: latencies, losses, and how much it can take.

An invented venue sends order book messages over WebSocket; the feed handler, the ring and the strategy's loop are
those that trade. For each size of the market the capacity is found (as fast as messages are taken), then half of it
is kept up. The sweep goes up to 110 % of the capacity, where a queue grows.

A message's latency counts from when it was due, not from when it was sent: what holds the sender up is in it, and
nothing is left out because something else was late (coordinated omission). Messages come as a Poisson process.

  quietcore soak                          10, 100 and 2,048 symbols and the sweep: a minute in all
  quietcore soak --minutes 20             as for a release
  quietcore soak --symbols 500 --no-sweep --minutes 60
  quietcore soak --cpus 2,3,4             feed handler, strategy and venue on a core each, spinning
  quietcore soak --json --out soak.json --png soak.png

It takes the CPUs that it gets: not beside a pipeline that trades. Exit codes: 0 nothing was lost at any size; 1
something was; 2 wrong usage; 3 it could not be measured. What is lost in the sweep changes nothing: it is meant to
be too much.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.cpulist import format_cpu_list

if TYPE_CHECKING:
    from quietcore.soak.rig import Placement

MOST_MINUTES = 7 * 24 * 60


def numbers(text: str) -> list[float]:
    """Return a list of positive numbers such as `10,25,50`."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < number < 1e6 for number in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected positive numbers such as 10,50,110")
    return found


def sizes(text: str) -> list[int]:
    """Return a list of numbers of symbols."""
    found = numbers(text)
    if not all(number.is_integer() and number <= 10_000 for number in found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers up to 10000")
    return [int(number) for number in found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="of all loads together (default %(default)s)"
    )
    parser.add_argument(
        "--symbols", type=sizes, default=[10, 100, 2048], metavar="N,…", help="sizes (default 10,100,2048)"
    )
    parser.add_argument(
        "--load",
        type=float,
        default=50.0,
        metavar="PERCENT",
        help="of its capacity, at each size (default 50)",
    )
    parser.add_argument(
        "--loads",
        type=numbers,
        default=[10, 25, 50, 75, 90, 100, 110],
        metavar="PERCENT,…",
        help="of the sweep (default 10,25,50,75,90,100,110)",
    )
    parser.add_argument(
        "--sweep-symbols", type=int, default=100, metavar="N", help="its size (default %(default)s)"
    )
    parser.add_argument("--no-sweep", action="store_true", help="only the sizes")
    parser.add_argument(
        "--cpus", metavar="A,B,C", help="of feed handler, strategy and venue (default: not pinned)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the sweep")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON object there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Load and report."""
    if not 0 < arguments.minutes <= MOST_MINUTES:
        raise QuietcoreError(
            "bad option",
            where="--minutes",
            found=arguments.minutes,
            expected=f"more than 0, at most {MOST_MINUTES}",
        )
    if not 0 < arguments.load <= 200:
        raise QuietcoreError("bad option", where="--load", found=arguments.load, expected="up to 200")
    if not 1 <= arguments.sweep_symbols <= 10_000:
        raise QuietcoreError(
            "bad option", where="--sweep-symbols", found=arguments.sweep_symbols, expected="1 to 10000"
        )
    if arguments.png is not None and arguments.no_sweep:
        raise QuietcoreError("nothing to draw", where="--png", found="--no-sweep", expected="a sweep")
    from quietcore.jitter.cores import virtualisation
    from quietcore.local.children import Interruption
    from quietcore.soak.plan import Wishes, measure

    interactive = sys.stderr.isatty()

    def tell(text: str) -> None:
        print(f"\r\x1b[K{text}" if interactive else text, end="" if interactive else "\n", file=sys.stderr)
        sys.stderr.flush()

    wishes = Wishes(
        arguments.minutes * 60,
        arguments.symbols,
        arguments.load,
        [] if arguments.no_sweep else arguments.loads,
        arguments.sweep_symbols,
        placement(arguments.cpus),
    )
    interruption = Interruption()
    try:
        with interruption.installed():
            report = measure(wishes, interruption, tell)
    finally:
        if interactive:
            tell("")
    report.virtual = virtualisation()
    text = json.dumps(report.to_json())
    if arguments.out is not None:
        write(arguments.out, text + "\n")
    if arguments.png is not None:
        from quietcore.soak.report import write_png

        write_png(arguments.png, report)
    if arguments.json:
        print(text)
    else:
        from rich.console import Console

        from quietcore.soak.report import whole

        Console(width=None if sys.stdout.isatty() else 150).print(whole(report))
    return ExitCode.FOUND if report.problems else ExitCode.OK


def placement(wish: str | None) -> Placement:
    """Return where the three run; raise QuietcoreError where that cannot be."""
    from quietcore.soak.rig import Placement

    if wish is None:
        return Placement()
    allowed = os.sched_getaffinity(0)
    words = wish.split(",")
    cpus = [int(word) for word in words if word.isdigit()]
    if len(cpus) != len(words) or len(set(cpus)) != 3 or not set(cpus) <= allowed:
        raise QuietcoreError(
            "not three CPUs",
            where="--cpus",
            found=wish,
            expected=f"three different ones of {format_cpu_list(allowed)}, such as 2,3,4",
            remedy="leave --cpus out on a smaller machine",
        )
    return Placement(*cpus)


def write(path: Path, text: str) -> None:
    """Write a file; raise QuietcoreError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        raise QuietcoreError("report cannot be written", where=str(path), found=error.strerror) from error
