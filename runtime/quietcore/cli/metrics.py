"""Serve the host's state to Prometheus: rings, books, feeds, orders, risk, guard, kill switch, audit, latencies.

Reads what the parts publish anyway (shared memory read-only, status files) and asks none of them anything, so that a
scrape disturbs no isolated core. Answers GET /metrics, listens on loopback unless told otherwise, and runs until
SIGTERM or Ctrl-C. The role `monitoring` runs it as quietcore-metrics.service and brings rules and a dashboard.
Exit codes: 0 ended as told, 2 wrong usage, or the address is taken.
"""

from __future__ import annotations

import argparse
import sys

from quietcore.errors import ExitCode

DEFAULT_LISTEN = "127.0.0.1:9420"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from quietcore.monitoring.snapshot import add_source_arguments

    parser.add_argument(
        "--listen",
        default=DEFAULT_LISTEN,
        metavar="HOST:PORT",
        help=f"(default {DEFAULT_LISTEN}); port 0: any",
    )
    parser.add_argument("--once", action="store_true", help="print the metrics once, and end")
    add_source_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from quietcore.monitoring.serving import listen_address, serve
    from quietcore.monitoring.snapshot import Observer, chosen_sources

    host, port = listen_address(arguments.listen)
    observer = Observer(chosen_sources(arguments), with_interruptions=True)
    try:
        if arguments.once:
            from prometheus_client import generate_latest

            from quietcore.monitoring.exposition import registry

            sys.stdout.write(generate_latest(registry(observer)).decode())
            return ExitCode.OK
        import uvloop

        from quietcore.monitoring.exporter import application

        async def main() -> None:
            observer.look()  # what has to be compiled is compiled before the first scrape
            await serve(application(observer, host), host, port, "quietcore metrics: listening on")

        uvloop.run(main())
    finally:
        observer.close()
    return ExitCode.OK
