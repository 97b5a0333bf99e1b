"""What the venue says on the private topics, from orders, fills and positions.

Fields as in bybit-exchange.github.io/docs/v5/websocket/private/order, /execution and /position; those that
this venue has no use for are empty, as the real one sends them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from quietcore.sim.matching import Report
from quietcore.sim.orders import Fill, Order, Position


def plain(value: Decimal | None) -> str:
    """Write a number without exponent; "" for none, no trailing zeros.

    >>> plain(Decimal("60000.10")), plain(Decimal("0E-3")), plain(None)
    ('60000.1', '0', '')
    """
    if value is None:
        return ""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as the `order` topic and `/v5/order/realtime` show it."""
    return {
        "category": "linear",
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "side": order.side.value,
        "positionIdx": 0,
        "orderStatus": order.status.value,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "timeInForce": order.time_in_force,
        "isLeverage": "",
        "price": plain(order.price) or "0",
        "qty": plain(order.quantity),
        "avgPrice": plain(order.average),
        "leavesQty": plain(order.leaves),
        "leavesValue": plain(order.leaves * (order.price or order.average or Decimal(0))),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.value),
        "cumExecFee": plain(order.fee),
        "orderType": "Market" if order.price is None else "Limit",
        "stopOrderType": "",
        "orderIv": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "triggerBy": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": 0,
        "placeType": "",
        "lastPriceOnCreated": "",
        "closeOnTrigger": False,
        "reduceOnly": order.reduce_only,
        "smpGroup": 0,
        "smpType": "None",
        "smpOrderId": "",
        "createType": "CreateByUser",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "feeCurrency": "",
    }


def fill_row(fill: Fill) -> dict[str, Any]:
    """Return a fill as the `execution` topic shows it."""
    order = fill.order
    return {
        "category": "linear",
        "symbol": order.symbol,
        "execFee": plain(fill.fee),
        "execId": fill.execution_id,
        "execPrice": plain(fill.price),
        "execQty": plain(fill.quantity),
        "execType": "Trade",
        "execValue": plain(fill.price * fill.quantity),
        "feeRate": plain(fill.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": plain(fill.price),
        "indexPrice": "",
        "underlyingPrice": "",
        "leavesQty": plain(fill.leaves),
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "orderPrice": plain(order.price) or "0",
        "orderQty": plain(order.quantity),
        "orderType": "Market" if order.price is None else "Limit",
        "stopOrderType": "UNKNOWN",
        "side": order.side.value,
        "execTime": str(fill.time_ms),
        "isLeverage": "0",
        "isMaker": fill.maker,
        "closedSize": plain(fill.closed),
        "seq": fill.sequence,
        "createType": "CreateByUser",
    }


def position_row(position: Position, now_ms: int) -> dict[str, Any]:
    """Return a position as the `position` topic shows it."""
    side = "Buy" if position.size > 0 else "Sell" if position.size < 0 else ""
    return {
        "category": "linear",
        "symbol": position.symbol,
        "side": side,
        "size": plain(abs(position.size)),
        "positionIdx": 0,
        "tradeMode": 0,
        "positionValue": plain(abs(position.size) * position.entry),
        "riskId": 1,
        "riskLimitValue": "",
        "entryPrice": plain(position.entry),
        "avgPrice": plain(position.entry),
        "markPrice": "",
        "leverage": "10",
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "",
        "unrealisedPnl": "",
        "cumRealisedPnl": plain(position.realised - position.fees),
        "createdTime": str(now_ms),
        "updatedTime": str(now_ms),
        "seq": now_ms,
    }


def messages(report: Report, now_ms: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return (topic, rows) of one report, in the venue's order: executions, orders, positions."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    if report.fills:
        found.append(("execution", [fill_row(fill) for fill in report.fills]))
    if report.orders:
        found.append(("order", [order_row(order) for order in report.orders]))
    if report.positions:
        found.append(("position", [position_row(position, now_ms) for position in report.positions]))
    return found
