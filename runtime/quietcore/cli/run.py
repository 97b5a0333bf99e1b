"""The runtime: read ticks, compute signals, send orders, until SIGTERM or Ctrl-C; then a report.

SIGHUP makes it take the strategy's parameters, and nothing else, from the configuration as it then is.

Modes (in the configuration): paper, the default, fills orders within this process against the live book; replay does so
with a feed that replays; sim sends them to a simulator; testnet to the venue's test system; live sends real orders, and
only where `allow_live` is set and the sentence that it asks for has been typed (here, or with --confirm-live).

Key and secret come from systemd credentials ($CREDENTIALS_DIRECTORY/api_key, api_secret), elsewhere from the
files that QUIETCORE_API_KEY_FILE and QUIETCORE_API_SECRET_FILE name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues.interface import Credentials

DEFAULT_CONFIG = Path("/etc/quietcore/runtime.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"({DEFAULT_CONFIG})"
    )
    where = "($RUNTIME_DIRECTORY or /run/quietcore, runtime.json)"
    parser.add_argument("--status", type=Path, metavar="FILE", help=where)
    parser.add_argument("--seconds", type=float, metavar="SECONDS", help="end by itself after so long")
    parser.add_argument("--json", action="store_true", help="the final report as one JSON object, no tables")
    parser.add_argument("--confirm-live", metavar="SENTENCE", help="the typed confirmation of mode live")
    parser.add_argument("--check", action="store_true", help="validate the configuration and end")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    from quietcore import config

    settings = config.load(arguments.config)
    if arguments.check:
        from quietcore.strategy import choice

        wish = settings.strategy
        choice.merged(
            choice.find(wish.name, wish.path).parameters,
            wish.parameters,
            f"{arguments.config}: strategy.parameters",
        )
        print(f"{arguments.config}: valid")
        return ExitCode.OK
    if sys.platform != "linux":
        raise QuietcoreError(
            "the runtime needs shared memory and pinned threads", found=sys.platform, expected="Linux"
        )
    if arguments.seconds is not None and not 0 < arguments.seconds < float("inf"):
        raise QuietcoreError("bad option", where="--seconds", found=arguments.seconds, expected="more than 0")
    if settings.mode == "live":
        confirm_live(config.live_sentence(settings), arguments.confirm_live)
    ordering = settings.mode in config.ORDERING_MODES
    credentials = config.credentials() if ordering else Credentials("", b"")
    # Read when libraries are loaded. Each of their threads would have a stack and a heap to be locked: linear
    # algebra is not used here, and the loop's pool only looks up names.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "UV_THREADPOOL_SIZE"):
        os.environ.setdefault(variable, "1")

    # Before anything takes time or makes a thread: a kill that comes now waits for the thread that takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    import uvloop

    from quietcore import stop_signals
    from quietcore.execution.process import keep_memory_secret
    from quietcore.execution.runtime import Runtime
    from quietcore.observe.status import default_path

    def warn(line: str) -> None:
        print(f"quietcore run: warning: {line}", file=sys.stderr, flush=True)

    if ordering:
        keep_memory_secret(warn)

    async def main() -> dict[str, object]:
        runtime = Runtime(
            settings,
            credentials,
            where=arguments.config,
            status_path=arguments.status or default_path(),
            seconds=arguments.seconds,
            warn=warn,
        )
        try:
            return await runtime.run()
        finally:  # the report is still to be written
            stop_signals.ignore(asyncio.get_running_loop())

    status = uvloop.run(main())
    if arguments.json:
        json.dump(status, sys.stdout)
        print()
    else:
        from rich.console import Console

        from quietcore.observe.report import whole

        Console(width=None if sys.stdout.isatty() else 100).print(whole(status))
    return ExitCode.OK


def confirm_live(sentence: str, given: str | None) -> None:
    """Raise where nobody has typed the sentence that allows real orders."""
    if given is None and sys.stdin.isatty():
        print(f"Real money. Type this to go on:\n{sentence}", file=sys.stderr)
        given = input("> ")
    if given != sentence:
        raise QuietcoreError(
            "real orders are not confirmed",
            found=repr(given) if given is not None else "nothing",
            expected=repr(sentence),
            remedy="type it at the prompt, or give it with --confirm-live (runtime_live_confirmation)",
        )
