"""Readers against inputs whose truth is known: odd but legal ones, and ones that are damaged in a stated way.

A model renders an input from a truth that it drew; the project's reader must return that truth. Each kind of damage has
a stated refusal. A reader never ends in a foreign exception, never says that all is well of what it could not read, and
never takes a part for the whole. A planted bug, the reader made wrong on purpose, shows that the campaign sees one.
"""

from __future__ import annotations

import importlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODELS = Path(__file__).with_name("models")
DAMAGED_EVERY = 4  # each fourth input is a damaged one
PLANTED_MOST = 4000  # inputs in which a planted bug must show itself
_SHOWN = 2000  # characters of an input that a failure shows

Read = Callable[[Any], Any]


@dataclass(frozen=True)
class Damage:
    """A way to break an input, and what the reader must then answer.

    `apply` returns the broken input, or None where this input has nothing to break in this way. `refused` is a type of
    exception of the project's own (or a tuple of them), or tells of a returned value whether it is the stated refusal.
    """

    apply: Callable[[random.Random, Any], Any | None]
    refused: type[Exception] | tuple[type[Exception], ...] | Callable[[Any], bool]


@dataclass(frozen=True)
class Reader:
    """A reader of the project with the model of its inputs."""

    name: str
    render: Callable[[random.Random], tuple[Any, Any]]
    read: Read
    damages: Mapping[str, Damage]
    planted: Mapping[str, Read]


@dataclass
class Tally:
    """What was played: legal inputs, and damaged ones by kind."""

    legal: int = 0
    damaged: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        """All inputs that a reader was given."""
        return self.legal + self.damaged.total()


class WrongError(AssertionError):
    """A reader returned something else than the truth, or did not refuse as stated."""


def discovered() -> dict[str, Reader]:
    """Return every reader that a module in `models` names, by its name. Raises ValueError where two share one."""
    found: dict[str, Reader] = {}
    for path in sorted(MODELS.glob("*.py")):
        for reader in importlib.import_module(f"tests.readers.models.{path.stem}").READERS:
            if reader.name in found:
                raise ValueError(f"{path}: a second reader is called {reader.name!r}")
            found[reader.name] = reader
    return found


def play(reader: Reader, numbers: Iterable[int], seed: int = 0) -> Tally:
    """Give the reader the inputs of these numbers; the same seed and number give the same input.

    Raises WrongError at the first wrong answer, with what plays it again.
    """
    tally = Tally()
    kinds = list(reader.damages)
    for number in numbers:
        chance = random.Random(f"{reader.name}:{seed}:{number}")
        given, truth = reader.render(chance)
        kind = kinds[number // DAMAGED_EVERY % len(kinds)] if kinds and number % DAMAGED_EVERY == 0 else None
        broken = reader.damages[kind].apply(chance, given) if kind is not None else None
        where = f"{reader.name}, seed {seed}, input {number}"
        if kind is None or broken is None:
            _must_equal(reader.read, given, truth, where)
            tally.legal += 1
        else:
            _must_refuse(reader.read, broken, reader.damages[kind], f"{where}, damaged: {kind}")
            tally.damaged[kind] += 1
    return tally


def caught(reader: Reader, bug: str, seed: int = 0, most: int = PLANTED_MOST) -> int:
    """Return after how many inputs a planted bug shows itself; 0 where it does in none of the first `most`."""
    wrong = Reader(reader.name, reader.render, reader.planted[bug], reader.damages, {})
    for number in range(most):
        try:
            play(wrong, [number], seed)
        except WrongError:
            return number + 1
    return 0


def _must_equal(read: Read, given: Any, truth: Any, where: str) -> None:
    try:
        found = read(given)
    except Exception as error:
        raise WrongError(
            f"{where}: {type(error).__name__}: {error}\nexpected {truth!r}\nof {_shown(given)}"
        ) from error
    if found != truth:
        raise WrongError(f"{where}: found {found!r}\nexpected {truth!r}\nof {_shown(given)}")


def _must_refuse(read: Read, given: Any, damage: Damage, where: str) -> None:
    by_exception = isinstance(damage.refused, (type, tuple))
    try:
        found = read(given)
    except Exception as error:
        if by_exception and isinstance(error, damage.refused):  # type: ignore[arg-type]
            return
        raise WrongError(f"{where}: {type(error).__name__}: {error}\nof {_shown(given)}") from error
    if by_exception or not damage.refused(found):  # type: ignore[operator]
        raise WrongError(f"{where}: not refused, found {found!r}\nof {_shown(given)}")


def _shown(given: Any) -> str:
    text = given if isinstance(given, str) else repr(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
