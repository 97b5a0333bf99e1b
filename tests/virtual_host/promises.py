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
    code = f"systemctl is-enabled {promise['name']} 2>/dev/null || true"
    found = sh(code).strip() or "not installed"
    if promise["wanted"] == "off":
        return ("off" if found in ("disabled", "masked", "not installed") else found), "off"
    return found, str(promise["wanted"])


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
