"""The way of an order without a network: intent, venue, fate, account; the same ledger and matching as live."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from quietcore.execution.orders import Order, OrderLedger
from quietcore.sim.events import events
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.orders import Fill as VenueFill
from quietcore.sim.refusal import Reject
from quietcore.strategy.intents import PLACE, Intent
from quietcore.venues.interface import Fill


class Due(NamedTuple):
    """A request on its way: when it arrives (ns of the recording), and what it is about."""

    at_ns: int
    cancel: bool
    order: Order


class Desk:
    """Sends intents to an exchange after ``latency_ns`` and takes its reports at once.

    ``filled`` is called with each fill, before the ledger knows it.
    """

    def __init__(
        self,
        exchange: Exchange,
        ledger: OrderLedger,
        latency_ns: int,
        filled: Callable[[VenueFill], None] = lambda fill: None,
    ) -> None:
        self._exchange, self._ledger, self._latency_ns, self._filled = exchange, ledger, latency_ns, filled
        self._due: deque[Due] = deque()

    def take(self, intent: Intent, now_ns: int) -> None:
        """Do what the gateway does with an intent: a cancel is about every open order."""
        at_ns = now_ns + self._latency_ns
        if intent.kind == PLACE:
            order = self._ledger.create(intent)
            self._ledger.sent(order)
            self._due.append(Due(at_ns, False, order))
        else:
            for order in self._ledger.open():
                if not order.cancel_wanted:
                    self._ledger.cancelling(order)
                    self._due.append(Due(at_ns, True, order))

    def arrive(self, now_ns: int) -> None:
        """Let requests reach the venue that are due."""
        while self._due and self._due[0].at_ns <= now_ns:
            due = self._due.popleft()
            if due.cancel:
                self._cancel(due.order)
            else:
                self._place(due.order)

    def tell(self, report: Report | None) -> None:
        """Take what happened at the venue."""
        if report is None:
            return
        for fill in report.fills:
            self._filled(fill)
        for event in events(report):
            if isinstance(event, Fill):
                self._ledger.fill(event)
            else:
                self._ledger.apply(event)

    def _place(self, order: Order) -> None:
        request = self._ledger.request(order)
        try:
            made = self._exchange.create(
                {
                    **{
                        "category": "linear",
                        "symbol": request.symbol,
                        "side": "Buy" if request.buy else "Sell",
                    },
                    **{"orderType": "Limit", "qty": request.quantity, "price": request.price},
                    **{"timeInForce": "PostOnly" if request.post_only else "GTC"},
                    "orderLinkId": request.client_id,
                }
            )
        except Reject as reject:
            self._ledger.rejected(order, f"{reject.code} {reject}")
            return
        self._ledger.acknowledged(order, made.order_id)
        self.tell(self._exchange.activate(made))

    def _cancel(self, order: Order) -> None:
        found = self._exchange.find({"orderLinkId": order.client_id})
        if found is not None:
            self.tell(self._exchange.cancelled(found))
