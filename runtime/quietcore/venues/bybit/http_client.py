"""`BybitHTTPClient`: Bybit v5 REST for programs: signed, with rate limits, and retries that never duplicate.

Questions (GET) are asked again after a time-out, a lost connection, a failure of the server, a refusal for the
rate, or for the time after the clock was compared. Commands (POST) are sent once, whatever happens: what became of
one that stayed without an answer is asked for by its ``orderLinkId``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from quietcore.venues import wire
from quietcore.venues.bybit.rest import BybitRest
from quietcore.venues.interface import Credentials, Endpoints, RefusedError, UncertainError

ATTEMPTS = 3
FIRST_DELAY_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0  # the venue counts requests over one second, addresses over five
TIME_WINDOW = 10002
RATE = 10006
NO_CREDENTIALS = Credentials("", b"")


class BybitHTTPClient(BybitRest):
    """One endpoint, one key. ``category``: linear, inverse, spot or option.

    Every call raises RefusedError (certain: no effect) or UncertainError (nobody knows). Use as an async context
    manager, or close it.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials = NO_CREDENTIALS,
        *,
        category: str = "linear",
        tls_ca: str = "",
        pins: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(Endpoints(url, "", tls_ca), credentials, pins)
        self.category = category

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # requests

    async def get(self, path: str, query: dict[str, str], *, signed: bool = True) -> Any:
        """Return the result of a question, asked up to three times."""
        delay = FIRST_DELAY_SECONDS
        for left in reversed(range(ATTEMPTS)):
            try:
                return await super().get(path, query, signed=signed)
            except UncertainError:
                if not left:
                    raise
            except RefusedError as error:
                if not left or error.code not in (RATE, TIME_WINDOW, -1):
                    raise
                if error.code == TIME_WINDOW:
                    await self.compare_clocks()
                elif error.code == RATE and (limit := self.limits.get(path)) is not None:
                    wait = limit.reset_ms / 1000 - time.time()
                    delay = min(max(wait, delay), LONGEST_WAIT_SECONDS)
            await asyncio.sleep(delay)
            delay *= 2
        raise AssertionError("unreachable")

    async def compare_clocks(self) -> int:
        """Learn by how many ms the venue's clock is ahead of ours, for the time-stamps of what is signed."""
        begin = time.time_ns()
        result, _ = await self._request("GET", f"{self._base}/v5/market/time", "", None, signed=False)
        end = time.time_ns()
        with contextlib.suppress(KeyError, TypeError, ValueError):
            self.clock_offset_ms = (int(result["timeNano"]) - (begin + end) // 2) // 1_000_000
        return self.clock_offset_ms

    # market

    async def server_time_ns(self) -> int:
        """Return the venue's time, UTC ns."""
        result = await self.get("/v5/market/time", {}, signed=False)
        return int(result["timeNano"])

    async def instruments(self) -> list[dict[str, Any]]:
        """Return the instrument data of the whole category, all pages."""
        found: list[dict[str, Any]] = []
        query = {"category": self.category, "limit": "1000"}
        for _ in range(50):  # bounded: a venue that always has one more page is broken
            result = await self.get("/v5/market/instruments-info", query, signed=False)
            found += result.get("list") or []
            cursor = result.get("nextPageCursor") or ""
            if not cursor:
                break
            query["cursor"] = cursor
        return found

    # orders

    async def place_order(self, **order: str | bool | int) -> dict[str, Any]:
        """Send an order once. Names as the venue's; ``orderLinkId`` is needed, to ask for what became of it."""
        if not order.get("orderLinkId"):
            raise ValueError("an order without orderLinkId could never be asked for")
        return await self._command("/v5/order/create", order)

    async def amend_order(self, **order: str | bool | int) -> dict[str, Any]:
        """Send an amendment once."""
        return await self._command("/v5/order/amend", order)

    async def cancel_order(self, **order: str | bool | int) -> dict[str, Any]:
        """Send a cancel once."""
        return await self._command("/v5/order/cancel", order)

    async def cancel_all_orders(self, **scope: str | bool | int) -> dict[str, Any]:
        """Cancel all orders of a symbol (``symbol=``) or of a settlement coin (``settleCoin=``)."""
        return await self._command("/v5/order/cancel-all", scope)

    async def place_batch(self, orders: list[dict[str, Any]]) -> dict[str, Any]:
        """Send up to 20 orders (10 on spot) as one request, once."""
        most = 10 if self.category == "spot" else 20
        if not 1 <= len(orders) <= most:
            raise ValueError(f"a batch of {len(orders)} orders: expected 1 to {most}")
        if not all(order.get("orderLinkId") for order in orders):
            raise ValueError("an order without orderLinkId could never be asked for")
        return await self._command("/v5/order/create-batch", {"request": orders})

    async def open_orders(self, **scope: str) -> list[dict[str, Any]]:
        """Return open and recently closed orders: of a symbol, an ``orderLinkId``, or a settlement coin."""
        return await self._list("/v5/order/realtime", scope)

    async def positions(self, **scope: str) -> list[dict[str, Any]]:
        """Return positions: of a symbol or a settlement coin."""
        return await self._list("/v5/position/list", scope)

    async def executions(self, **scope: str) -> list[dict[str, Any]]:
        """Return executions, newest first."""
        return await self._list("/v5/execution/list", scope)

    async def _list(self, path: str, scope: dict[str, str]) -> list[dict[str, Any]]:
        result = await self.get(path, {"category": self.category, **scope})
        return list(result.get("list") or [])

    async def _command(self, path: str, words: dict[str, Any]) -> dict[str, Any]:
        result, _ = await self.post(path, {"category": self.category, **words})
        return dict(result or {})

    def socket_states(self) -> list[wire.SocketState]:
        """Return what the kernel says of the idle connections."""
        if self._session is None or self._session.connector is None:
            return []
        kept: Any = self._session.connector
        transports = [entry[0].transport for entries in kept._conns.values() for entry in entries]
        return [state for state in map(wire.socket_state, transports) if state is not None]
