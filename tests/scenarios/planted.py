"""Bugs that the scenarios must catch, each as the mistake that somebody might make."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import yarl
from tests.scenarios.network import LinkedRest, LinkedSession, Request
from tests.scenarios.story import Parts

from quietcore.execution.gateway import Gateway
from quietcore.execution.guard import EVERY_SYMBOL, Guard
from quietcore.execution.orders import Order, OrderLedger
from quietcore.venues.bybit import pages, private, rows
from quietcore.venues.bybit.account import POSITIONS, REALTIME, BybitAccount, understood
from quietcore.venues.bybit.trade_link import Answer
from quietcore.venues.bybit.trade_stream import REST_PATHS, BybitOrderEntry
from quietcore.venues.interface import (
    Event,
    Fill,
    NotUnderstood,
    OrderUpdate,
    Position,
    RefusedError,
    UncertainError,
)


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


class ReencodingSession(LinkedSession):
    """Gives the address as a text, which the HTTP client parses and writes in its own way."""

    def request(self, method: str, url: str | yarl.URL, **words: Any) -> Request:
        return super().request(method, str(url), **words)


class ReencodesCursors(LinkedRest):
    """Signs one spelling of a cursor and sends another."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.link = ReencodingSession(self.link.server)


class LooksAtLiveOrdersOnly(BybitAccount):
    """Takes an order that the live list does not have for one that the venue does not have."""

    async def find(self, symbol: str, client_id: str) -> OrderUpdate | None:
        query = {"category": "linear", "symbol": symbol, "orderLinkId": client_id}
        for entry in await self._pages(REALTIME, query, pages.ORDER_KEY):
            return understood(rows.order, entry)
        return None


class DropsExecutionTypes(BybitAccount):
    """Knows executions of orders only."""

    async def executions(self, symbol: str, since_ms: int) -> list[Fill | NotUnderstood]:
        found = await super().executions(symbol, since_ms)
        return [one for one in found if not (isinstance(one, Fill) and one.kind)]


def without_execution_types(text: bytes) -> list[Event]:
    """Understand trades and orders, and nothing else."""
    return [one for one in private.parse(text)[0] if not (isinstance(one, Fill) and one.kind)]


class CancelsOneCoin(BybitAccount):
    """Thinks that everything settles in one coin."""

    @property
    def settle_coins(self) -> tuple[str, ...]:
        return ("USDT",)


class TakesHedgeRowsAsOneWay(BybitAccount):
    """Lets the last row of a position that is not flat be the position."""

    async def position(self, symbol: str) -> Position:
        query = {"category": "linear", "symbol": symbol}
        held = Position(Decimal(0), Decimal(0))
        for entry in await self._pages(POSITIONS, query, pages.POSITION_KEY):
            row = rows.position(entry)
            if row.quantity:
                held = Position(row.quantity, row.entry)
        return held


class TreatsRefusalsAlike(LinkedRest):
    """Knows of an answer only whether it is one."""

    async def get(self, path: str, query: dict[str, str], *, signed: bool = True) -> Any:
        try:
            return await super().get(path, query, signed=signed)
        except (RefusedError, UncertainError):
            raise UncertainError(f"{path} was not answered") from None


PLANTED: dict[str, Any] = {
    "blind retry": Parts(gateway=BlindRetry),
    "lost deduplication": Parts(ledger=LostDeduplication),
    "missing reconciliation": Parts(gateway=NoReconciliation),
    "off by one in the limits": Parts(limit_slip=1),
    "gives up on an unknown order too soon": Parts(gateway=GivesUpTooSoon),
    "REST takes over what the socket sent": Parts(entry=SendsAgainByRest),
    "guard sweeps once": Parts(guard=SweepsOnce),
    "no rest after a death": Parts(rest_after_death=0.0),
    "writes a cursor otherwise than it signed it": Parts(rest=ReencodesCursors),
    "looks at live orders only": Parts(account=LooksAtLiveOrdersOnly),
    "drops execution types": Parts(account=DropsExecutionTypes, understand=without_execution_types),
    "cancels in one settlement coin": Parts(account=CancelsOneCoin),
    "takes hedge rows as one-way": Parts(account=TakesHedgeRowsAsOneWay),
    "treats all refusals of a start alike": Parts(rest=TreatsRefusalsAlike),
}
