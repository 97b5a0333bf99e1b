"""Desired state: what each role promised, one file a role under /etc/quietcore/host.d/."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .machine import DESIRED_FOLDER, Machine

VERSION = 1
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "kind": (str,),
    "name": (str,),
    "wanted": (str, int, list, dict),
    "why": (str,),
    "needs_boot": (bool,),
    "required": (bool,),
    "variable": (str,),
    "effective": (str,),
    "options": (dict,),
}


@dataclass(frozen=True)
class Setting:
    """One promise.

    `kind` says how it is read and written, `name` what it is about (a parameter, a key, a path, a unit),
    `options` refine it by kind, `variable` is the inventory variable that it comes from, `effective` tells a
    reader where the effective value is read. `required`: the kernel or hardware lacking it is a failure.
    """

    id: str
    kind: str
    role: str
    name: str
    wanted: Any
    why: str
    needs_boot: bool = False
    required: bool = True
    variable: str = ""
    effective: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the form it has in the file."""
        value: dict[str, Any] = {name: getattr(self, name) for name in _TYPES if name != "options"}
        if self.options:
            value["options"] = dict(self.options)
        return value


def parse_settings(role: str, values: Any, where: str) -> tuple[Setting, ...]:
    """Check and return a role's settings. Raises QuietcoreError naming place, key and expectation."""
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise QuietcoreError("not a list of settings", where=where, found=type(values).__name__)
    settings: list[Setting] = []
    for position, value in enumerate(values):
        place = f"{where}: setting {position + 1}"
        if not isinstance(value, Mapping):
            raise QuietcoreError(
                "not a setting", where=place, found=type(value).__name__, expected="an object"
            )
        for key, item in value.items():
            if key not in _TYPES:
                raise QuietcoreError("unknown key", where=f"{place}: {key}", expected=", ".join(_TYPES))
            if not isinstance(item, _TYPES[key]) or (isinstance(item, bool) and bool not in _TYPES[key]):
                raise QuietcoreError(
                    "wrong type",
                    where=f"{place}: {key}",
                    found=type(item).__name__,
                    expected=" or ".join(kind.__name__ for kind in _TYPES[key]),
                )
        lacking = [key for key in ("id", "kind", "name", "wanted", "why") if key not in value]
        if lacking:
            raise QuietcoreError("a key is missing", where=place, expected=", ".join(lacking))
        for key in ("id", "name", "why"):
            # These stand in comments and lines of files that a shell or systemd reads.
            if "\n" in value[key]:
                raise QuietcoreError("more than one line", where=f"{place}: {key}", expected="a single line")
        settings.append(Setting(role=role, **value))
    seen: set[str] = set()
    for setting in settings:
        if setting.id in seen:
            raise QuietcoreError("a setting is promised twice", where=where, found=setting.id)
        seen.add(setting.id)
    return tuple(settings)


def desired_path(role: str) -> str:
    """Return the host's path of a role's desired state."""
    return f"{DESIRED_FOLDER}/{role}.json"


def dump_settings(role: str, settings: Iterable[Setting]) -> str:
    """Return the content of a role's desired-state file: the same settings give the same bytes."""
    value = {"version": VERSION, "role": role, "settings": [setting.to_json() for setting in settings]}
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def load_desired(machine: Machine) -> dict[str, tuple[Setting, ...]]:
    """Return what every role promised on this machine. Raises QuietcoreError.

    A file that cannot be read or understood is an error: its promises would otherwise pass unseen.
    """
    folder = machine.path(DESIRED_FOLDER)
    roles: dict[str, tuple[Setting, ...]] = {}
    try:
        paths = sorted(
            path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith(".")
        )
        for path in paths:
            roles[path.stem] = _load(
                path.stem, path.read_text(encoding="utf-8"), f"{DESIRED_FOLDER}/{path.name}"
            )
    except FileNotFoundError:
        return roles
    except OSError as error:
        raise QuietcoreError(
            "the desired state cannot be read",
            where=str(error.filename or folder),
            found=error.strerror,
            remedy="run as root",
            code=ExitCode.UNKNOWN,
        ) from error
    return roles


def _load(role: str, text: str, where: str) -> tuple[Setting, ...]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise QuietcoreError(
            "not JSON", where=where, found=str(error), remedy=f"run the role {role} again, or remove the file"
        ) from None
    if not isinstance(value, Mapping) or value.get("version") != VERSION or "settings" not in value:
        raise QuietcoreError(
            "not a desired state of this version",
            where=where,
            expected=f"version {VERSION} with settings",
            remedy=f"run the role {role} again",
        )
    return parse_settings(role, value["settings"], where)
