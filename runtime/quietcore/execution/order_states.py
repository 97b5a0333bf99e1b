"""The states of an order, which may follow which, and when one that the venue does not know is over."""

from __future__ import annotations

import enum
from collections.abc import Callable


class State(enum.Enum):
    """Where an order stands."""

    NEW = "new"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    PARTIALLY_FILLED = "partially filled"
    FILLED = "filled"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"  # nobody knows whether it arrived: it is asked about, never sent again

    @property
    def final(self) -> bool:
        """Whether nothing more is expected."""
        return self in FINAL


FINAL = frozenset({State.FILLED, State.CANCELLED, State.REJECTED})

# A cancel may overtake everything but the end; what the venue says may skip what it did not say.
NEXT: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.SENT, State.REJECTED}),
    State.SENT: frozenset({State.ACKNOWLEDGED, State.PARTIALLY_FILLED, State.CANCELLING, State.UNKNOWN})
    | FINAL,
    State.UNKNOWN: frozenset({State.ACKNOWLEDGED, State.PARTIALLY_FILLED, State.CANCELLING}) | FINAL,
    State.ACKNOWLEDGED: frozenset({State.PARTIALLY_FILLED, State.CANCELLING}) | FINAL,
    State.PARTIALLY_FILLED: frozenset({State.CANCELLING}) | FINAL,
    State.CANCELLING: FINAL,
    **dict.fromkeys(FINAL, frozenset()),
}


def may_follow(before: State, after: State) -> bool:
    """Return whether an order may go from one state to another; staying is always possible."""
    return after is before or after in NEXT[before]


class Missing:
    """Since when the venue has not known an order, without a word of it in between.

    ``lifetime``: seconds within which a request that is on its way arrives or is refused as too old.
    """

    def __init__(self, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime, self._clock = lifetime, clock
        self._since: float | None = None

    def too_long(self, known: bool | None) -> bool:
        """Take whether the venue knows it, None where it did not answer; return whether it cannot come any more."""
        if known:
            self._since = None
        elif known is False and self._since is None:
            self._since = self._clock()
        return known is False and self._since is not None and self._clock() - self._since >= self._lifetime
