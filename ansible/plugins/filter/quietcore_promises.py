"""Turns a dictionary of names and wanted values into promises for `quietcore_host_state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: quietcore_promises
short_description: Turn names and wanted values into promises
description: Each item of a dictionary becomes a setting of the given kind; one without a value is left out.
positional: kind, role, variable, why
options:
  _input:
    description: Wanted values by name.
    type: dict
    required: true
  kind:
    description: Kind of setting, such as C(sysctl).
    type: str
    required: true
  role:
    description: The role, which begins each setting's id.
    type: str
    required: true
  variable:
    description: The inventory variable that the dictionary is.
    type: str
    required: true
  why:
    description: Reasons by name; a name that is not in it was wished for by the inventory.
    type: dict
    required: true
"""

EXAMPLES = r"""
settings: "{{ sysctl_settings | quietcore_promises('sysctl', 'sysctl', 'sysctl_settings', {}) }}"
"""

RETURN = r"""
_value:
  description: The promises, in the order of the names.
  type: list
  elements: dict
"""


def promises(
    wanted: Mapping[str, Any], kind: str, role: str, variable: str, why: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one promise for each name that has a value."""
    if not isinstance(wanted, Mapping):
        raise AnsibleFilterError(
            f"{variable}: found {type(wanted).__name__}; expected names with their values"
        )
    settings: list[dict[str, Any]] = []
    for name in sorted(wanted):
        value = wanted[name]
        if value is None:
            continue
        if isinstance(value, (bool, dict, list)):
            raise AnsibleFilterError(f"{variable}: {name}: found {value!r}; expected a number or a text")
        settings.append(
            {
                "id": f"{role}.{name}",
                "kind": kind,
                "name": name,
                "wanted": str(value),
                "why": why.get(name, "wanted by the inventory"),
                "variable": variable,
            }
        )
    return settings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"quietcore_promises": promises}
