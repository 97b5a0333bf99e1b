#!/usr/bin/env python3
"""Measure the native part, and what measuring itself costs, against references: build/bench/results.json.

All in one run. Every ratio or difference is of blocks measured in turns with their reference, which stands before
and after each; a pair is dropped where the reference itself moved by more than a quarter in between. A goal is met
only where the whole 95 % interval lies inside it, missed where it lies outside, else undecided.

Exit status: 0 measured, whatever the verdicts; 1 with --strict where a goal is missed; 3 could not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent / "peers"))

import backtest_plan
import cost_plan
import feed_plan
import log_plan
import memory_plan
import order_plan
import ring_plan
import wire_plan
from results import Result, table, write
from worker import Worker, WorkerError

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["feed", "cost", "log", "ring", "wire", "memory", "orders", "backtest"]


def data_folder() -> Path:
    """Return where the recordings are: $QUIETCORE_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("QUIETCORE_DATA", ROOT.parent / "shared/data"))


def positive(text: str) -> int:
    """Return a number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'"{text}": expected a whole number above 0')
    return int(text)


def arguments_of(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", type=Path, default=ROOT / "build/native/bench/bin/quietcore-bench")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/results.json")
    parser.add_argument(
        "--only", metavar="PART", action="append", choices=PARTS, help="measure only this part"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out the other projects")
    parser.add_argument("--seconds", type=float, default=0.12, help="length of a block (default 0.12)")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of blocks for each ratio (default 9)")
    parser.add_argument(
        "--messages", type=positive, default=100_000_000, help="through the memory part (default 100,000,000)"
    )
    parser.add_argument(
        "--cpu", type=int, default=max(os.sched_getaffinity(0)), help="CPU to measure on; -1: any"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 1 where a goal is missed")
    return parser.parse_args(words)


def measure(arguments: argparse.Namespace) -> Iterator[Result]:
    """Yield the results of all parts asked for."""
    parts = arguments.only or PARTS
    if "orders" in parts:
        yield from order_plan.measure(
            ROOT,
            seconds=arguments.seconds,
            pairs=arguments.pairs,
            peers=not arguments.no_peers,
            cpu=arguments.cpu,
        )
    if "backtest" in parts:
        yield from backtest_plan.measure(
            ROOT, data_folder(), pairs=arguments.pairs, peers=not arguments.no_peers, cpu=arguments.cpu
        )
    if "memory" in parts:
        # Of a process that holds nothing else.
        with Worker("quietcore-bench", [str(arguments.binary)], arguments.cpu) as native:
            yield from memory_plan.measure(native, arguments.messages)
    if not set(parts) - {"orders", "backtest", "memory"}:
        return
    with Worker("quietcore-bench", [str(arguments.binary)], arguments.cpu) as native:
        if "feed" in parts:
            yield from feed_plan.measure(
                native,
                ROOT,
                data_folder(),
                seconds=arguments.seconds,
                pairs=arguments.pairs,
                peers=not arguments.no_peers,
                cpu=arguments.cpu,
            )
        if "cost" in parts:
            yield from cost_plan.measure(
                native,
                arguments.binary.with_name(f"{arguments.binary.name}-unmeasured"),
                ROOT,
                data_folder(),
                seconds=arguments.seconds,
                pairs=arguments.pairs,
                cpu=arguments.cpu,
            )
        if "log" in parts:
            yield from log_plan.measure(native, seconds=arguments.seconds / 2, pairs=arguments.pairs)
        if "ring" in parts:
            yield from ring_plan.measure(
                native,
                ROOT,
                seconds=arguments.seconds / 2,
                pairs=arguments.pairs,
                peers=not arguments.no_peers,
                cpu=arguments.cpu,
            )
        if "wire" in parts:
            path = feed_plan.inputs(data_folder(), ROOT / "build/bench/data")["ob50"]
            yield from wire_plan.measure(native, path, seconds=arguments.seconds, pairs=arguments.pairs)


def main(words: list[str] | None = None) -> int:
    """Measure, show and write."""
    arguments = arguments_of(words)
    results: list[Result] = []
    try:
        for result in measure(arguments):
            results.append(result)
            print(".", end="", file=sys.stderr, flush=True)
    except (WorkerError, feed_plan.DisagreementError, OSError) as error:
        print(f"\nbench: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\nbench: interrupted; nothing written", file=sys.stderr)
        return 130
    print(file=sys.stderr)
    print(table(results))
    write(results, arguments.out)
    missed = [result.name for result in results if result.met is False]
    undecided = [result.name for result in results if result.goal is not None and result.met is None]
    print(
        f"\n{platform.machine()}, {os.cpu_count()} CPUs; {len(missed)} goals missed, {len(undecided)} undecided"
    )
    print(f"written to {arguments.out}")
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
