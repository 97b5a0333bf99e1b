#!/usr/bin/python
"""Ansible's front of the core planner."""

from __future__ import annotations

DOCUMENTATION = r"""
module: quietcore_core_plan
short_description: Plan which CPUs do what, and write the plan to the host
description:
  - Reads the host's sockets, memory nodes, cores and siblings and the place of its network card.
  - Writes C(/etc/quietcore/plan.json), which all roles and units read.
  - Refuses sets that can never be isolated (CPU 0, all CPUs, unknown CPUs, half a core).
options:
  interface:
    description: Network card that market data arrives on; empty for that of the default route.
    type: str
    default: ""
  housekeeping_cores:
    description: Least number of physical cores for everything else.
    type: int
    default: 1
  cores:
    description: Physical cores for each of irq, feed, strategy and gateway.
    type: dict
    default: {}
  cpus:
    description: Exactly these CPUs, as a list such as C(4,20), for any of irq, feed, strategy and gateway.
    type: dict
    default: {}
  siblings_off:
    description: Sets that keep one CPU of each of their cores; the siblings are to be taken offline.
    type: list
    elements: str
    choices: [feed, strategy, gateway]
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - Quietcore
"""

EXAMPLES = r"""
- name: Plan the cores
  quietcore_core_plan:
    interface: eth1
    cores: {feed: 2}
  register: plan
"""

RETURN = r"""
plan:
  description: The plan as in the file, C(lists), the same sets in the kernel's list form, and C(memory_kib).
  type: dict
  returned: success
picture:
  description: The plan as `quietcore plan` shows it, line by line.
  type: list
  elements: str
  returned: success
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.quietcore.installed import prefer_installed

prefer_installed()

from ansible.module_utils.quietcore.errors import QuietcoreError
from ansible.module_utils.quietcore.host.cli.plan import render
from ansible.module_utils.quietcore.host.converge import promise
from ansible.module_utils.quietcore.host.machine import PLAN, Machine
from ansible.module_utils.quietcore.host.module_result import failure_message, outcome_result
from ansible.module_utils.quietcore.host.plan import ISOLATED, PLACED, plan_cores, wishes_from
from ansible.module_utils.quietcore.host.topology import Topology


def sizes(topology: Topology) -> dict[str, object]:
    """Return memory and nodes: they are no part of the file, because they differ a little at each boot."""
    nodes = {str(node): kib for node, kib in enumerate(topology.node_memory_kib) if kib}
    return {"memory_kib": topology.memory_kib, "nodes": nodes}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "default": ""},
            "housekeeping_cores": {"type": "int", "default": 1},
            "cores": {"type": "dict", "default": {}, "options": {name: {"type": "int"} for name in PLACED}},
            "cpus": {"type": "dict", "default": {}, "options": {name: {"type": "str"} for name in PLACED}},
            "siblings_off": {"type": "list", "elements": "str", "choices": list(ISOLATED), "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    wishes = {f"{name}_{kind}": value for kind in ("cores", "cpus") for name, value in given[kind].items()}
    machine = Machine()
    try:
        topology = machine.topology_for(given["interface"])
        wishes["housekeeping_cores"] = given["housekeeping_cores"]
        wishes["siblings_off"] = given["siblings_off"]
        plan = plan_cores(topology, wishes_from(wishes))
        content = json.dumps(plan.to_json(), indent=2, sort_keys=True) + "\n"
        setting = {
            "id": "core_plan.file",
            "kind": "file",
            "name": PLAN,
            "wanted": content,
            "why": "all roles and units read from it which CPUs are theirs",
        }
        outcome = promise(machine, "core_plan", [setting], check=module.check_mode, where="core_plan")
    except QuietcoreError as error:
        module.fail_json(msg=failure_message(error), exit_code=int(error.code))
    result = outcome_result(outcome)
    result["plan"] = {**plan.to_json(), "lists": plan.lists(), **sizes(topology)}
    result["picture"] = render(plan).splitlines()
    if outcome.failures:
        module.fail_json(msg="; ".join(outcome.failures), **result)
    for warning in plan.warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
