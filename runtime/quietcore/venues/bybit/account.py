"""What a Bybit account has at the venue: open orders, executions, position; and cancelling all of it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from quietcore.venues.bybit import private, rest
from quietcore.venues.interface import Fill, OrderUpdate, Position, RefusedError, UncertainError

ORDERS_PAGE, EXECUTIONS_PAGE = "50", "100"
MOST_PAGES = 100


SETTLE_COIN = "USDT"  # of linear contracts


def scope(symbol: str) -> dict[str, str]:
    """Return what a request is about: one symbol, or all that settle in the coin."""
    return {"symbol": symbol} if symbol else {"settleCoin": SETTLE_COIN}


class BybitAccount:
    """Queries and sweeps over a session that is there already.

    Sources: bybit-exchange.github.io/docs/v5/order/open-order, /order/execution, /position, /order/cancel-all,
    /order/dcp.
    """

    def __init__(self, session: rest.BybitRest, category: str) -> None:
        self._rest, self._category = session, category

    async def open_orders(self, symbol: str) -> list[OrderUpdate]:
        """Return every open order, of every symbol where ``symbol`` is empty. Raises UncertainError."""
        query = {"category": self._category, **scope(symbol), "openOnly": "0", "limit": ORDERS_PAGE}
        updates = []
        for entry in await self._pages("/v5/order/realtime", query):
            update = private.order_update(entry)
            if update is None:
                raise UncertainError("an open order cannot be understood")
            if not update.fate.final:
                updates.append(update)
        return updates

    async def executions(self, symbol: str, since_ms: int) -> list[Fill]:
        """Return every trade since ``since_ms``, oldest first. Raises UncertainError."""
        query = {"category": self._category, "symbol": symbol, "startTime": str(since_ms)}
        entries = await self._pages("/v5/execution/list", {**query, "limit": EXECUTIONS_PAGE})
        fills = [fill for entry in entries if (fill := private.fill(entry)) is not None]
        return fills[::-1]

    async def position(self, symbol: str) -> Position:
        """Return the position. Raises UncertainError."""
        quantity, entry_price = Decimal(0), Decimal(0)
        for entry in await self._pages("/v5/position/list", {"category": self._category, "symbol": symbol}):
            try:
                size = Decimal(entry["size"] or "0")
                if size:
                    quantity = -size if entry["side"] == "Sell" else size
                    entry_price = Decimal(entry["avgPrice"] or "0")
            except (KeyError, TypeError, InvalidOperation) as error:
                raise UncertainError(f"position cannot be understood: {error!r}") from error
        return Position(quantity, entry_price)

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every open order, as in `open_orders`. Raises RefusedError or UncertainError."""
        await self._rest.post("/v5/order/cancel-all", {"category": self._category, **scope(symbol)})

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        """Arm the cancel at disconnection, of derivatives. Raises RefusedError or UncertainError."""
        body = {"product": "DERIVATIVES", "timeWindow": seconds}
        await self._rest.post("/v5/order/disconnected-cancel-all", body)

    async def _pages(self, path: str, query: dict[str, str]) -> list[Any]:
        entries: list[Any] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            try:
                result = await self._rest.get(path, {**query, "cursor": cursor} if cursor else query)
            except RefusedError as error:
                # A query that is refused says nothing.
                raise UncertainError(str(error)) from error
            if not isinstance(result, dict) or not isinstance(result.get("list"), list):
                raise UncertainError(f"{path} answers without a list")
            entries += result["list"]
            cursor = result.get("nextPageCursor") or ""
            if not cursor:
                return entries
        raise UncertainError(f"{path} has more than {MOST_PAGES} pages")
