"""The guard: a process of its own that cancels everything when the runtime's heartbeat stops.

It reads the runtime's configuration (venue) and its heartbeat, needs the same key, and runs until SIGTERM or Ctrl-C.
Where the venue offers its own cancel at disconnection, `[guard] disconnect_cancel` arms that too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

DEFAULT_CONFIG = Path("/etc/quietcore/runtime.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"({DEFAULT_CONFIG})"
    )
    where = "the runtime's heartbeat (default: beside its status, /run/quietcore/heartbeat)"
    parser.add_argument("--heartbeat", type=Path, metavar="FILE", help=where)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="where its state and counts are written for `quietcore metrics` (guard.json in $RUNTIME_DIRECTORY)",
    )
    parser.add_argument("--once", action="store_true", help="cancel everything now, and end")


def run(arguments: argparse.Namespace) -> int:
    """Watch until told to stop."""
    import uvloop

    from quietcore import config
    from quietcore.execution import guard_report, heartbeat
    from quietcore.execution.guard import Guard, Pulse, arm_disconnect_cancel
    from quietcore.execution.process import keep_memory_secret, notify
    from quietcore.venues.bybit.rest import explain
    from quietcore.venues.interface import Endpoints, RefusedError, UncertainError
    from quietcore.venues.registry import order_venue

    settings = config.load(arguments.config)
    if settings.mode not in config.ORDERING_MODES:
        raise QuietcoreError(
            "nothing to guard",
            where=f"{arguments.config}: mode",
            found=repr(settings.mode),
            expected=f"one that sends orders: {', '.join(config.ORDERING_MODES)}",
        )
    path = arguments.heartbeat or heartbeat.default_path()
    endpoints = Endpoints(settings.venue.rest, settings.venue.private_websocket, settings.venue.tls_ca)

    def say(line: str) -> None:
        print(f"quietcore guard: {line}", file=sys.stderr, flush=True)

    report_path = arguments.report or guard_report.default_path()

    def report(state: dict[str, int]) -> None:
        nonlocal report_path
        if report_path is None:
            return
        try:
            guard_report.write(report_path, state)
        except QuietcoreError as error:
            report_path = None  # what it is for does not depend on it
            say(str(error))

    def pulse() -> Pulse:
        beat = heartbeat.read(path)
        if beat is None:
            return Pulse.STOPPED
        if beat.ended:
            return Pulse.ENDED
        fresh = heartbeat.alive(beat, time.monotonic_ns(), settings.guard.timeout)
        return Pulse.ALIVE if fresh else Pulse.STOPPED

    keep_memory_secret(say)

    async def main() -> int:
        venue = order_venue(
            settings.venue.name, endpoints, config.credentials(), f"{arguments.config}: venue.name"
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            guard = Guard(venue, pulse if not arguments.once else lambda: Pulse.STOPPED, say, report)
            if arguments.once:
                firing = asyncio.create_task(guard.fire())
                stopping = asyncio.create_task(stop.wait())
                await asyncio.wait((firing, stopping), return_when=asyncio.FIRST_COMPLETED)
                for task in (firing, stopping):
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await firing
                return ExitCode.OK if guard.done else ExitCode.UNKNOWN
            try:
                await venue.open_orders("")  # a key that may not look cannot guard
            except (RefusedError, UncertainError) as error:
                raise explain(error, settings.venue.rest) from error
            if settings.guard.disconnect_cancel:
                await arm_disconnect_cancel(venue, settings.guard.disconnect_cancel, say)
            notify("READY=1")
            say(f"watching {path}, timeout {settings.guard.timeout:g} s")
            await guard.watch(stop)
        finally:
            await venue.close()
        return ExitCode.OK

    return uvloop.run(main())
