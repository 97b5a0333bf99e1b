"""Switch this host to another of its releases; without a name, back to the previous one.

The release must start on this host, else nothing is switched. Units of the pipeline that run are restarted. Exit
codes: 0 switched, or already in use; 1 the release does not start here; 2 no such release.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...errors import ExitCode
from ..machine import Machine, exclusive
from ..releases import check_starts, chosen, prune, read_releases, stale, switch
from ..units import systemctl

UNITS = (
    "quietcore-sim.service",
    "quietcore-feed@*.service",
    "quietcore-runtime.service",
    # As patterns, for a host need not have them.
    "quietcore-metrics*.service",
    "quietcore-web*.service",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("version", nargs="?", help="the release; without it, the previous one")
    parser.add_argument("--list", action="store_true", help="only show what is installed")
    parser.add_argument("--check", action="store_true", help="only tell what would be done")
    parser.add_argument("--no-restart", action="store_true", help="leave running units on the release so far")
    parser.add_argument(
        "--prune", action="store_true", help="remove all releases but the current and the previous one"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="work on a copied tree instead of /"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Switch, say what was done, return the exit code."""
    return switch_over(Machine(arguments.root), arguments)


def switch_over(machine: Machine, arguments: argparse.Namespace) -> int:
    """Do it on a machine."""
    before = read_releases(machine)
    version, removed, restarted = before.current, [], False
    if not arguments.list:
        with exclusive(machine):
            version = chosen(before, arguments.version)
            if version != before.current:
                check_starts(machine, version)
                if not arguments.check:
                    switch(machine, version)
                    restarted = not arguments.no_restart
                    if restarted:
                        systemctl(machine, "try-restart", *UNITS)
            if arguments.prune:
                removed = stale(machine, version)
                if not arguments.check:
                    prune(machine, removed)
    after = read_releases(machine)
    value = {
        "version": 1,
        "changed": version != before.current or bool(removed),
        "switched": version != before.current,
        "current": after.current,
        "previous": after.previous,
        "releases": list(after.versions),
        "removed": removed,
        "restarted": restarted,
    }
    if arguments.json:
        print(json.dumps(value, indent=2))
        return ExitCode.OK
    for name in after.versions:
        mark = {after.current: "current", after.previous: "previous"}.get(name, "")
        print(f"{name:<32} {mark}".rstrip())
    if value["switched"]:
        print(
            f"{'would switch' if arguments.check else 'switched'} from {before.current or 'none'} to {version}"
        )
    for path in removed:
        print(f"{'would remove' if arguments.check else 'removed'} {path}")
    return ExitCode.OK
