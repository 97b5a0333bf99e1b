"""Conditional orders that wait for their price: Untriggered at the venue, in no book, without margin.

The last price is that of the latest trade, or the middle of the book before the first one. The simulated market has
no index, so its mark price is the median of best bid, best ask and last price.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from quietcore.sim.orders import Order, Trigger
from quietcore.sim.refusal import Reject

MOST_A_SYMBOL = 10  # bybit-exchange.github.io/docs/v5/order/create-order, open orders up limit


class Conditionals:
    """The untriggered orders of one account, by symbol."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Order]] = {}

    def __contains__(self, symbol: str) -> bool:
        return bool(self._waiting.get(symbol))

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Order]:
        for orders in self._waiting.values():
            yield from orders.values()

    def check_room(self, symbol: str) -> None:
        """Refuse one more than the venue allows; raise Reject."""
        if len(self._waiting.get(symbol, ())) >= MOST_A_SYMBOL:
            raise Reject(110009, "The number of stop orders exceeds the maximum allowable limit")

    def add(self, order: Order) -> None:
        """Let an order wait."""
        self._waiting.setdefault(order.symbol, {})[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Let an order wait no more; harmless where it did not."""
        self._waiting.get(order.symbol, {}).pop(order.order_id, None)

    def take_due(self, symbol: str, by: str, price: Decimal) -> list[Order]:
        """Return and remove the orders of `symbol` that the price `by` triggers, the oldest first."""
        due = [
            order
            for order in self._waiting.get(symbol, {}).values()
            if order.trigger is not None and order.trigger.by == by and order.trigger.met(price)
        ]
        for order in due:
            self.remove(order)
        return due


def check_direction(trigger: Trigger, current: Decimal | None) -> None:
    """Refuse a trigger that the market has met already, or that has no market to wait for; raise Reject."""
    if current is None:
        raise Reject(10001, f"params error: no {trigger.by} yet, the simulated market has not begun")
    if trigger.rising and trigger.price <= current:
        raise Reject(
            110092, f"expect Rising, but trigger_price[{trigger.price}] <= current[{current}]??{trigger.by}"
        )
    if not trigger.rising and trigger.price >= current:
        raise Reject(
            110093, f"expect Falling, but trigger_price[{trigger.price}] >= current[{current}]??{trigger.by}"
        )
