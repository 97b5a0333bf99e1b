"""Faults on command: each is armed with a count and happens to the next requests that it can happen to."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field


class Fault(enum.Enum):
    """What can go wrong. The name is what `POST /sim/faults` takes."""

    TIMEOUT = "timeout"  # an order or a cancel takes effect, but is never answered
    LOST = "lost"  # a request never arrives, and its connection breaks
    DUPLICATE_FILL = "duplicate-fill"  # an execution is told twice
    FILL_FIRST = "fill-before-acknowledgement"  # the private stream is faster than the answer
    CANCEL_CROSSES = "cancel-and-fill-cross"  # an order fills while its cancel is accepted
    DISCONNECT = "disconnect"  # an order takes effect; its connection and the private streams break
    RATE_LIMIT = "rate-limit"  # a request is refused with 10006
    CLOCK_SKEW = "clock-skew"  # a request is refused with 10002
    RESTART = "restart"  # every connection breaks, nothing is served for a while, orders stay
    POST_ONLY = "reject-post-only"  # a post-only order is cancelled as if it took liquidity
    WRONG_KEY = "wrong-key"  # a request is refused with 10003


@dataclass
class Faults:
    """Armed faults (by kind, of all accounts or of one) and how often each has happened."""

    armed: Counter[tuple[Fault, str]] = field(default_factory=Counter)
    happened: Counter[Fault] = field(default_factory=Counter)

    def arm(self, fault: Fault, count: int = 1, account: str = "") -> None:
        """Let a fault happen `count` more times; `account`: to requests of this key only."""
        self.armed[(fault, account)] += count

    def clear(self) -> None:
        """Disarm everything."""
        self.armed.clear()

    def strikes(self, fault: Fault, account: str) -> bool:
        """Return whether the fault happens now, which uses it up."""
        for key in ((fault, account), (fault, "")):
            if self.armed[key] > 0:
                self.armed[key] -= 1
                self.happened[fault] += 1
                return True
        return False

    def state(self) -> dict[str, dict[str, int]]:
        """Return counts by name, for `/sim/state`."""
        waiting: Counter[str] = Counter()
        for (fault, _), count in self.armed.items():
            waiting[fault.value] += count
        return {
            "armed": {name: count for name, count in waiting.items() if count},
            "happened": {fault.value: count for fault, count in self.happened.items()},
        }
