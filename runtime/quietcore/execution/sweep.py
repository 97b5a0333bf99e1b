"""What a kill does to orders: all that is open is cancelled, until nothing is, or until the kill is cleared."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from quietcore.execution.orders import OrderLedger
from quietcore.execution.process import Warn
from quietcore.execution.standing import NO_CANCEL_ALL, Standing
from quietcore.strategy.account import Account
from quietcore.venues.interface import OrderVenue, RefusedError, UncertainError

AGAIN_FIRST_SECONDS = 0.05
AGAIN_MOST_SECONDS = 1.0


class Sweep:
    """``cancel_open`` cancels each order of the ledger by itself; ``start`` runs work beside the gateway's."""

    def __init__(
        self,
        venue: OrderVenue,
        ledger: OrderLedger,
        account: Account,
        standing: Standing,
        warn: Warn,
        cancel_open: Callable[[], None],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.running = False
        self._venue, self._ledger, self._account, self._standing = venue, ledger, account, standing
        self._warn, self._cancel_open, self._start = warn, cancel_open, start
        self._switched = asyncio.Event()  # the kill switch was thrown or cleared

    def kill(self) -> None:
        """Send nothing from now on, and cancel everything that is open in the symbol, until all of it is gone."""
        self._account.killed(True)
        self._switched.set()
        self._cancel_open()  # now, though a sweep of an earlier kill may still sit out a pause
        if not self.running:
            self.running = True
            self._start(self._run())

    def clear(self) -> None:
        """Allow orders again; what is open from now on is let alone."""
        self._account.killed(False)
        self._switched.set()

    async def _run(self) -> None:
        delay = AGAIN_FIRST_SECONDS
        try:
            while self._account.is_killed:
                self._switched.clear()
                self._cancel_open()
                wait = 0.0
                try:
                    await self._venue.cancel_all(self._ledger.symbol)
                    if not await self._venue.open_orders(self._ledger.symbol) and not self._ledger.open():
                        return
                except (RefusedError, UncertainError) as error:
                    wait = error.trouble.wait
                    self._standing.unanswered(error, NO_CANCEL_ALL)
                except Exception as error:  # what nobody foresaw: a kill goes on
                    self._warn(f"cancelling all orders: {error!r}; again")
                # A pause that the venue asked for is kept whoever throws the switch; our own ends where somebody does.
                await asyncio.sleep(wait)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._switched.wait()
                more = min(2 * delay, AGAIN_MOST_SECONDS)
                delay = AGAIN_FIRST_SECONDS if self._switched.is_set() else more
        finally:
            self.running = False
