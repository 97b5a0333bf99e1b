"""What the gateway tells the loop: a line of counters that only grow, written by one thread, read by another.

The loop adds what it has emitted itself. Readers load the DONE words before the traded ones and the writer
stores them after, so an order in the middle of an update counts twice rather than not at all: limits err to
the safe side.
"""

from __future__ import annotations

from typing import Final

from quietcore.bridge.atomics import store_release
from quietcore.bridge.compiled import compiled
from quietcore.strategy.intents import BUY, aligned

READY: Final = 0  # 1: orders can be sent and their fate heard of
RESOLVED: Final = 8  # orders that are final: filled, cancelled, rejected or never sent
DONE_BUY: Final = 16  # lots of buy orders that are no longer outstanding, filled or not
DONE_SELL: Final = 24
BOUGHT: Final = 32  # lots
SOLD: Final = 40


@compiled
def put(address: int, value: int) -> None:
    """Store one word with release."""
    store_release(address, value)


class Account:
    """The gateway's end: the only writer."""

    def __init__(self) -> None:
        self._line = aligned(16)
        self.address: int = self._line.ctypes.data
        self._values = dict.fromkeys((READY, RESOLVED, DONE_BUY, DONE_SELL, BOUGHT, SOLD), 0)
        self.ready(False)

    def _set(self, word: int, value: int) -> None:
        self._values[word] = value
        put(self.address + word, value)

    def ready(self, value: bool) -> None:
        """Say whether orders can be sent and their fate heard of."""
        self._set(READY, int(value))

    def filled(self, side: int, lots: int, *, outstanding: bool = True) -> None:
        """Count lots that were traded; ``outstanding``: they were, until now, not yet of a resolved order."""
        traded, done = (BOUGHT, DONE_BUY) if side == BUY else (SOLD, DONE_SELL)
        self._set(traded, self._values[traded] + lots)
        if outstanding:
            self._set(done, self._values[done] + lots)

    def resolved(self, side: int, unfilled: int) -> None:
        """Count an order as final, with the lots of it that will not trade any more."""
        done = DONE_BUY if side == BUY else DONE_SELL
        self._set(done, self._values[done] + unfilled)
        self._set(RESOLVED, self._values[RESOLVED] + 1)

    @property
    def position(self) -> int:
        """Lots bought minus lots sold."""
        return self._values[BOUGHT] - self._values[SOLD]
