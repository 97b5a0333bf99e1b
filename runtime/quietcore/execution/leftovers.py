"""Orders that are open and that nobody here counts as open, of an earlier run or held for over: they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from quietcore.execution.client_ids import is_ours
from quietcore.execution.orders import OrderLedger
from quietcore.execution.process import Warn
from quietcore.execution.rivals import Rivals
from quietcore.execution.standing import NO_CANCEL, Standing
from quietcore.venues.interface import OrderUpdate, OrderVenue, RefusedError, UncertainError

AGAIN_FIRST_SECONDS = 0.05
AGAIN_MOST_SECONDS = 1.0


class Leftovers:
    """``start`` runs work beside the gateway's."""

    def __init__(
        self,
        venue: OrderVenue,
        ledger: OrderLedger,
        standing: Standing,
        warn: Warn,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._venue, self._ledger, self._standing = venue, ledger, standing
        self._warn, self._start = warn, start
        self._cancelling: set[str] = set()
        self.rivals = Rivals(ledger.run_id, warn)

    def has(self, update: OrderUpdate) -> bool:
        """Return whether an open order is one of them."""
        order = self._ledger.orders.get(update.client_id)
        return is_ours(update.client_id) if order is None else order.assumed

    def meet(self, update: OrderUpdate) -> None:
        """Cancel an order that the private stream tells of, where it is one of them."""
        client_id = update.client_id
        if update.fate.final or not self.has(update) or client_id in self._cancelling:
            return
        if client_id not in self._ledger.orders:
            self.rivals.met(client_id, asyncio.get_running_loop().time())
        whose = "of an earlier run" if client_id not in self._ledger.orders else "that was held for over"
        self._warn(f"order {client_id} {whose} is open: it is being cancelled")
        self._cancelling.add(client_id)
        self._start(self.cancel(client_id))

    async def cancel(self, client_id: str) -> None:
        """Cancel an order until the venue says that it is over, or knows none."""
        self._cancelling.add(client_id)
        delay = AGAIN_FIRST_SECONDS
        try:
            while True:
                wait = 0.0
                try:
                    await self._venue.cancel(self._ledger.symbol, client_id)
                except (RefusedError, UncertainError) as error:
                    wait = error.trouble.wait
                    self._standing.unanswered(error, NO_CANCEL)
                try:
                    update = await self._venue.query(self._ledger.symbol, client_id)
                except UncertainError as error:
                    wait = max(wait, error.trouble.wait)
                    self._standing.unanswered(error)
                else:
                    if update is None or update.fate.final:
                        return
                await asyncio.sleep(max(delay, wait))
                delay = min(2 * delay, AGAIN_MOST_SECONDS)
        finally:
            self._cancelling.discard(client_id)
