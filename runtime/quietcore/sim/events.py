"""What a report of the matching means to a runtime in the same process, without any venue's wording."""

from __future__ import annotations

from quietcore.sim.matching import Report
from quietcore.sim.orders import Order, Side, Status
from quietcore.venues.interface import Fate, Fill, OrderUpdate

FATES = {
    Status.UNTRIGGERED: Fate.OPEN,
    Status.TRIGGERED: Fate.OPEN,
    Status.NEW: Fate.OPEN,
    Status.PARTIALLY_FILLED: Fate.PARTIALLY_FILLED,
    Status.FILLED: Fate.FILLED,
    Status.CANCELLED: Fate.CANCELLED,
    Status.DEACTIVATED: Fate.CANCELLED,
    Status.REJECTED: Fate.REJECTED,
}


def update_of(order: Order) -> OrderUpdate:
    """Return an order's standing."""
    reason = "" if order.reject_reason == "EC_NoError" else order.reject_reason
    return OrderUpdate(order.link_id, order.order_id, FATES[order.status], order.filled, reason)


def events(report: Report) -> list[Fill | OrderUpdate]:
    """Return fills, then orders, as the private topics order them."""
    fills = [
        Fill(
            *(fill.order.link_id, fill.order.order_id, fill.execution_id, fill.quantity, fill.price),
            *(fill.order.symbol, fill.order.side is Side.BUY, fill.fee),
        )
        for fill in report.fills
    ]
    return [*fills, *map(update_of, report.orders)]
