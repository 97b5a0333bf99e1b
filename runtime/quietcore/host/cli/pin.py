"""Find processes, let all their threads run on certain CPUs only, and read each thread back.

A process is named by its number, by its systemd unit (--unit, a pattern such as 'quietcore-feed@*.service') or by
its name (--name, a pattern too; the kernel keeps 15 letters of a name). Several may be given; all that match are
taken, with every thread that they have at that moment. A thread that starts later inherits the CPUs of the one that
started it.

The CPUs are those of a set of the core plan (--set), or a list (--cpus). CPUs that do not exist or are off line are
refused before anything is moved.

What the table says of each thread:
  pinned         moved, and the kernel says so
  already there  nothing to do
  refused        not moved, or not where it was wanted; the reason stands beside it: not permitted, a thread of the
                 kernel that stays on its CPU, a control group (cpuset) that has other CPUs, a daemon that moved it back
  ended          it ended meanwhile
  as it is       only shown (--show, --check)

Nothing of this outlives the process: what is to hold after a restart belongs into the unit's CPUAffinity=. A thread
on an isolated CPU that is not of the pipeline's units is a finding of `quietcore audit`, unless its name is listed in
`isolation_guests`.

examples:
  quietcore pin 4711 --set strategy
  quietcore pin --unit chrony.service --set housekeeping
  quietcore pin --name 'python3*' --cpus 0-1 --check
  quietcore pin --unit 'quietcore-*' --show --json

exit codes: 0 every thread is where it was wanted, 1 something refused or nothing matched, 2 wrong usage or unknown
CPUs, 3 processes could not be read
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...errors import ExitCode, QuietcoreError
from ..cpulist import parse_cpu_list
from ..machine import PLAN, AbsentError, Machine, UnreadableError
from ..pinning import ENDED, REFUSED, Pinned, find, listed, pin, planned, show
from ..plan import SETS
from .table import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("pids", nargs="*", type=_number, metavar="PID", help="number of a process")
    parser.add_argument(
        "--unit", action="append", default=[], metavar="UNIT", help="its systemd unit (repeatable)"
    )
    parser.add_argument("--name", action="append", default=[], metavar="NAME", help="its name (repeatable)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--set", choices=SETS, dest="planned", help="the CPUs of this set of the core plan")
    where.add_argument("--cpus", metavar="LIST", help="these CPUs, such as 0-1,4")
    where.add_argument("--show", action="store_true", help="only show where they may run")
    parser.add_argument("--check", action="store_true", help="only tell what would be moved")
    parser.add_argument("--plan", default=PLAN, metavar="FILE", help=f"the core plan ({PLAN})")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the number of a process; --name and --unit take names"
        )
    return int(text)


def run(arguments: argparse.Namespace, machine: Machine | None = None) -> int:
    """Pin, print what became of each thread, return the exit code."""
    host = machine or Machine()
    if not (arguments.pids or arguments.unit or arguments.name):
        raise QuietcoreError("nothing to pin", expected="a PID, --unit or --name", remedy="see --help")
    cpus = None
    if not arguments.show:
        plan = arguments.plan if arguments.plan == PLAN else str(Path(arguments.plan).absolute())
        cpus = (
            listed(host, arguments.cpus)
            if arguments.cpus is not None
            else planned(host, arguments.planned, plan)
        )
    threads, missing = find(host, arguments.pids, arguments.unit, arguments.name)
    lines = show(threads) if cpus is None else pin(host, threads, cpus, arguments.check)
    refused = [line for line in lines if line.result == REFUSED]
    code = ExitCode.FOUND if refused or missing else ExitCode.OK
    if arguments.json:
        value = {
            "version": 1,
            "exit": int(code),
            "missing": missing,
            "threads": [line.__dict__ for line in lines],
        }
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return code
    if lines:
        print(_render(lines))
    for what in missing:
        print(f"not found: {what}")
    gone = sum(line.result == ENDED for line in lines)
    print(f"{len(lines)} threads, {len(refused)} refused" + (f", {gone} ended meanwhile" if gone else ""))
    _warn(host, arguments.plan, lines)
    return code


def _render(lines: list[Pinned]) -> str:
    header = ["PID", "thread", "name", "unit", "CPUs before", "wanted", "CPUs now", "result", "reason"]
    rows = [
        [
            str(line.pid), str(line.tid), line.name, line.unit, line.before, line.wanted, line.after, line.result,
            line.reason,
        ]
        for line in lines
    ]  # fmt: skip
    keep = [index for index in range(len(header)) if index < 8 or any(row[index] for row in rows)]
    return table([header[index] for index in keep], [[row[index] for index in keep] for row in rows])


def _warn(machine: Machine, path: str, lines: list[Pinned]) -> None:
    """Say where a process that is not of the pipeline came to an isolated CPU."""
    try:
        isolated = set(json.loads(machine.read(path))["isolated"])
    except (AbsentError, UnreadableError, ValueError, KeyError, TypeError):
        return  # only a remark: without a plan there is none to make
    names = sorted(
        {
            line.name
            for line in lines
            if line.after and parse_cpu_list(line.after) & isolated and not line.unit.startswith("quietcore-")
        }
    )
    if names:
        print(f"note: {', '.join(names)} may run on isolated CPUs: the audit reports that (see --help)")
