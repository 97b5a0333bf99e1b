"""Run simulator, feed handler and runtime on this machine for a while, and show them at work.

Needs no root and changes nothing: the children have private names, free ports and a temporary folder, are not
pinned, and everything is taken away at the end, after Ctrl-C too. Without --recording a session is generated.
Exit codes: 0 ok, 1 ticks were lost or none came, 2 wrong usage, 3 a part failed for another reason.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietcore.errors import ExitCode, QuietcoreError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from quietcore.local.pipeline import LocalPipeline, Wishes

REFRESH_SECONDS = 0.5
LINE_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to show it (default 20)")
    parser.add_argument(
        "--recording", type=Path, metavar="FILE", help="replay this recording, again and again"
    )
    parser.add_argument("--venue", help="whose recording it is (default: seen from its first lines)")
    parser.add_argument("--speed", default="1", help="multiple of the recorded speed, or max (default 1)")
    parser.add_argument(
        "--symbols", type=int, default=3, metavar="N", help="of a generated session (default 3)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of a generated session (default 1)")
    parser.add_argument("--symbol", default="", help="the symbol to trade (default: the first)")
    parser.add_argument(
        "--strategy",
        default="crossing",
        metavar="NAME|FILE.py",
        help="one that ships (crossing, panic), or a file of your own (default crossing)",
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=NUMBER", help="of the strategy; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="say only the end, as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline for a while; leave nothing behind."""
    if sys.platform != "linux":
        raise QuietcoreError("the pipeline needs Linux's shared memory", found=sys.platform, expected="linux")
    if not 0 < arguments.seconds < math.inf:
        raise QuietcoreError(
            "not a duration", where="--seconds", found=arguments.seconds, expected="more than 0"
        )
    from quietcore.local.pipeline import LocalPipeline

    pipeline = LocalPipeline(_wishes(arguments))
    with pipeline.interruption.installed(), pipeline:
        _start(pipeline, quiet=arguments.json)
        _watch(pipeline, arguments.seconds, quiet=arguments.json)
        final, state = pipeline.finish()
    _report(final, state, as_json=arguments.json)
    return ExitCode.FOUND if final["ticks"]["dropped"] or not final["ticks"]["read"] else ExitCode.OK


def _wishes(arguments: argparse.Namespace) -> Wishes:
    from quietcore.local.pipeline import Wishes
    from quietcore.strategy.choice import parameter

    parameters = dict(map(parameter, arguments.parameter))
    if arguments.recording is None:
        generated = ["--generate", "--seed", str(arguments.seed), "--symbols", str(arguments.symbols)]
        return Wishes(
            [*generated, "--speed", arguments.speed],
            symbol=arguments.symbol,
            strategy=arguments.strategy,
            parameters=parameters,
        )
    from quietcore.sim.recording import survey

    found = survey(arguments.recording, arguments.venue)
    options = ["--recording", str(arguments.recording), "--venue", found.venue, "--loop", "0"]
    return Wishes(
        [*options, "--speed", arguments.speed],
        depth=found.depth() or 50,
        symbol=arguments.symbol,
        strategy=arguments.strategy,
        parameters=parameters,
    )


def _start(pipeline: LocalPipeline, *, quiet: bool) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            print(f"[{time.monotonic() - began:4.1f} s] {text}", flush=True)

    say("starting the simulator")
    pipeline.start_simulator()
    announced = pipeline.announced
    say(f"simulator ready: {announced['source']}; starting the feed handler")
    pipeline.start_feed()
    say("feed handler ready; starting the runtime, which compiles its loop first")
    pipeline.start_runtime()
    say(f"runtime ready, trading {pipeline.symbol}; the market opens")
    pipeline.begin()


def _watch(pipeline: LocalPipeline, seconds: float, *, quiet: bool) -> None:
    """Show the pipeline for `seconds`: a live table on a terminal, a line now and then elsewhere."""
    end = time.monotonic() + seconds

    def ticks() -> Iterator[float]:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(REFRESH_SECONDS, left))
            pipeline.check()
            yield seconds - (end - time.monotonic())

    if quiet or not sys.stdout.isatty():
        shown = 0.0
        for elapsed in ticks():
            status = pipeline.status()
            if not quiet and status is not None and elapsed - shown >= LINE_SECONDS:
                shown = elapsed
                print(_line(elapsed, status), flush=True)
        return
    from rich.live import Live

    with Live(_waiting(), auto_refresh=False, transient=True) as live:
        for elapsed in ticks():
            status = pipeline.status()
            live.update(_table(elapsed, seconds, status) if status else _waiting(), refresh=True)


def _line(elapsed: float, status: dict[str, Any]) -> str:
    ticks, orders = status["ticks"], status["orders"]
    return (
        f"after {elapsed:.0f} s: {ticks['read']:,} ticks read, {ticks['dropped']:,} dropped, "
        f"{status['signals']:,} signals, {orders['acknowledged']:,} orders, {status['fills']:,} fills"
    )


def _waiting() -> RenderableType:
    return "waiting for the first ticks"


def _table(elapsed: float, seconds: float, status: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    from quietcore.observe.report import counts_table, hops_table, symbols_table

    left = max(0.0, seconds - elapsed)
    clock = f"simulator → feed handler → ring → strategy → gateway → simulator, {left:.0f} s to go"
    return Group(clock, counts_table(status), hops_table(status), symbols_table(status["symbols"], most=6))


def _report(final: dict[str, Any], state: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"runtime": final, "simulator": state}))
        return
    from rich.console import Console

    from quietcore.observe.report import whole

    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(whole(final))
    console.print(
        f"simulator: {state['frames']:,} messages sent, {state['orders']['accepted']:,} orders accepted, "
        f"{state['orders']['fills']:,} fills; everything that was started has been taken away"
    )
