"""What each role promises of a machine, as Ansible itself renders it from the role's defaults and constants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

from quietcore.host.plan import CorePlan

ROOT = Path(__file__).resolve().parents[2]
init_plugin_loader([])
filter_loader.add_directory(str(ROOT / "ansible/plugins/filter"))
Setting = dict[str, Any]


def plan_result(plan: CorePlan) -> dict[str, Any]:
    """Return what the role core_plan gives the others."""
    topology = plan.topology
    nodes = {str(node): kib for node, kib in enumerate(topology.node_memory_kib) if kib}
    value = {**plan.to_json(), "lists": plan.lists(), "memory_kib": topology.memory_kib, "nodes": nodes}
    return dict(json.loads(json.dumps(value)))


def rendered(role: str, plan: CorePlan, given: Mapping[str, Any] | None = None) -> list[Setting]:
    """Return a role's promises for a plan; `given` is what the inventory sets."""
    loader = DataLoader()
    folder = ROOT / "roles" / role
    variables: dict[str, Any] = {"core_plan_result": plan_result(plan), "inventory_hostname": "host"}
    for part in ("defaults", "vars"):
        path = folder / part / "main.yml"
        if path.is_file():
            variables.update(loader.load_from_file(str(path), trusted_as_template=True) or {})
    variables.update(given or {})
    variables["ansible_search_path"] = [str(folder)]
    variables["role_path"] = str(folder)
    templar = Templar(loader=loader, variables=variables)
    settings = templar.template(trust_as_template("{{ __" + role + "_settings }}"))
    return list(json.loads(json.dumps(settings)))
