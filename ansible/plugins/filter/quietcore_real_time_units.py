"""Turns the limits and priorities of systemd units into promises: their drop-ins, and what their processes have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: quietcore_real_time_units
short_description: Turn limits and priorities of units into promises
description: Two promises for each unit, its drop-in file and what its running processes have.
positional: memlock, nofile, rtprio, priorities
options:
  _input:
    description: The units.
    type: list
    elements: str
    required: true
  memlock:
    description: KiB that may be locked, or C(unlimited).
    type: str
    required: true
  nofile:
    description: Files that may be open.
    type: int
    required: true
  rtprio:
    description: Highest real-time priority that may be asked for.
    type: int
    required: true
  priorities:
    description: FIFO priority by unit.
    type: dict
    required: true
"""

EXAMPLES = r"""
settings: "{{ ['quietcore-feed@.service'] | quietcore_real_time_units('unlimited', 65536, 49, {}) }}"
"""

RETURN = r"""
_value:
  description: The promises.
  type: list
  elements: dict
"""

HEAD = "# Written by Quietcore; `quietcore revert` removes it. Edits are lost.\n"


def real_time_units(
    units: list[str], memlock: str, nofile: int, rtprio: int, priorities: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the promises, in the order of the units' names."""
    unknown = sorted(set(priorities) - set(units))
    if unknown:
        raise AnsibleFilterError(
            f"real_time_priorities: found {', '.join(unknown)}; expected units of real_time_units: "
            f"{', '.join(sorted(units)) or 'none'}"
        )
    settings: list[dict[str, Any]] = []
    for unit in sorted(units):
        name = re.fullmatch(r"([A-Za-z0-9:_.-]+@?)\.service", unit)
        if name is None:
            raise AnsibleFilterError(
                f"real_time_units: found {unit!r}; expected a service such as chrony.service"
            )
        priority = priorities.get(unit)
        scheduling = "other" if priority is None else f"fifo {priority}"
        # systemd counts locked memory in bytes, limits.conf in KiB.
        locked = "infinity" if memlock == "unlimited" else f"{memlock}K"
        lines = [f"LimitMEMLOCK={locked}", f"LimitNOFILE={nofile}", f"LimitRTPRIO={rtprio}"]
        if priority is not None:
            lines += ["CPUSchedulingPolicy=fifo", f"CPUSchedulingPriority={priority}"]
        wanted = {"nofile": str(nofile), "rtprio": str(rtprio), "scheduling": scheduling}
        wanted["memlock"] = memlock if memlock == "unlimited" else str(int(memlock) * 1024)
        pattern = f"{name[1]}*.service" if name[1].endswith("@") else unit
        variable = "real_time_units" if priority is None else "real_time_priorities"
        settings += [
            {
                "id": f"real_time.processes.{unit}",
                "kind": "processes",
                "name": pattern,
                "wanted": wanted,
                "why": "what counts is what the running processes have",
                "variable": variable,
            },
            {
                "id": f"real_time.drop_in.{unit}",
                "kind": "file",
                "name": f"/etc/systemd/system/{unit}.d/50-quietcore-real-time.conf",
                "wanted": HEAD + "\n".join(["[Service]", *lines, ""]),
                "why": "memory that is locked is never paged out; priorities leave room to kernel threads",
                "variable": variable,
            },
        ]
    return settings


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"quietcore_real_time_units": real_time_units}
