"""Turns network cards and the values wanted of their parts into promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: quietcore_network_cards
short_description: Turn network cards and wanted values into promises
description: Each card gets a promise for each part that has values, and one for its file in C(/etc/systemd/network).
positional: parts, prefix
options:
  _input:
    description: Interfaces.
    type: list
    elements: str
    required: true
  parts:
    description: What is wanted of each part and why, by part.
    type: dict
    required: true
  prefix:
    description: Beginning of the file's name.
    type: str
    required: true
"""

EXAMPLES = r"""
settings: "{{ ['eth0'] | quietcore_network_cards({'ring': {'wanted': {'rx': 4096}, 'why': 'x'}}, '10-quietcore') }}"
"""

RETURN = r"""
_value:
  description: The promises, in the order of the interfaces.
  type: list
  elements: dict
"""


def network_cards(
    interfaces: list[str], parts: Mapping[str, Mapping[str, Any]], prefix: str
) -> list[dict[str, Any]]:
    """Return the promises."""
    settings: list[dict[str, Any]] = []
    for interface in interfaces:
        if not isinstance(interface, str) or "/" in interface:
            raise AnsibleFilterError(f"network_interfaces: found {interface!r}; expected names of interfaces")
        chosen = {part: item for part, item in parts.items() if item["wanted"]}
        if chosen:
            settings.append(
                {
                    "id": f"network.{interface}.link",
                    "kind": "network_link",
                    "name": interface,
                    "wanted": f"/etc/systemd/network/{prefix}-{interface}.link",
                    "why": "the card has these values from the start of each boot",
                    "variable": "network_interfaces",
                }
            )
        settings += [
            {
                "id": f"network.{interface}.{part}",
                "kind": "network_card",
                "name": f"{interface}:{part}",
                "wanted": dict(item["wanted"]),
                "why": item["why"],
                "variable": f"network_{part}",
            }
            for part, item in chosen.items()
        ]
    return settings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"quietcore_network_cards": network_cards}
