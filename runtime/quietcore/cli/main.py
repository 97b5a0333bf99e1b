"""Entry point: finds the command's module, parses its arguments, turns errors into exit codes.

A command is a module with ``add_arguments(parser)`` and ``run(arguments) -> int``; it is imported only when it
is asked for, so that `quietcore audit` needs nothing but the standard library and starts at once.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from quietcore import __version__, shortage
from quietcore.errors import ExitCode, QuietcoreError


class Command(NamedTuple):
    """Where a command lives and its line in the list of commands."""

    module: str
    summary: str
    systems: tuple[str, ...] = ("linux",)  # values of sys.platform


ANYWHERE = ("linux", "darwin", "win32")
UNIX = ("linux", "darwin")

COMMANDS: dict[str, Command] = {
    # the host
    "plan": Command(
        "quietcore.host.cli.plan", "show which CPUs do what, before anything is changed", ANYWHERE
    ),
    "apply": Command("quietcore.host.cli.apply", "write the live settings that the roles promised"),
    "audit": Command(
        "quietcore.host.cli.audit", "compare the host's effective state with what the roles promised"
    ),
    "gate": Command("quietcore.host.cli.gate", "the audit as units meet it before they start"),
    "revert": Command("quietcore.host.cli.revert", "put back what was there before the first change"),
    "boot": Command("quietcore.host.cli.boot", "the trial of new boot parameters: show, wait, retry"),
    "switch": Command("quietcore.host.cli.switch", "switch to another release, or back to the previous one"),
    "pin": Command("quietcore.host.cli.pin", "let processes run on certain CPUs only, and read them back"),
    # the pipeline
    "sim": Command(
        "quietcore.sim.cli", "a venue on this machine: replays a recording or generates a session", UNIX
    ),
    "run": Command("quietcore.cli.run", "the runtime: read ticks, compute signals, send orders"),
    "backtest": Command(
        "quietcore.cli.backtest", "run a strategy over a recording, through the live risk checks"
    ),
    "kill": Command("quietcore.cli.kill", "switch trading off, cancel everything, stay off until cleared"),
    "clear": Command("quietcore.cli.clear", "clear the kill switch"),
    "guard": Command("quietcore.cli.guard", "cancel everything when the runtime's heartbeat stops"),
    "status": Command("quietcore.cli.status", "show the pipeline of this host, once or live"),
    "top": Command("quietcore.cli.top", "a live screen of this host: cores, latencies, books, orders, audit"),
    "web": Command("quietcore.cli.web", "serve a read-only page of this host, live"),
    "metrics": Command("quietcore.cli.metrics", "serve this host's state to Prometheus"),
    "profile": Command("quietcore.cli.profile", "where a process spends its time, or a command its memory"),
    "tally": Command(
        "quietcore.cli.tally", "read a feed's ring: tick counts, ladders and their running hash"
    ),
    "local": Command(
        "quietcore.cli.local", "simulator, feed handler and runtime on this machine, nothing changed on it"
    ),
    "scout": Command(
        "quietcore.cli.scout", "measure which of a venue's endpoints answers fastest from here", UNIX
    ),
    # what it all comes to
    "latency": Command("quietcore.cli.latency", "how long each hop of the pipeline takes, by hop or symbol"),
    "jitter": Command("quietcore.cli.jitter", "measure who interrupts a core, how often and how long"),
    "bench": Command("quietcore.cli.bench", "measure a configuration, and what a change of it has done"),
    "targets": Command(
        "quietcore.cli.targets", "measure the project's targets: met, missed, or why not here"
    ),
    "soak": Command("quietcore.cli.soak", "load this machine's pipeline: latencies, losses, capacity"),
    "new": Command("quietcore.cli.new", "begin a strategy of your own, or check one", UNIX),
    # the throw-away host and the release
    "vhost": Command("quietcore.vhost.cli", "make, boot, enter and remove the throw-away virtual host"),
    "release": Command("quietcore.release.cli", "pack feed handler and runtime for a target host"),
    "demo": Command("quietcore.cli.demo", "provision the throw-away host and show the pipeline on it"),
}


class UsageError(QuietcoreError):
    """A command line that cannot be understood, with the usage of the command that it names."""

    usage = ""


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of ending the program, so that wrong usage is told as every other error is."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        error = UsageError(message, remedy=f"{self.prog} --help")
        error.usage = self.format_usage()
        raise error


def overview() -> str:
    """Return the list of commands, as `quietcore --help` prints it."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return f"""usage: quietcore COMMAND [OPTION…]

A quiet, low-latency trading host and the feed-to-order pipeline on it.

commands:
{rows}

`quietcore COMMAND --help` describes one. Exit codes: 0 ok, 1 found something (drift, failed comparison),
2 wrong usage or configuration, 3 could not tell.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return ExitCode.OK if words else ExitCode.USAGE
    if words[0] in ("-V", "--version"):
        print(f"quietcore {__version__}")
        return ExitCode.OK
    command = COMMANDS.get(words[0])
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    if command is None:
        near = difflib.get_close_matches(words[0], COMMANDS, 1)
        error = QuietcoreError(
            "unknown command",
            found=repr(words[0]),
            remedy=(f"did you mean {near[0]}? " if near else "") + "`quietcore --help` lists them",
        )
        return failed("", error, as_json)
    try:
        if sys.platform not in command.systems:
            raise QuietcoreError(
                "not on this system",
                where=sys.platform,
                expected=" or ".join(command.systems),
                remedy="run it on a Linux machine; `quietcore plan --help` says what a saved description is good for",
            )
        shortage.check_limits(words[0])
        module = importlib.import_module(command.module)
        parser = Parser(
            prog=f"quietcore {words[0]}",
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        try:
            chosen = parser.parse_args(words[1:])
        except UsageError as error:
            print(error.usage, end="", file=sys.stderr)
            return failed(words[0], error, as_json)
        code = int(module.run(chosen))
        sys.stdout.flush()  # what cannot be written is found here, and not when nobody can say so any more
        return code
    except QuietcoreError as error:
        return failed(words[0], error, as_json)
    except KeyboardInterrupt:
        print(f"\nquietcore {words[0]}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not our failure, and nothing more can be said.
        forget_output()
        return ExitCode.OK
    except Exception as error:
        what = shortage.explain(error)
        if what is None:
            raise  # a fault of ours: where it is says most
        code = failed(words[0], QuietcoreError(what, code=ExitCode.UNKNOWN), as_json)
        forget_output()
        return code


def failed(command: str, error: QuietcoreError, as_json: bool) -> int:
    """Say an error in one line, and as a JSON object where JSON was asked for; return its exit code."""
    say(command, str(error))
    if as_json:
        with contextlib.suppress(OSError, ValueError):
            print(json.dumps({"error": error.parts()}), flush=True)
    return error.code


def say(command: str, line: str) -> None:
    """Print one line to standard error, where that takes it."""
    with contextlib.suppress(OSError, ValueError):
        print(f"quietcore {command}".rstrip() + f": {line}", file=sys.stderr, flush=True)


def forget_output() -> None:
    """Let what standard output still holds go nowhere: Python would fail on it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
