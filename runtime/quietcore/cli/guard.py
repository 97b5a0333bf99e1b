"""The guard: a process of its own that cancels everything when the runtime's heartbeat stops.

It reads the runtime's configuration (venue) and its heartbeat, needs the same key, and runs until SIGTERM or Ctrl-C. A
heartbeat that is gone, damaged or of another boot is one that has stopped; a venue that does not answer is asked again.
Where the venue offers its own cancel at disconnection, `[guard] disconnect_cancel` arms that too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

WATCHDOG_SECONDS = 2.0
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
    from quietcore.execution.reserve import Reserve

    reserve = Reserve()  # before anything else takes descriptors
    import uvloop

    from quietcore import config, loop_errors, stop_signals
    from quietcore.execution import exclusive, guard_report, heartbeat
    from quietcore.execution.guard import Guard, Pulse, prove
    from quietcore.execution.guard_pulse import HeartbeatPulse
    from quietcore.execution.process import keep_memory_secret, notify
    from quietcore.venues.bybit.rest import explain
    from quietcore.venues.interface import Endpoints, OrderVenue, RefusedError, UncertainError
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
    credentials = config.credentials()

    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # a log that takes nothing is no reason to stop
            print(f"quietcore guard: {line}", file=sys.stderr, flush=True)

    report_path = arguments.report or guard_report.default_path()

    def report(state: dict[str, int]) -> None:
        if report_path is not None:
            guard_report.write(report_path, state)

    keep_memory_secret(say)

    async def once(venue: OrderVenue, stop: asyncio.Event) -> int:
        guard = Guard(venue, lambda: Pulse.STOPPED, say, report, reserve=reserve)
        await guard.fire(stop)
        return ExitCode.OK if guard.done else ExitCode.UNKNOWN

    async def watch(venue: OrderVenue, stop: asyncio.Event) -> int:
        pulse = HeartbeatPulse(path, settings.guard.timeout)
        guard = Guard(venue, pulse, say, report, why=pulse.why, reserve=reserve)
        proving = asyncio.create_task(
            prove(venue, settings.venue.rest, settings.guard.disconnect_cancel, say, lambda: guard.needed)
        )
        proving.add_done_callback(lambda task: stop.set() if failed(task) else None)
        beating = asyncio.create_task(beat_for_the_manager())
        notify("READY=1")
        say(f"watching {path}, timeout {settings.guard.timeout:g} s")
        try:
            await guard.watch(stop)
        finally:
            for task in (proving, beating):
                task.cancel()
            outcome, *_ = await asyncio.gather(proving, beating, return_exceptions=True)
        if isinstance(outcome, (RefusedError, UncertainError)):  # a key that may not look cannot guard
            raise explain(outcome, settings.venue.rest) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        return ExitCode.OK

    async def main() -> int:
        venue = order_venue(settings.venue.name, endpoints, credentials, f"{arguments.config}: venue.name")
        stop = asyncio.Event()
        loop_errors.tell(asyncio.get_running_loop(), say)
        with stop_signals.heard(stop.set):
            try:
                return await (once if arguments.once else watch)(venue, stop)
            finally:
                await venue.close()

    held = None
    if not arguments.once:
        account = exclusive.account_of(
            settings.venue.name, settings.mode, settings.venue.rest, credentials.key
        )
        held = exclusive.claim_account("guard", account, say)
    try:
        return uvloop.run(main())
    finally:
        if held is not None:
            held.close()


def failed(task: asyncio.Task[None]) -> bool:
    """Whether a task has ended with an error."""
    return not task.cancelled() and task.exception() is not None


async def beat_for_the_manager() -> None:
    """Tell a service manager with a watchdog that the event loop turns."""
    from quietcore.execution.process import notify

    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_SECONDS)
