"""What the gateway tells the loop: a line of counters that only grow, written by one thread, read by another.

The loop adds what it has emitted itself. Readers load the DONE words before the traded ones and the writer
stores them after, so an order in the middle of an update counts twice rather than not at all: limits err to
the safe side. What a trade cost and what it moved belong together: both lie under a sequence.
"""

from __future__ import annotations

from typing import Final

from quietcore.bridge.atomics import load_acquire, pause, store_release
from quietcore.bridge.compiled import lean
from quietcore.strategy.intents import BUY, aligned

READY: Final = 0  # 1: orders can be sent and their fate heard of
RESOLVED: Final = 8  # orders that are final: filled, cancelled, rejected or never sent
DONE_BUY: Final = 16  # lots of buy orders that are no longer outstanding, filled or not
DONE_SELL: Final = 24
BOUGHT: Final = 32  # lots
SOLD: Final = 40
KILLED: Final = 48  # 1: the kill switch is on
CASH: Final = 56  # what trades have brought, less what they cost, ticks × lots
SEQUENCE: Final = 64  # odd while a trade is written
DEGRADED: Final = 72  # 0: no; ONLY_REDUCE; else the share of a size that may be ordered, in thousandths
WORDS: Final = 16

ONLY_REDUCE: Final = -1
EQUITY_TRIES: Final = 64


@lean
def put(address: int, value: int) -> None:
    """Store one word with release."""
    store_release(address, value)


@lean
def equity(account: int, twice_mid: int) -> int:
    """Return twice what closing at the mid price would leave, in ticks × lots."""
    cash = position = 0
    for _ in range(EQUITY_TRIES):
        before = load_acquire(account + SEQUENCE)
        cash = load_acquire(account + CASH)
        position = load_acquire(account + BOUGHT) - load_acquire(account + SOLD)
        if before & 1 == 0 and load_acquire(account + SEQUENCE) == before:
            break
        pause()
    return 2 * cash + position * twice_mid


class Account:
    """The gateway's end: the only writer."""

    def __init__(self) -> None:
        self._line = aligned(WORDS)
        self.address: int = self._line.ctypes.data
        self._values = dict.fromkeys(range(0, 8 * WORDS, 8), 0)
        self.ready(False)

    def _set(self, word: int, value: int) -> None:
        self._values[word] = value
        put(self.address + word, value)

    def _trade(self, side: int, lots: int, cash: int) -> None:
        self._set(SEQUENCE, self._values[SEQUENCE] + 1)
        traded = BOUGHT if side == BUY else SOLD
        self._set(traded, self._values[traded] + lots)
        self._set(CASH, self._values[CASH] + cash)
        self._set(SEQUENCE, self._values[SEQUENCE] + 1)

    def ready(self, value: bool) -> None:
        """Say whether orders can be sent and their fate heard of."""
        self._set(READY, int(value))

    def killed(self, value: bool) -> None:
        """Say whether the kill switch is on."""
        self._set(KILLED, int(value))

    def degraded(self, value: int) -> None:
        """Say how much may be ordered: 0 all, ONLY_REDUCE, or a share in thousandths."""
        self._set(DEGRADED, value)

    def filled(self, side: int, lots: int, *, outstanding: bool = True, cash: int = 0) -> None:
        """Count lots that were traded; ``outstanding``: they were, until now, not yet of a resolved order.

        ``cash``: what the trade brought (a buy: a negative number), ticks × lots.
        """
        self._trade(side, lots, cash)
        if outstanding:
            done = DONE_BUY if side == BUY else DONE_SELL
            self._set(done, self._values[done] + lots)

    def paid(self, cash: int) -> None:
        """Correct what trades have brought: a fee, or a price that is known better now."""
        if cash:
            self._trade(BUY, 0, cash)

    def resolved(self, side: int, unfilled: int) -> None:
        """Count an order as final, with the lots of it that will not trade any more."""
        done = DONE_BUY if side == BUY else DONE_SELL
        self._set(done, self._values[done] + unfilled)
        self._set(RESOLVED, self._values[RESOLVED] + 1)

    @property
    def position(self) -> int:
        """Lots bought minus lots sold."""
        return self._values[BOUGHT] - self._values[SOLD]

    @property
    def cash(self) -> int:
        """What trades have brought, ticks × lots."""
        return self._values[CASH]

    @property
    def is_killed(self) -> bool:
        """Whether the kill switch is on."""
        return bool(self._values[KILLED])
