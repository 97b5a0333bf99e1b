"""Rows of the private topics and of the queries, field for field as the venue documents them for linear contracts.

Source: bybit-exchange.github.io/docs/v5, websocket/private/{order,execution,fast-execution,position,wallet},
order/{open-order,order-list,execution}, position, account/wallet-balance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

from quietcore.sim.matching import Exchange, Report
from quietcore.sim.orders import ZERO, Fill, Order, Position

TOPICS = "execution.fast", "execution", "order", "position", "wallet"
SETTLE_COIN = "USDT"  # of the simulated wallet: one pot for everything
MAINTENANCE = Decimal("0.005")  # margin that a position must keep, of its value


def plain(value: Decimal | None) -> str:
    """Write a number as the venue does: no exponent, no trailing zeros; "" for None.

    >>> plain(Decimal("60000.10")), plain(Decimal("0E-3")), plain(None)
    ('60000.1', '0', '')
    """
    if value is None:
        return ""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as `/v5/order/realtime` and `/v5/order/history` show it."""
    trigger = order.trigger
    return {
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "parentOrderLinkId": "",
        "blockTradeId": "",
        "symbol": order.symbol,
        "price": plain(order.price) or "0",
        "qty": plain(order.quantity),
        "side": order.side.value,
        "isLeverage": "",
        "positionIdx": order.position_index,
        "orderStatus": order.status.value,
        "createType": order.create_type,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": plain(order.average),
        "leavesQty": plain(order.leaves),
        "leavesValue": plain(order.leaves * (order.price or order.average or ZERO)),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.value),
        "cumExecFee": plain(order.fee),
        "timeInForce": order.time_in_force,
        "orderType": "Market" if order.price is None else "Limit",
        "stopOrderType": "" if trigger is None else "Stop",
        "orderIv": "",
        "marketUnit": "",
        "triggerPrice": "" if trigger is None else plain(trigger.price),
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "ocoTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": 0 if trigger is None else 1 if trigger.rising else 2,
        "triggerBy": "" if trigger is None else trigger.by,
        "lastPriceOnCreated": plain(order.last_price),
        "basePrice": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "cumFeeDetail": {SETTLE_COIN: plain(order.fee)} if order.fee else {},
    }


def order_event(order: Order) -> dict[str, Any]:
    """Return an order as the `order` topic tells it."""
    row = order_row(order)
    del row["parentOrderLinkId"], row["basePrice"]
    return {"category": "linear", **row, "brokerOrderPrice": "", "closedPnl": "0", "feeCurrency": ""}


def fill_row(fill: Fill) -> dict[str, Any]:
    """Return an execution as `/v5/execution/list` shows it."""
    order = fill.order
    kind = "Market" if order.price is None else "Limit"
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "side": order.side.value,
        "orderPrice": plain(order.price) or "0",
        "orderQty": plain(order.quantity),
        "leavesQty": plain(fill.leaves),
        "createType": order.create_type,
        "orderType": "UNKNOWN" if fill.kind == "Funding" else kind,
        "stopOrderType": "UNKNOWN" if order.trigger is None else "Stop",
        "execFee": plain(fill.fee),
        "execFeeV2": "",
        "execId": fill.execution_id,
        "execPrice": plain(fill.price),
        "execQty": plain(fill.quantity),
        "execType": fill.kind,
        "execValue": plain(fill.price * fill.quantity),
        "execTime": str(fill.time_ms),
        "feeCurrency": SETTLE_COIN,
        "isMaker": fill.maker,
        "feeRate": plain(fill.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": plain(fill.price if fill.mark is None else fill.mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": plain(fill.closed),
        "seq": fill.sequence,
        "extraFees": "",
    }


def fill_event(fill: Fill) -> dict[str, Any]:
    """Return an execution as the `execution` topic tells it."""
    row = fill_row(fill)
    del row["execFeeV2"]
    return {"category": "linear", "isLeverage": "0", **row, "execPnl": plain(fill.pnl)}


def fast_event(fill: Fill) -> dict[str, Any]:
    """Return a trade as the `execution.fast` topic tells it: a maker's without its orderLinkId."""
    return {
        "category": "linear",
        "symbol": fill.order.symbol,
        "execId": fill.execution_id,
        "execPrice": plain(fill.price),
        "execQty": plain(fill.quantity),
        "orderId": fill.order.order_id,
        "isMaker": fill.maker,
        "orderLinkId": "" if fill.maker else fill.order.link_id,
        "side": fill.order.side.value,
        "execTime": str(fill.time_ms),
        "seq": fill.sequence,
    }


