"""Turns systemd units and the CPUs that they are to run on into promises: a drop-in, and where their threads are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: quietcore_pinned_units
short_description: Turn units and their CPUs into promises
description: Two promises for each unit, its drop-in file and where the threads of its processes may run.
positional: role, cpus, variable, why
options:
  _input:
    description: The units.
    type: list
    elements: str
    required: true
  role:
    description: The role, which begins each setting's id.
    type: str
    required: true
  cpus:
    description: The CPUs, as a list such as C(0-1).
    type: str
    required: true
  variable:
    description: The inventory variable that the CPUs come from.
    type: str
    required: true
  why:
    description: What it is for.
    type: str
    required: true
"""

EXAMPLES = r"""
settings: "{{ ['chrony.service'] | quietcore_pinned_units('time_sync', '0-1', 'time_sync_cpus', 'it is quiet') }}"
"""

RETURN = r"""
_value:
  description: The promises, in the order of the units.
  type: list
  elements: dict
"""

HEAD = "# Written by Quietcore; `quietcore revert` removes it. Edits are lost.\n"


def pinned_units(units: list[str], role: str, cpus: str, variable: str, why: str) -> list[dict[str, Any]]:
    """Return the promises."""
    settings: list[dict[str, Any]] = []
    for unit in units:
        if "/" in unit or not unit.endswith(".service"):
            raise AnsibleFilterError(f"{variable}: found {unit!r}; expected a service such as chrony.service")
        common = {"why": why, "variable": variable}
        path = f"/etc/systemd/system/{unit}.d/50-quietcore-{role.replace('_', '-')}.conf"
        content = HEAD + f"[Service]\nCPUAffinity={cpus}\n"
        settings += [
            {"id": f"{role}.drop_in.{unit}", "kind": "file", "name": path, "wanted": content, **common},
            {
                "id": f"{role}.threads.{unit}",
                "kind": "threads",
                "name": f"unit:{unit}",
                "wanted": cpus,
                **common,
            },
        ]
    return settings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"quietcore_pinned_units": pinned_units}
