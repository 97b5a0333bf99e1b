"""Show which CPUs do what, before anything is changed. Reads this machine, or a description of another one.

A description is a file with the output of `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE`, of `quietcore plan --json`,
or a listing of sysfs (--from); or a folder with a copied /sys and /proc (--root). A listing knows more than lscpu:
the network card's memory node, sizes of memory, disks, efficiency cores. On any machine, this saves one:

  bash -c "COMMAND" > HOST.sysfs

Exit codes: 0 planned, warnings included; 2 a wish or description that cannot be; 3 this machine cannot be read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

from ...errors import ExitCode, QuietcoreError
from ..cpulist import format_cpu_list
from ..descriptions import load_description
from ..machine import Machine
from ..plan import ISOLATED, PLACED, PURPOSE, SETS, CorePlan, plan_cores, wishes_from
from ..topology import Topology, describe
from ..tree import LISTING_COMMAND
from .picture import picture
from .table import table

__doc__ = (__doc__ or "").replace("COMMAND", LISTING_COMMAND)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--root", type=Path, default=Path("/"), metavar="FOLDER", help="read a copied tree instead of /"
    )
    source.add_argument(
        "--from", type=Path, dest="description", metavar="FILE", help="read a saved description"
    )
    parser.add_argument("--interface", default="", metavar="NAME", help="network card of the market data")
    parser.add_argument(
        "--interface-node",
        type=int,
        metavar="N",
        help="memory node of the network card, where it is not told",
    )
    parser.add_argument(
        "--housekeeping-cores", type=int, metavar="N", help="least physical cores for everything else"
    )
    for name in PLACED:
        parser.add_argument(f"--{name}-cores", type=int, metavar="N", help=f"physical cores for {name} (1)")
        parser.add_argument(
            f"--{name}-cpus", metavar="LIST", help=f"exactly these CPUs for {name}, such as 4,20"
        )
    parser.add_argument(
        "--siblings-off",
        action="append",
        choices=ISOLATED,
        metavar="SET",
        help="keep one CPU of each of this set's cores, its siblings off line (repeatable): "
        + ", ".join(ISOLATED),
    )
    parser.add_argument(
        "--json", action="store_true", help="the plan as in /etc/quietcore/plan.json, with sizes of memory"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    plan = plan_cores(_topology(arguments), wishes_from(vars(arguments)))
    if arguments.json:
        value = plan.to_json()
        print(json.dumps({**value, "topology": plan.topology.to_json()}, indent=2))
    else:
        columns = shutil.get_terminal_size((80, 40)).columns
        print(render(plan, min(max(columns, 60), 120)))
    return ExitCode.OK


def _topology(arguments: argparse.Namespace) -> Topology:
    if arguments.description is not None:
        topology = load_description(arguments.description, arguments.interface)
    else:
        topology = Machine(arguments.root).topology_for(arguments.interface)
    node = arguments.interface_node
    if node is None:
        return topology
    if node < 0:
        raise QuietcoreError(
            "no such memory node", where="--interface-node", found=node, expected="0 or more"
        )
    return replace(topology, interface_node=node)


def render(plan: CorePlan, width: int = 80) -> str:
    """Return the plan as text of at most `width` columns: the machine, who lives where, the sets, the warnings."""
    topology = plan.topology
    lines = textwrap.wrap(describe(topology), width)
    if topology.interface:
        node = f"on node {topology.interface_node}" if topology.interface_node >= 0 else "on no known node"
        lines.append(f"network card {topology.interface} {node}")
    lines += ["", *picture(plan, width), ""]
    rows = []
    for name in SETS:
        cpus = plan.sets[name]
        nodes = {cpu.node for cpu in topology.cpus if cpu.number in cpus}
        quiet = "yes" if set(cpus) <= set(plan.isolated) else "no"
        rows.append([name, format_cpu_list(cpus), format_cpu_list(nodes), quiet, PURPOSE[name]])
    lines.append(table(["set", "CPUs", "node", "isolated", "for"], rows, width))
    for warning in plan.warnings:
        lines += textwrap.wrap(f"warning: {warning}", width, subsequent_indent="         ")
    return "\n".join(lines)
