"""Bugs that the chaos test must catch, each put into a process before its command runs (tests/chaos/program.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """``plant`` changes the imported product; each of ``attacks`` may be the one that shows it."""

    plant: Callable[[], None]
    attacks: tuple[str, ...]


PLANTED: dict[str, Bug] = {}
