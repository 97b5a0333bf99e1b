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
from quietcore.venues.bybit import codes, pages, rows
from quietcore.venues.bybit.account import EXECUTIONS, HISTORY, INSTRUMENTS, POSITIONS, REALTIME, understood
from quietcore.venues.bybit.hosts import TIME_PATH
from quietcore.venues.bybit.rest import NOT_SENT, BybitRest
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
                wait = error.trouble.wait
                if not left or error.code not in (RATE, TIME_WINDOW, NOT_SENT) or wait > LONGEST_WAIT_SECONDS:
                    raise
                if error.code == TIME_WINDOW:
                    await self.compare_clocks()
                delay = max(wait, delay)
            await asyncio.sleep(delay)
            delay *= 2
        raise AssertionError("unreachable")

    async def compare_clocks(self) -> int:
        """Learn by how many ms the venue's clock is ahead of ours, for the time-stamps of what is signed."""
        begin = time.time_ns()
        answer = await self._ask(TIME_PATH, {}, signed=False)
        end = time.time_ns()
        with contextlib.suppress(UncertainError):
            self.clock_offset_ms = (_time_ns(answer.result) - (begin + end) // 2) // 1_000_000
        return self.clock_offset_ms

    # market

    async def server_time_ns(self) -> int:
        """Return the venue's time, UTC ns."""
        return _time_ns(await self.get(TIME_PATH, {}, signed=False))

    async def instruments(self) -> list[dict[str, Any]]:
        """Return the instrument data of the whole category, all pages."""
        query = {"category": self.category, "limit": "1000"}
        return await self._all(INSTRUMENTS, query, pages.SYMBOL_KEY, signed=False)

    async def wallet(self, account_type: str = "UNIFIED") -> list[rows.Balance]:
        """Return what an account holds, by coin."""
        path = "/v5/account/wallet-balance"
        found, _ = pages.page(await self.get(path, {"accountType": account_type}), path)
        return [one for row in found for one in understood(rows.balances, row)]

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
        """Send up to 20 orders (10 on spot) as one request, once.

        Each row of the answer's ``list`` has the ``code`` and ``msg`` of its order beside its ids: 0 for one that was
        accepted; and ``refused``, both as one text, where it was refused for certain.
        """
        most = 10 if self.category == "spot" else 20
        if not 1 <= len(orders) <= most:
            raise ValueError(f"a batch of {len(orders)} orders: expected 1 to {most}")
        if not all(order.get("orderLinkId") for order in orders):
            raise ValueError("an order without orderLinkId could never be asked for")
        answer, _ = await self._post("/v5/order/create-batch", {"category": self.category, "request": orders})
        result = dict(answer.result) if isinstance(answer.result, dict) else {}
        verdicts = answer.retExtInfo.get("list") if isinstance(answer.retExtInfo, dict) else None
        made = result.get("list")
        if isinstance(made, list) and isinstance(verdicts, list) and len(made) == len(verdicts):
            # Both lists are in the order of the request.
            pairs = zip(made, verdicts, strict=True)
            result["list"] = [_with_verdict(row, word) for row, word in pairs]
        return result

    async def open_orders(self, **scope: str) -> list[dict[str, Any]]:
        """Return open and recently closed orders: of a symbol, an ``orderLinkId``, or a settlement coin.

        One order, named by an id, is looked for in the history too: a restart of the venue empties the other list.
        """
        found = await self._list(REALTIME, scope, pages.ORDER_KEY)
        if not found and (scope.get("orderLinkId") or scope.get("orderId")):
            return await self._list(HISTORY, scope, pages.ORDER_KEY)
        return found

    async def positions(self, **scope: str) -> list[dict[str, Any]]:
        """Return positions: of a symbol or a settlement coin."""
        return await self._list(POSITIONS, scope, pages.POSITION_KEY)

    async def executions(self, **scope: str) -> list[dict[str, Any]]:
        """Return executions, newest first."""
        return await self._list(EXECUTIONS, scope, pages.EXECUTION_KEY)

    async def _list(self, path: str, scope: dict[str, str], key: pages.Key) -> list[dict[str, Any]]:
        return await self._all(path, {"category": self.category, **scope}, key)

    async def _all(
        self, path: str, query: dict[str, str], key: pages.Key, *, signed: bool = True
    ) -> list[dict[str, Any]]:
        async def fetch(one: dict[str, str]) -> Any:
            return await self.get(path, one, signed=signed)

        return await pages.all_rows(fetch, path, query, key)

    async def _command(self, path: str, words: dict[str, Any]) -> dict[str, Any]:
        result, written_ns = await self.post(path, {"category": self.category, **words})
        if result is not None and not isinstance(result, dict):
            raise UncertainError(f"{path} answers without an object", written_ns)
        return dict(result or {})

    def socket_states(self) -> list[wire.SocketState]:
        """Return what the kernel says of the idle connections."""
        if self._session is None or self._session.connector is None:
            return []
        kept: Any = self._session.connector
        transports = [entry[0].transport for entries in kept._conns.values() for entry in entries]
        return [state for state in map(wire.socket_state, transports) if state is not None]


def _time_ns(result: object) -> int:
    """Return the venue's time of an answer of /v5/market/time; raises UncertainError."""
    value = result.get("timeNano") if isinstance(result, dict) else None
    if not isinstance(value, str) or not value.isdigit() or len(value) > 20:
        raise UncertainError(f"{TIME_PATH} answers without a time: {value!r}")
    return int(value)


def _with_verdict(row: Any, word: Any) -> Any:
    """Return a row of a batch's answer with what is said of its order."""
    if not isinstance(row, dict) or not isinstance(word, dict):
        return row
    code, found = word.get("code"), {**row, **word}
    if isinstance(code, int) and code and not codes.meaning_of(code).uncertain:
        found["refused"] = f"{code} {codes.plain_text(str(word.get('msg') or ''))}"
    return found
