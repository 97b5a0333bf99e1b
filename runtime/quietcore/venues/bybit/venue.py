"""Bybit v5 as an `OrderVenue`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues.bybit import rest, signing
from quietcore.venues.bybit.account import BybitAccount
from quietcore.venues.bybit.private import BybitPrivateStream, order_update
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Event,
    Instrument,
    OrderRequest,
    OrderUpdate,
    RefusedError,
    Sent,
    UncertainError,
)


class BybitVenue:
    """One product category of Bybit."""

    def __init__(self, name: str, category: str, endpoints: Endpoints, credentials: Credentials) -> None:
        self._name = name
        self._category = category
        self._endpoints = endpoints
        self._rest = rest.BybitRest(endpoints, credentials)
        self._stream = BybitPrivateStream(endpoints, credentials)
        account = BybitAccount(self._rest, category)
        self.open_orders, self.executions = account.open_orders, account.executions
        self.position, self.cancel_all = account.position, account.cancel_all
        self.arm_disconnect_cancel = account.arm_disconnect_cancel

    @property
    def name(self) -> str:
        """The venue's name in configurations."""
        return self._name

    @property
    def request_lifetime(self) -> float:
        """The venue refuses requests whose timestamp is older than the receive window."""
        return signing.RECV_WINDOW_MS / 1000

    async def open(self) -> None:
        """Connect, and learn whether the venue is there; the connection is kept for the first order."""
        try:
            await self._rest.get("/v5/market/time", {}, signed=False)
        except (RefusedError, UncertainError) as error:
            raise rest.explain(error, self._endpoints.rest) from error

    async def close(self) -> None:
        """Close the session."""
        await self._rest.close()

    async def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's rules from /v5/market/instruments-info."""
        path = "/v5/market/instruments-info"
        where = f"{self._endpoints.rest}{path}"
        try:
            result = await self._rest.get(path, {"category": self._category, "symbol": symbol}, signed=False)
        except (RefusedError, UncertainError) as error:
            raise rest.explain(error, where) from error
        for entry in result.get("list", []) if isinstance(result, dict) else []:
            if entry.get("symbol") == symbol:
                return instrument(entry, where)
        raise QuietcoreError(
            "venue does not know the symbol",
            where=where,
            found=symbol,
            remedy="name a symbol that the venue trades",
        )

    async def place(self, order: OrderRequest) -> Sent:
        """Send a limit order, good till cancelled or post-only."""
        result, written_ns = await self._rest.post(
            "/v5/order/create",
            {
                "category": self._category,
                "symbol": order.symbol,
                "side": "Buy" if order.buy else "Sell",
                "orderType": "Limit",
                "qty": order.quantity,
                "price": order.price,
                "timeInForce": "PostOnly" if order.post_only else "GTC",
                "orderLinkId": order.client_id,
                "positionIdx": 0,
            },
        )
        return Sent(order_id(result, written_ns), written_ns)

    async def cancel(self, symbol: str, client_id: str) -> Sent:
        """Ask for a cancel by client id."""
        result, written_ns = await self._rest.post(
            "/v5/order/cancel", {"category": self._category, "symbol": symbol, "orderLinkId": client_id}
        )
        return Sent(order_id(result, written_ns), written_ns)

    async def query(self, symbol: str, client_id: str) -> OrderUpdate | None:
        """Ask /v5/order/realtime, which also holds orders that were closed recently."""
        try:
            result = await self._rest.get(
                "/v5/order/realtime", {"category": self._category, "symbol": symbol, "orderLinkId": client_id}
            )
        except RefusedError as error:
            # A query that is refused says nothing about the order.
            raise UncertainError(str(error)) from error
        entries = result.get("list", []) if isinstance(result, dict) else []
        for entry in entries:
            update = order_update(entry)
            if update is None:
                raise UncertainError(f"order in an unknown state: {entry.get('orderStatus')}")
            if update.client_id == client_id:
                return update
        return None

    def events(self) -> AsyncIterator[Event]:
        """Yield the private stream's events."""
        return self._stream.events()


def order_id(result: Any, written_ns: int) -> str:
    """Return the venue's order id from a result that must hold one."""
    value = result.get("orderId") if isinstance(result, dict) else None
    if not isinstance(value, str) or not value:
        raise UncertainError("answer without an orderId", written_ns)
    return value


def instrument(entry: Any, where: str) -> Instrument:
    """Return the rules of one entry of instruments-info."""
    try:
        price, lot = entry["priceFilter"], entry["lotSizeFilter"]
        rules = Instrument(
            symbol=entry["symbol"],
            tick_size=Decimal(price["tickSize"]),
            lot_size=Decimal(lot["qtyStep"]),
            min_quantity=Decimal(lot["minOrderQty"]),
            max_quantity=Decimal(lot.get("maxOrderQty") or "Infinity"),
            min_notional=Decimal(lot.get("minNotionalValue") or "0"),
        )
        if rules.tick_size <= 0 or rules.lot_size <= 0:
            raise ValueError("a step of 0")
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise QuietcoreError(
            "venue's instrument data cannot be understood",
            where=where,
            found=repr(error),
            code=ExitCode.UNKNOWN,
        ) from error
    return rules
