"""The venue's clocks: the time of day, which somebody may set, and one that only goes forward."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def wall_ms() -> int:
    """Return UTC in ms."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Return CLOCK_MONOTONIC in ms."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True)
class Clock:
    """``now_ms`` is what clients are told; ``steady_ms`` is what limits and faults last by, whoever sets the former."""

    now_ms: Callable[[], int] = wall_ms
    steady_ms: Callable[[], int] = monotonic_ms

    @classmethod
    def of(cls, now_ms: Callable[[], int]) -> Clock:
        """Return one that nobody sets."""
        return cls(now_ms, now_ms)

    def told(self, steady_ms: int) -> int:
        """Return a moment of the steady clock in the time of day."""
        return self.now_ms() + steady_ms - self.steady_ms()


HOST_CLOCK = Clock()
