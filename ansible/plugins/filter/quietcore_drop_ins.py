"""Turns systemd units and the lines wanted in them into promises of drop-in files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: quietcore_drop_ins
short_description: Turn units and wanted lines into promises of drop-in files
description: Each unit gets one file of the role's own, C(/etc/systemd/system/UNIT.d/50-quietcore-ROLE.conf).
positional: role, variable, why
options:
  _input:
    description: Lines by section (C(Service), C(Unit)) by unit; a unit without lines is left out.
    type: dict
    required: true
  role:
    description: The role, which begins each setting's id.
    type: str
    required: true
  variable:
    description: The inventory variable that the units come from.
    type: str
    required: true
  why:
    description: What the lines are for.
    type: str
    required: true
"""

EXAMPLES = r"""
settings: "{{ {'chrony.service': {'Service': ['CPUAffinity=0-1']}}
              | quietcore_drop_ins('time_sync', 'time_sync_cpus', 'time keeping stays off the isolated CPUs') }}"
"""

RETURN = r"""
_value:
  description: The promises, in the order of the units' names.
  type: list
  elements: dict
"""

HEAD = "# Written by Quietcore; `quietcore revert` removes it. Edits are lost.\n"


def drop_ins(
    units: Mapping[str, Mapping[str, list[str]]], role: str, variable: str, why: str
) -> list[dict[str, Any]]:
    """Return one promise for each unit that has lines."""
    if not isinstance(units, Mapping):
        raise AnsibleFilterError(f"{variable}: found {type(units).__name__}; expected units with their lines")
    settings: list[dict[str, Any]] = []
    for unit in sorted(units):
        if "/" in unit or "." not in unit or any(letter.isspace() for letter in unit):
            raise AnsibleFilterError(f"{variable}: found {unit!r}; expected a unit such as chrony.service")
        sections = {name: lines for name, lines in units[unit].items() if lines}
        if not sections:
            continue
        body = "\n".join(
            "\n".join([f"[{name}]", *lines, ""]) for name, lines in sorted(sections.items(), reverse=True)
        )
        settings.append(
            {
                "id": f"{role}.drop_in.{unit}",
                "kind": "file",
                "name": f"/etc/systemd/system/{unit}.d/50-quietcore-{role.replace('_', '-')}.conf",
                "wanted": HEAD + body,
                "why": why,
                "variable": variable,
            }
        )
    return settings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"quietcore_drop_ins": drop_ins}
