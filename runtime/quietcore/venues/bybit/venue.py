"""Bybit v5 as an `OrderVenue`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues.bybit import pages, rest, rows, signing
from quietcore.venues.bybit.account import INSTRUMENTS, BybitAccount
from quietcore.venues.bybit.hosts import TIME_PATH
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.bybit.private import BybitPrivateStream
from quietcore.venues.bybit.trade_stream import REST_PATHS, BybitOrderEntry, BybitTradeWebSocket
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Event,
    Instrument,
    OrderRequest,
    OrderWays,
    RefusedError,
    Sent,
    UncertainError,
)

TICKERS = "/v5/market/tickers"


class BybitVenue:
    """One product category of Bybit. Its parts share what the hosts have asked for."""

    def __init__(
        self,
        name: str,
        category: str,
        endpoints: Endpoints,
        credentials: Credentials,
        pins: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._category = category
        self._endpoints = endpoints
        pauses = Pauses()
        self._rest = rest.BybitRest(endpoints, credentials, pins, pauses)
        self._stream = BybitPrivateStream(endpoints, credentials, pins, pauses)
        self._trade: BybitTradeWebSocket | None = None
        self._entry: BybitOrderEntry | None = None
        if endpoints.order_websocket:
            self._trade = BybitTradeWebSocket(
                endpoints.order_websocket, credentials, tls_ca=endpoints.tls_ca, pins=pins, pauses=pauses
            )
            self._entry = BybitOrderEntry(self._trade, self._rest, category)
        self._by_rest = 0  # where there is no other way
        account = BybitAccount(self._rest, category)
        self.open_orders, self.executions = account.open_orders, account.executions
        self.position, self.cancel_all = account.position, account.cancel_all
        self.arm_disconnect_cancel, self.query = account.arm_disconnect_cancel, account.find

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
            await self._rest.get(TIME_PATH, {}, signed=False)
        except (RefusedError, UncertainError) as error:
            raise rest.explain(error, self._endpoints.rest) from error
        if self._trade is not None:
            # It goes on trying; until it is up, orders go by REST, and `order_ways` says why.
            with contextlib.suppress(QuietcoreError):
                await self._trade.connect()

    async def close(self) -> None:
        """Close the sessions."""
        if self._trade is not None:
            await self._trade.close()
        await self._rest.close()

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        """Go over with private stream, order entry and REST at once."""
        begin = time.perf_counter()
        trade = [] if self._trade is None else [self._trade.switch_endpoint(websocket)]
        work = (self._stream.switch_endpoint(websocket), self._switch_rest(rest), *trade)
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        return time.perf_counter() - begin

    async def _switch_rest(self, url: str) -> float:
        try:
            return await self._rest.switch_endpoint(url)
        except (RefusedError, UncertainError) as error:
            raise rest.explain(error, url) from error

    def order_ways(self) -> OrderWays:
        """Return how order requests went out until now."""
        if self._trade is None or self._entry is None:
            return OrderWays(by_rest=self._by_rest)
        return OrderWays(self._entry.by_socket, self._entry.by_rest, self._trade.problem)

    async def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's rules from /v5/market/instruments-info, and its price from /v5/market/tickers."""
        where = f"{self._endpoints.rest}{INSTRUMENTS}"
        query = {"category": self._category, "symbol": symbol}
        try:
            found, _ = pages.page(await self._rest.get(INSTRUMENTS, query, signed=False), INSTRUMENTS)
        except (RefusedError, UncertainError) as error:
            raise rest.explain(error, where) from error
        for entry in found:
            if isinstance(entry, dict) and entry.get("symbol") == symbol:
                return instrument(entry, where)._replace(price=await self._price(query))
        raise QuietcoreError(
            "venue does not know the symbol",
            where=where,
            found=symbol,
            remedy="name a symbol that the venue trades",
        )

    async def _price(self, query: dict[str, str]) -> Decimal:
        """Return what a symbol trades at, 0 where the venue does not say."""
        try:
            found, _ = pages.page(await self._rest.get(TICKERS, query, signed=False), TICKERS)
            mine = [one for one in found if isinstance(one, dict) and one.get("symbol") == query["symbol"]]
            return rows.number(mine[0], "lastPrice", absent="0") if mine else Decimal(0)
        except (RefusedError, UncertainError, rows.RowError):
            return Decimal(0)

    async def place(self, order: OrderRequest) -> Sent:
        """Send a limit order, good till cancelled or post-only."""
        return await self._send(
            "order.create",
            {
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

    async def cancel(self, symbol: str, client_id: str) -> Sent:
        """Ask for a cancel by client id."""
        return await self._send("order.cancel", {"symbol": symbol, "orderLinkId": client_id})

    async def _send(self, operation: str, words: dict[str, Any]) -> Sent:
        if self._entry is not None:
            data, written_ns = await self._entry.send(operation, words)
        else:
            self._by_rest += 1
            data, written_ns = await self._rest.post(
                REST_PATHS[operation], {"category": self._category, **words}
            )
        return Sent(order_id(data, written_ns), written_ns)

    def events(self) -> AsyncGenerator[Event, None]:
        """Yield the private stream's events."""
        return self._stream.events()


def order_id(result: Any, written_ns: int) -> str:
    """Return the venue's order id from a result that must hold one."""
    value = result.get("orderId") if isinstance(result, dict) else None
    if not isinstance(value, str) or not value:
        raise UncertainError("answer without an orderId", written_ns)
    return value


def instrument(entry: Any, where: str) -> Instrument:
    """Return the rules of one entry of instruments-info; raise QuietcoreError where it cannot be understood."""
    try:
        return rows.instrument(entry)
    except rows.RowError as error:
        raise QuietcoreError(
            "venue's instrument data cannot be understood",
            where=where,
            found=str(error),
            code=ExitCode.UNKNOWN,
        ) from error
