"""Bugs that the scenarios must catch, each as the mistake that somebody might make."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.scenarios.story import Parts

from quietcore.execution.gateway import Gateway
from quietcore.execution.guard import EVERY_SYMBOL, Guard
from quietcore.execution.orders import Order, OrderLedger
from quietcore.venues.bybit.trade_link import Answer
from quietcore.venues.bybit.trade_stream import REST_PATHS, BybitOrderEntry
from quietcore.venues.interface import Fill, OrderUpdate, UncertainError


class BlindRetry(Gateway):
    """Sends an order again when nobody answered."""

    async def _place(self, order: Order) -> None:
        try:
            sent = await self.venue.place(self.ledger.request(order))
        except UncertainError:
            await super()._place(order)
        else:
            self.ledger.acknowledged(order, sent.order_id)


class LostDeduplication(OrderLedger):
    """Counts an execution as often as it is told."""

    def fill(self, fill: Fill, *, repeated: bool = False) -> bool:
        order = self.orders.get(fill.client_id)
        if order is not None and not repeated:
            order.executions.discard((fill.order_id, fill.execution_id))
        return super().fill(fill, repeated=repeated)


class NoReconciliation(Gateway):
    """Believes that nothing happened while the private stream was away."""

    async def _agree(self) -> list[OrderUpdate]:
        return []

    async def _look(self, order: Order) -> None:
        """Ask nobody."""


class GivesUpTooSoon(Gateway):
    """Takes an order that the venue does not know yet for one that never arrived."""

    async def _settle(self, order: Order) -> None:
        if order.unknown and not await self._ask(order) and order.unknown:
            self.ledger.rejected(order, "never arrived")


class SendsAgainByRest(BybitOrderEntry):
    """Lets REST take over what the socket may have sent already."""

    async def send(self, operation: str, order: dict[str, Any]) -> Answer:
        try:
            return await super().send(operation, order)
        except UncertainError:
            data, written_ns = await self.http.post(
                REST_PATHS[operation], {"category": self.category, **order}
            )
            return Answer(data, written_ns)


class SweepsOnce(Guard):
    """Cancels what it sees, and thinks not of what is still on its way."""

    async def fire(self, stop: asyncio.Event | None = None) -> None:
        self.counts.fired += 1
        try:
            await self._venue.cancel_all(EVERY_SYMBOL)
        except Exception as error:  # noqa: BLE001, RUF100 - part of the mistake
            self._say(str(error))
        self.done = True


PLANTED: dict[str, Any] = {
    "blind retry": Parts(gateway=BlindRetry),
    "lost deduplication": Parts(ledger=LostDeduplication),
    "missing reconciliation": Parts(gateway=NoReconciliation),
    "off by one in the limits": Parts(limit_slip=1),
    "gives up on an unknown order too soon": Parts(gateway=GivesUpTooSoon),
    "REST takes over what the socket sent": Parts(entry=SendsAgainByRest),
    "guard sweeps once": Parts(guard=SweepsOnce),
    "no rest after a death": Parts(rest_after_death=0.0),
}
