"""The strategy of a release: one that ships or a file of the user's own, tried out before anything is packed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from quietcore.errors import QuietcoreError

FOLDER = "lib/strategies"  # within a release


class StrategyWish(NamedTuple):
    """A shipped strategy's name, or the path of a file ending in .py; and the parameters it will get."""

    strategy: str = "crossing"
    parameters: Mapping[str, int | float] = {}

    @property
    def path(self) -> Path | None:
        """The user's own file, None for a strategy that ships."""
        return Path(self.strategy) if self.strategy.endswith(".py") else None


DEFAULT_STRATEGY = StrategyWish()


def wish_of(strategy: str, parameters: str) -> StrategyWish:
    """Return the wish of a command line: ``parameters`` is a JSON object of numbers."""
    try:
        values = json.loads(parameters or "{}")
    except ValueError as error:
        raise QuietcoreError("not JSON", where="--parameters", found=str(error)) from error
    fits = isinstance(values, dict) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()
    )
    if not fits:
        raise QuietcoreError(
            "bad option", where="--parameters", found=parameters, expected="a JSON object of numbers"
        )
    return StrategyWish(strategy or "crossing", values)


def check(wish: StrategyWish) -> None:
    """Import, make, compile and run the strategy over a generated session; raise where it does not work."""
    from quietcore.strategy.choice import find
    from quietcore.strategy.trial import try_out

    found = find("", str(wish.path)) if wish.path else find(wish.strategy)
    try_out(found, wish.parameters)


def place(wish: StrategyWish, tree: Path) -> str:
    """Copy the user's own file into the tree of a release; return its place there, empty where nothing is copied."""
    if wish.path is None:
        return ""
    folder = tree / FOLDER
    folder.mkdir(parents=True)
    shutil.copyfile(wish.path, folder / wish.path.name)
    (folder / wish.path.name).chmod(0o644)
    return f"{FOLDER}/{wish.path.name}"
