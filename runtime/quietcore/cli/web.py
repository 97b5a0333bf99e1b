"""Serve a read-only page of this host: rates, latencies and their histograms, feeds, orders, cores, books, audit.

It is live, needs nothing from outside, takes nothing but GET, and listens on loopback unless told otherwise. It asks
for no password: reach it from elsewhere by `ssh -L 9421:127.0.0.1:9421 HOST`. The same looks are at /state.json. Runs
until SIGTERM or Ctrl-C. Exit codes: 0 ended as told, 2 wrong usage, or the address is taken.
"""

from __future__ import annotations

import argparse

from quietcore.errors import ExitCode, QuietcoreError

DEFAULT_LISTEN = "127.0.0.1:9421"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from quietcore.monitoring.snapshot import add_source_arguments

    parser.add_argument(
        "--listen",
        default=DEFAULT_LISTEN,
        metavar="HOST:PORT",
        help=f"(default {DEFAULT_LISTEN}); port 0: any",
    )
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="SECONDS", help="between looks (default 0.5)"
    )
    add_source_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    import uvloop

    from quietcore.monitoring.page_server import application
    from quietcore.monitoring.serving import listen_address, serve
    from quietcore.monitoring.snapshot import Observer, chosen_sources

    host, port = listen_address(arguments.listen)
    if not 0.05 <= arguments.interval <= 60:
        raise QuietcoreError(
            "bad option", where="--interval", found=arguments.interval, expected="0.05 to 60 seconds"
        )
    observer = Observer(chosen_sources(arguments), with_cores=True)

    async def main() -> None:
        observer.look()  # what has to be compiled is compiled before the first client's
        await serve(application(observer, host, arguments.interval), host, port, "quietcore web: open")

    try:
        uvloop.run(main())
    finally:
        observer.close()
    return ExitCode.OK