def _position(position: Position, mark: Decimal | None) -> dict[str, Any]:
    side = "Buy" if position.size > 0 else "Sell" if position.size < 0 else ""
    value = abs(position.size) * position.entry
    open_profit = ZERO if mark is None else (mark - position.entry) * position.size
    return {
        "positionIdx": position.index,
        "tradeMode": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": position.symbol,
        "side": side,
        "size": plain(abs(position.size)),
        "positionValue": plain(value),
        "leverage": "10",
        "markPrice": plain(mark),
        "positionBalance": plain(value / 10),
        "positionIM": plain(value / 10),
        "positionMM": plain(value * MAINTENANCE),
        "positionIMByMp": plain(value / 10),
        "positionMMByMp": plain(value * MAINTENANCE),
        "liqPrice": "",
        "bustPrice": "",
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(open_profit),
        "curRealisedPnl": plain(position.realised - position.fees),
        "cumRealisedPnl": plain(position.realised - position.fees),
        "sessionAvgPrice": "",
        "delta": "",
        "gamma": "",
        "vega": "",
        "theta": "",
        "positionStatus": "Normal",
        "adlRankIndicator": 2 if position.size else 0,
        "autoAddMargin": 0,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
        "seq": position.sequence,
    }


def position_row(position: Position, mark: Decimal | None) -> dict[str, Any]:
    """Return a position as `/v5/position/list` shows it."""
    return {**_position(position, mark), "avgPrice": plain(position.entry)}


def position_event(position: Position, mark: Decimal | None) -> dict[str, Any]:
    """Return a position as the `position` topic tells it."""
    return {"category": "linear", **_position(position, mark), "entryPrice": plain(position.entry)}


def wallet_row(exchange: Exchange) -> dict[str, Any]:
    """Return the account as `/v5/account/wallet-balance` and the `wallet` topic show it."""
    wallet = exchange.wallet
    unrealised = sum(
        (
            (mark - one.entry) * one.size
            for one in wallet.positions.values()
            if one.size and (mark := exchange.mark(one.symbol)) is not None
        ),
        ZERO,
    )
    balance, positions, orders = wallet.equity(), wallet.margin(), exchange.accepts.order_margin()
    realised = sum((one.realised - one.fees for one in wallet.positions.values()), ZERO)
    value = wallet.margin() * wallet.leverage
    equity = balance + unrealised
    initial, maintenance = positions + orders, value * MAINTENANCE
    free = equity - initial
    coin = {
        "coin": SETTLE_COIN,
        "equity": plain(equity),
        "usdValue": plain(equity),
        "walletBalance": plain(balance),
        "free": "",
        "locked": "0",
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": plain(orders),
        "totalPositionIM": plain(positions),
        "totalPositionMM": plain(maintenance),
        "unrealisedPnl": plain(unrealised),
        "cumRealisedPnl": plain(realised),
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
    }
    rate = Decimal("0.0001")
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": plain((initial / equity).quantize(rate)) if equity else "0",
        "accountIMRateByMp": plain((initial / equity).quantize(rate)) if equity else "0",
        "accountMMRate": plain((maintenance / equity).quantize(rate)) if equity else "0",
        "accountMMRateByMp": plain((maintenance / equity).quantize(rate)) if equity else "0",
        "totalEquity": plain(equity),
        "totalWalletBalance": plain(balance),
        "totalMarginBalance": plain(equity),
        "totalAvailableBalance": plain(free),
        "totalPerpUPL": plain(unrealised),
        "totalInitialMargin": plain(initial),
        "totalInitialMarginByMp": plain(initial),
        "totalMaintenanceMargin": plain(maintenance),
        "totalMaintenanceMarginByMp": plain(maintenance),
        "coin": [coin],
    }


def messages(
    report: Report, exchange: Exchange, topics: Collection[str] = TOPICS
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return (topic, rows) of one report for these topics, in the venue's order."""
    trades = [fill for fill in report.fills if fill.kind == "Trade"]
    rows: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "execution.fast": lambda: [fast_event(fill) for fill in trades],
        "execution": lambda: [fill_event(fill) for fill in report.fills],
        "order": lambda: [order_event(order) for order in report.orders],
        "position": lambda: [position_event(one, exchange.mark(one.symbol)) for one in report.positions],
        "wallet": lambda: [wallet_row(exchange)] if report.fills else [],
    }
    return [(topic, found) for topic in TOPICS if topic in topics and (found := rows[topic]())]
