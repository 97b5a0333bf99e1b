"""Measure who interrupts a core, how often, for how long, and because of what. Needs no privilege and no tracer.

On each core a compiled loop reads the time-stamp counter as fast as it can; whenever two readings lie further apart
than the threshold, something else had the core. Context switches and page faults are known for each interruption,
interrupts and softirqs follow from the kernel's counters in windows of 20 ms (so between them it is an estimate);
what nobody counted stays "unexplained": the hypervisor, the firmware, a change of frequency. Behind context
switches stand the threads that ran on that core meanwhile.

The loop takes all of its cores while it measures: on a core of a pipeline that runs, it competes with it.

  quietcore jitter                              cores of the plan, 10 s
  quietcore jitter --cpus 2-5 --seconds 60
  quietcore jitter --with osnoise --with cyclictest   ask other instruments afterwards, each for as long
  quietcore jitter --max-p99 50us               exit 1 where a core's p99 is longer

Ctrl-C ends it early; what was measured is shown. Exit codes: 0 measured; 1 a bound was exceeded; 2 wrong usage, or
a core that may not be used; 3 a bound was asked for and could not be judged.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError

UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": 1_000_000_000}
INSTRUMENTS = ("osnoise", "timerlat", "hwlat", "cyclictest")
LEAST_FOR_P99 = 100  # interruptions, below which a p99 is the maximum and nothing else


def nanoseconds(text: str) -> int:
    """Return a duration such as `1us`, `50µs`, `2ms` or `500` (ns)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a duration such as 500ns, 1us or 2ms")
    value = round(float(match[1]) * UNITS[match[2] or "ns"])
    if not 50 <= value <= 1_000_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 50ns to 1s")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--cpus",
        metavar="LIST",
        help="such as 2,4-5, or `all`; without it those of the plan, without a plan all but the first",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument(
        "--threshold",
        type=nanoseconds,
        default=1000,
        metavar="TIME",
        help="shortest interruption (default 1us)",
    )
    parser.add_argument(
        "--with",
        dest="instruments",
        choices=INSTRUMENTS,
        action="append",
        default=[],
        help="ask this one, too, where the host has it; repeatable",
    )
    parser.add_argument(
        "--max-p99", type=nanoseconds, metavar="TIME", help="exit 1 where a core's p99 is longer than this"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, with histograms, instead of tables"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and report."""
    if not 0 < arguments.seconds <= 86_400:
        raise QuietcoreError(
            "bad option", where="--seconds", found=arguments.seconds, expected="more than 0, at most 86400"
        )
    from quietcore.jitter.cores import chosen_cores, virtualisation
    from quietcore.jitter.meter import Meter
    from quietcore.jitter.tracers import instruments

    cpus = chosen_cores(arguments.cpus)
    report: dict[str, Any] = Meter(cpus, arguments.seconds, arguments.threshold).measure()
    report["virtual"] = virtualisation()
    if arguments.instruments:
        report["instruments"] = instruments(cpus, arguments.seconds, dict.fromkeys(arguments.instruments))
    if arguments.json:
        print(json.dumps(report))
    else:
        from rich.console import Console

        from quietcore.jitter.table import whole

        Console().print(whole(report), soft_wrap=False)
    return ExitCode.OK if arguments.max_p99 is None else judge(report, arguments.max_p99)


def judge(report: dict[str, Any], bound: int) -> ExitCode:
    """Compare each core's p99 with the bound; few interruptions have none, but a maximum that decides as well."""
    verdict = ExitCode.OK
    for core in report["cores"]:
        if core["max"] is None or core["max"] <= bound:
            continue
        if core["interruptions"] < LEAST_FOR_P99:
            verdict = max(verdict, ExitCode.UNKNOWN) if verdict is not ExitCode.FOUND else verdict
        elif core["p99"] > bound:
            verdict = ExitCode.FOUND
    return verdict
