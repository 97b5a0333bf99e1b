"""Begin a strategy of your own, or check one.

`quietcore new strategy NAME` writes NAME.py and test_NAME.py: a strategy that works as it is, to be changed.
`quietcore new strategy NAME --python` writes one in plain Python, without compiled code. Nothing is overwritten.

`quietcore new check FILE.py` imports a strategy, compiles it, and runs it over a generated session; this is what
happens to `quietcore_strategy` of an inventory before it is packed. Exit codes: 0 it works, 1 it does not, 2 wrong
usage.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    strategy = actions.add_parser("strategy", help="write a strategy and its test", description=__doc__)
    strategy.add_argument("name", metavar="NAME", help="lower-case letters, digits and _")
    strategy.add_argument("--python", action="store_true", help="plain Python, nothing compiled")
    strategy.add_argument(
        "--into", type=Path, default=Path(), metavar="FOLDER", help="where to (default: here)"
    )
    strategy.add_argument("--json", action="store_true", help="name the files as one JSON object")
    check = actions.add_parser("check", help="compile a strategy and run it over a generated session")
    check.add_argument("file", type=Path, metavar="FILE.py")
    check.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=NUMBER", help="in place of its default"
    )
    check.add_argument("--json", action="store_true", help="the outcome as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return write(arguments) if arguments.action == "strategy" else check(arguments)


def write(arguments: argparse.Namespace) -> int:
    """Write a new strategy and its test."""
    from quietcore.strategy.scaffold import files

    if not NAME.fullmatch(arguments.name):
        raise QuietcoreError(
            "bad name of a strategy",
            found=repr(arguments.name),
            expected="lower-case letters, digits and _, beginning with a letter, at most 40",
        )
    texts = {
        arguments.into / name: text for name, text in files(arguments.name, python=arguments.python).items()
    }
    for path in texts:
        if path.exists():
            raise QuietcoreError(
                "file is there already", where=str(path), remedy="choose another name, or remove it"
            )
    try:
        arguments.into.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise QuietcoreError("cannot write", where=str(arguments.into), found=error.strerror) from error
    strategy, test = texts
    if arguments.json:
        print(json.dumps({"strategy": str(strategy), "test": str(test)}))
    else:
        print(
            f"{strategy}\n{test}\n\nTry it:    pytest {test}\nRun it:    quietcore local --strategy {strategy}"
        )
        print(f"Deploy it: quietcore_strategy: {strategy}   (in the inventory)")
    return ExitCode.OK


def check(arguments: argparse.Namespace) -> int:
    """Try a strategy out."""
    from quietcore.strategy.choice import from_file, parameter
    from quietcore.strategy.trial import try_out

    outcome = try_out(from_file(arguments.file), dict(map(parameter, arguments.parameter)))
    if arguments.json:
        print(json.dumps(outcome._asdict()))
    else:
        print(f"{outcome.name}: works; {outcome.wishes} wishes in {outcome.ticks} generated ticks")
    return ExitCode.OK
