"""Which strategy runs: one that ships, by name, or a file of the user's own; its parameters are checked first."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from quietcore.errors import QuietcoreError
from quietcore.strategy.interface import Context, Make, Parameters, Strategy

SHIPPED = {
    "crossing": "quietcore.strategy.crossing",
    "panic": "quietcore.strategy.panic",
}
FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\.py")
MOST_BYTES = 1 << 20


class Definition(NamedTuple):
    """A strategy that was found: where, its parameters with their defaults, and how it is made."""

    name: str
    where: str
    key: str
    parameters: Parameters
    factory: Make

    def make(self, wanted: Parameters, context: Context, where: str = "strategy.parameters") -> Strategy:
        """Return the strategy with ``wanted`` in place of defaults; errors name ``where`` and the parameter."""
        values = merged(self.parameters, wanted, where)
        try:
            made = self.factory(values, context)
        except ValueError as error:
            raise QuietcoreError("bad value", where=f"{where} of {self.name}", found=str(error)) from error
        if not isinstance(made, Strategy):
            raise QuietcoreError(
                "make() returns no Strategy", where=self.where, found=type(made).__name__, expected="Strategy"
            )
        return made._replace(name=self.name, key=self.key)


def merged(defaults: Parameters, wanted: Parameters, where: str) -> Parameters:
    """Return all parameters, each of its default's kind; raise at an unknown name or another kind."""
    for name, value in wanted.items():
        if name not in defaults:
            expected = f"one of {', '.join(defaults)}" if defaults else "none: it has no parameters"
            raise QuietcoreError("unknown key", where=f"{where}.{name}", expected=expected)
        whole = isinstance(defaults[name], int)
        if whole and not isinstance(value, int):
            raise QuietcoreError(
                "wrong type", where=f"{where}.{name}", found=value, expected="a whole number"
            )
        if not math.isfinite(value) or abs(value) >= 1 << 62:
            raise QuietcoreError(
                "bad value", where=f"{where}.{name}", found=value, expected="a finite number"
            )
    return {
        name: wanted.get(name, default) if isinstance(default, int) else float(wanted.get(name, default))
        for name, default in defaults.items()
    }


def find(name: str, path: str = "") -> Definition:
    """Return the shipped strategy ``name``, or the one in the file at ``path`` where that is not empty."""
    if path:
        return from_file(Path(path))
    if name not in SHIPPED:
        raise QuietcoreError(
            "unknown strategy",
            where="strategy.name",
            found=repr(name),
            expected=f"one of {', '.join(SHIPPED)}",
            remedy="name a file of your own as strategy.path",
        )
    return definition(importlib.import_module(SHIPPED[name]), name, SHIPPED[name], name)


def from_file(path: Path) -> Definition:
    """Return the strategy in a Python file. Its machine code is filed by what the file says, not by its place."""
    if not FILE_NAME.fullmatch(path.name):
        raise QuietcoreError(
            "bad name of a strategy's file",
            where=str(path),
            expected="lower-case letters, digits and _, beginning with a letter, then .py",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise QuietcoreError(
            "strategy cannot be read",
            where=str(path),
            found=error.strerror,
            remedy=f"write one: quietcore new strategy {path.stem}",
        ) from error
    if len(content) > MOST_BYTES:
        raise QuietcoreError(
            "strategy is too large", where=str(path), found=len(content), expected=f"{MOST_BYTES} bytes"
        )
    key = f"{path.stem}_{hashlib.sha256(content).hexdigest()[:12]}"
    module_name = f"quietcore_strategy_{key}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise QuietcoreError(
            "strategy cannot be imported", where=str(path), found=f"{type(error).__name__}: {error}"
        ) from error
    return definition(module, path.stem, str(path), key)


def definition(module: ModuleType, name: str, where: str, key: str) -> Definition:
    """Return what a strategy's module defines; raise where it lacks something."""
    parameters, factory = getattr(module, "PARAMETERS", None), getattr(module, "make", None)
    fits = isinstance(parameters, dict) and all(
        isinstance(key, str) and isinstance(value, int | float) and not isinstance(value, bool)
        for key, value in parameters.items()
    )
    if not fits:
        raise QuietcoreError(
            "strategy without parameters",
            where=where,
            found=repr(parameters),
            expected="PARAMETERS, a dict of names and numbers; {} for none",
        )
    if not callable(factory):
        raise QuietcoreError(
            "strategy without make()", where=where, expected="make(parameters, context) -> Strategy"
        )
    assert isinstance(parameters, dict)
    return Definition(name, where, key, parameters, factory)


def parameter(word: str) -> tuple[str, int | float]:
    """Return NAME=NUMBER as a pair: a whole number where it is one."""
    name, _, text = word.partition("=")
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    raise QuietcoreError("bad option", where="--parameter", found=repr(word), expected="NAME=NUMBER")
