"""Reads what a role promised, and by plain shell what holds; knows nothing of the project's own library."""

import json
from collections.abc import Callable
from typing import Any

from tests.virtual_host.live_state import boot_values

Sh = Callable[[str], str]
Promise = dict[str, Any]


def promised(role: str, sh: Sh) -> list[Promise]:
    """Return the settings that lie on the host for a role; none for a role that promises nothing."""
    text = sh(f"cat /etc/quietcore/host.d/{role}.json 2>/dev/null || echo '{{\"settings\": []}}'")
    settings: list[Promise] = json.loads(text)["settings"]
    return settings


def roles_on(sh: Sh) -> list[str]:
    """Return the roles that promised something on the host."""
    return sorted(name.removesuffix(".json") for name in sh("ls /etc/quietcore/host.d").split())


def _kernel_parameter(promise: Promise, sh: Sh) -> tuple[str, str]:
    given = boot_values(sh("cat /proc/cmdline")).get(promise["name"], ["absent"])
    return given[-1], str(promise["wanted"])


def _sysctl(promise: Promise, sh: Sh) -> tuple[str, str]:
    path = promise["name"].replace(".", "/")
    return " ".join(sh(f"cat /proc/sys/{path}").split()), " ".join(str(promise["wanted"]).split())


def _file(promise: Promise, sh: Sh) -> tuple[str, str]:
    mode = promise.get("options", {}).get("mode", "0644").lstrip("0")
    found = sh(f"stat -c '%a %U' {promise['name']}; cat {promise['name']}")
    return found, f"{mode} root\n{promise['wanted']}"


def _unit(promise: Promise, sh: Sh) -> tuple[str, str]:
    name, wanted = promise["name"], str(promise["wanted"])
    words = sh(f"systemctl is-enabled {name} 2>/dev/null || true; systemctl is-active {name} || true").split()
    # A unit that is not there is said to be inactive, and nothing of whether it is enabled.
    enabled, active = words if len(words) == 2 else ("not installed", words[0])
    off = enabled in ("disabled", "masked", "not installed") and active != "active"
    held = {"on": (enabled, active) == ("enabled", "active"), "off": off, "enabled": enabled == "enabled"}
    return (wanted if held[wanted] else f"{enabled}, {active}"), wanted


READERS: dict[str, Callable[[Promise, Sh], tuple[str, str]]] = {
    "kernel_parameter": _kernel_parameter,
    "sysctl": _sysctl,
    "file": _file,
    "unit": _unit,
}


def holds(promise: Promise, sh: Sh) -> tuple[str, str] | None:
    """Return what was found and what was wanted, both as text; None for a kind that only its own tests read."""
    reader = READERS.get(promise["kind"])
    return reader(promise, sh) if reader else None
