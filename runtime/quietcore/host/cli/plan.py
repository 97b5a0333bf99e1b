"""Show which CPUs do what, before anything is changed. Reads this machine, or a description saved from
another one.

A description is the output of `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE`, of `quietcore plan --json`, or a
copied
tree with its /sys (--root).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...errors import ExitCode
from ..cpulist import format_cpu_list
from ..plan import PLACED, PURPOSE, SETS, CorePlan, plan_cores, wishes_from
from ..topology import describe, load_description, read_topology
from .table import table


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
    parser.add_argument("--interface-node", type=int, metavar="N", help="memory node of the network card")
    parser.add_argument(
        "--housekeeping-cores", type=int, metavar="N", help="least physical cores for everything else"
    )
    for name in PLACED:
        parser.add_argument(f"--{name}-cores", type=int, metavar="N", help=f"physical cores for {name} (1)")
        parser.add_argument(
            f"--{name}-cpus", metavar="LIST", help=f"exactly these CPUs for {name}, such as 4,20"
        )
    parser.add_argument(
        "--json", action="store_true", help="the plan as JSON, as in /etc/quietcore/plan.json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    if arguments.description is not None:
        topology = load_description(arguments.description, arguments.interface_node)
    else:
        topology = read_topology(arguments.root, arguments.interface)
    plan = plan_cores(topology, wishes_from(vars(arguments)))
    print(json.dumps(plan.to_json(), indent=2) if arguments.json else render(plan))
    return ExitCode.OK


def render(plan: CorePlan) -> str:
    """Return the plan as text: the machine, who lives on which core, the sets, the warnings."""
    lines = [describe(plan.topology)]
    if plan.topology.interface:
        node = plan.topology.interface_node
        lines.append(
            f"network card {plan.topology.interface}, memory node {node if node >= 0 else 'unknown'}"
        )
    lines += ["", *_picture(plan), ""]
    rows = []
    for name in SETS:
        cpus = format_cpu_list(plan.sets[name])
        rows.append(
            [name, cpus, "yes" if set(plan.sets[name]) <= set(plan.isolated) else "no", PURPOSE[name]]
        )
    lines.append(table(["set", "CPUs", "isolated", "for"], rows))
    lines += [f"warning: {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def _picture(plan: CorePlan) -> list[str]:
    """One line a memory node: each physical core with its CPUs and the first letter of its set."""
    letters = {cpu: name[0].upper() for name in reversed(SETS) for cpu in plan.sets[name]}
    lines: list[str] = []
    cores = plan.topology.cores()
    for package in sorted({cpu.package for cpu in plan.topology.online()}):
        for node in plan.topology.nodes():
            inside = [cpus for cpus in cores.values() if (cpus[0].package, cpus[0].node) == (package, node)]
            if not inside:
                continue
            head = f"package {package} node {node}  "
            cells = [
                f"[{'+'.join(str(cpu.number) for cpu in cpus)} {letters[cpus[0].number]}]" for cpus in inside
            ]
            for start in range(0, len(cells), 8):
                lines.append((head if start == 0 else " " * len(head)) + " ".join(cells[start : start + 8]))
    lines.append("H housekeeping · I irq · F feed · S strategy · G gateway")
    return lines
