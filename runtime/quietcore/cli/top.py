"""A live screen of this host for a terminal of 80×24 or more, also over ssh.

Cores and who ran on them, hop latencies, orders, feeds and their rates, books, kill switch, guard, audit. Keys: q
ends, p keeps what is shown, Tab and the arrows scroll. A CPU is shown by its role in the core plan; isolated ones are
coloured, and red where more than one thread ran there. Latencies are since the runtime's start, rates since the last
look.
Exit codes: 0 ended as told, 2 wrong usage, or no terminal.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from quietcore.errors import ExitCode, QuietcoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    from quietcore.monitoring.snapshot import add_source_arguments

    parser.add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="between looks (default 1)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="two looks an interval apart, the second with rates, as one JSON object",
    )
    add_source_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show until told to stop."""
    from quietcore.monitoring.snapshot import Observer, chosen_sources

    if not 0.1 <= arguments.interval <= 3600:
        raise QuietcoreError(
            "bad option", where="--interval", found=arguments.interval, expected="0.1 to 3600 seconds"
        )
    sources = chosen_sources(arguments)
    if not arguments.json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise QuietcoreError(
            "no terminal", found="a pipe or a file", remedy="use --json, or `quietcore status` for one look"
        )
    observer = Observer(sources, with_cores=True)
    try:
        if arguments.json:
            from quietcore.monitoring.rates import rates

            before = observer.look()
            time.sleep(arguments.interval)
            look = observer.look()
            print(json.dumps({**look, "rates": rates(before, look)}))
            return ExitCode.OK
        from quietcore.monitoring.screen import Screen

        screen = Screen(observer, arguments.interval)
        screen.run()
        return screen.return_code or ExitCode.OK
    finally:
        observer.close()
