"""Pack feed handler and runtime for a target host.

`quietcore release pack` writes the release itself, the third-party packages that it runs with, which change
seldom, and the runtime's machine code for a CPU level. All are named by their content, so packing the same thing
twice does nothing. The role `release` calls this with the facts of each host, copies the archives there and
switches the host over.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from quietcore.errors import ExitCode
from quietcore.release.pack import pack
from quietcore.release.strategy import wish_of
from quietcore.release.target import Target

ROOT = Path(__file__).resolve().parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    here = Target.here()
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("pack", help="pack a release for a target", description=__doc__)
    action.add_argument(
        "--machine", default=here.machine, help="as `uname -m` prints it (default: %(default)s)"
    )
    action.add_argument("--python", default=".".join(map(str, here.python)), help="default: %(default)s")
    action.add_argument("--glibc", default=".".join(map(str, here.glibc)), help="default: %(default)s")
    action.add_argument(
        "--feed", type=Path, default=ROOT / "build/bin/quietcore-feed", help="default: %(default)s"
    )
    action.add_argument(
        "--cpu-level",
        default="x86-64-v2",
        help="level that the runtime is compiled for (default: %(default)s)",
    )
    action.add_argument(
        "--strategy",
        default="crossing",
        metavar="NAME|FILE.py",
        help="one that ships (crossing, panic), or a file of your own, which is packed (default: %(default)s)",
    )
    action.add_argument(
        "--parameters",
        default="{}",
        metavar="JSON",
        help="what the strategy will be given (default: %(default)s)",
    )
    action.add_argument("--out", type=Path, default=ROOT / "build/release", help="default: %(default)s")
    action.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Pack and say what came of it."""
    target = Target.parse(arguments.machine, arguments.python, arguments.glibc)
    wish = wish_of(arguments.strategy, arguments.parameters)
    release = pack(ROOT, arguments.feed.resolve(), target, arguments.cpu_level, arguments.out.resolve(), wish)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(release), indent=1))
    else:
        print(f"release {release.version} for {target}: {'packed' if release.built else 'already packed'}")
        print(f"  {release.archive}")
        print(f"  {release.packages_archive}")
        print(
            f"  {release.machine_code_archive or 'no machine code: the target compiles at its first start'}"
        )
    return ExitCode.OK
