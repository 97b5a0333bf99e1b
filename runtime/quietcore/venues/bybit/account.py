"""What a Bybit account has at the venue: open orders, executions, position; and cancelling all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from quietcore.venues.bybit import pages, rest, rows
from quietcore.venues.interface import (
    Fate,
    Fill,
    Nature,
    NotUnderstood,
    OrderUpdate,
    Position,
    RefusedError,
    Trouble,
    UncertainError,
)

ORDERS_PAGE, EXECUTIONS_PAGE, POSITIONS_PAGE, INSTRUMENTS_PAGE = "50", "100", "200", "1000"
REALTIME, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
POSITIONS, CANCEL_ALL = "/v5/position/list", "/v5/order/cancel-all"
INSTRUMENTS, DISCONNECT_CANCEL = "/v5/market/instruments-info", "/v5/order/disconnected-cancel-all"
# A range of executions is at most seven days long, and without an end it ends after them, not now.
RANGE_MS = 7 * 86_400_000
AHEAD_MS = 60_000  # clocks differ

# bybit-exchange.github.io/docs/v5/enum#category: contracts settled in these coins are of one category. A listing may
# name further ones.
SETTLE_COINS = {"linear": ("USDT", "USDC")}
PARAMETERS_CODE = 10001
LISTING_MS = 3_600_000  # how long a listing of the settle coins is believed
UPDATE = "none here: this version does not know it"

Read = TypeVar("Read")
HEDGE_MODE = Trouble(
    "the account is in hedge mode (positionIdx 1 and 2)",
    "a symbol has two positions there, and every order would need a side of them",
    Nature.ACCESS,
    "switch the symbol to one-way mode, with nothing open: POST /v5/position/switch-mode, mode 0, or in the app",
)


def wall_ms() -> int:
    """Return UTC in ms."""
    return time.time_ns() // 1_000_000


class BybitAccount:
    """Queries and sweeps over a session that is there already. ``now_ms``: UTC.

    Sources: bybit-exchange.github.io/docs/v5/order/open-order, /order/order-list, /order/execution, /position,
    /order/cancel-all, /order/dcp.
    """

    def __init__(self, session: rest.BybitRest, category: str, now_ms: Callable[[], int] = wall_ms) -> None:
        self._rest, self._category, self._now_ms = session, category, now_ms
        self._listed: frozenset[str] = frozenset()  # settle coins that the venue's listing names
        self._listed_ms = 0

    async def open_orders(self, symbol: str) -> list[OrderUpdate]:
        """Return every open order, of every symbol where ``symbol`` is empty. Raises UncertainError."""
        if symbol:
            return await self._open_orders({"symbol": symbol})
        await self._learn_coins()
        updates = []
        for coin in self._coins():
            try:
                updates += await self._open_orders({"settleCoin": coin})
            except UncertainError as error:
                if not self._is_unknown_coin(coin, error.__cause__):
                    raise
        return updates

    async def executions(self, symbol: str, since_ms: int) -> list[Fill | NotUnderstood]:
        """Return every execution that moves a position since ``since_ms``, oldest first. Raises UncertainError."""
        found: dict[object, Fill | NotUnderstood] = {}
        start, end = since_ms, self._now_ms() + AHEAD_MS
        whole = end - since_ms <= RANGE_MS
        while True:
            until = min(start + RANGE_MS, max(start, end))
            query = {"category": self._category, "symbol": symbol, "startTime": str(start)}
            query |= (
                {"limit": EXECUTIONS_PAGE} if whole else {"endTime": str(until), "limit": EXECUTIONS_PAGE}
            )
            for entry in reversed(await self._pages(EXECUTIONS, query, pages.EXECUTION_KEY)):
                if isinstance(entry, dict) and entry.get("symbol") in (None, "", symbol):
                    found |= {pages.EXECUTION_KEY(entry): one for one in _execution(entry)}
            start = until
            if start >= end:
                return list(found.values())

    async def position(self, symbol: str) -> Position:
        """Return the position. Raises UncertainError, with `HEDGE_MODE` where the symbol has two."""
        query = {"category": self._category, "symbol": symbol, "limit": POSITIONS_PAGE}
        entries = await self._pages(POSITIONS, query, pages.POSITION_KEY)
        return position_of(entries, symbol)

    async def find(self, symbol: str, client_id: str) -> OrderUpdate | None:
        """Return an order, wherever the venue keeps it; None where it is nowhere. Raises UncertainError.

        The list of live orders also has those that ended lately, until the venue restarts; the history has them after
        that, and may be late; the executions show what was traded where neither has the order.
        """
        query = {"category": self._category, "symbol": symbol, "orderLinkId": client_id}
        for path in (REALTIME, HISTORY):
            for entry in await self._pages(path, {**query, "limit": ORDERS_PAGE}, pages.ORDER_KEY):
                if isinstance(entry, dict) and entry.get("orderLinkId") == client_id:
                    return understood(rows.order, entry)
        query["limit"] = EXECUTIONS_PAGE
        entries = await self._pages(EXECUTIONS, query, pages.EXECUTION_KEY)
        own = [one for one in entries if isinstance(one, dict) and one.get("orderLinkId") == client_id]
        fills = [fill for one in own for fill in _execution(one) if isinstance(fill, Fill)]
        if not fills:
            return None
        filled = sum((fill.quantity for fill in fills), Decimal(0))
        whole = understood(lambda row: rows.number(row, "orderQty", absent="0"), own[0])
        fate = Fate.FILLED if whole and filled >= whole else Fate.PARTIALLY_FILLED
        return OrderUpdate(client_id, fills[0].order_id, fate, filled, listed=False)

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every open order, as in `open_orders`. Raises RefusedError or UncertainError.

        One coin that cannot be swept does not keep the others from it. At most 500 orders are cancelled by one request.
        """
        if symbol:
            await self._cancel({"symbol": symbol})
            return
        # The listing takes its time: what is known is swept before it is read.
        known = self.settle_coins
        failures = await self._sweep(known)
        await self._learn_coins()
        failures |= await self._sweep(tuple(coin for coin in self._coins() if coin not in known))
        for coin, error in failures.items():
            if not self._is_unknown_coin(coin, error):
                raise error

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        """Arm the cancel at disconnection, of derivatives. Raises RefusedError or UncertainError."""
        await self._rest.post(DISCONNECT_CANCEL, {"product": "DERIVATIVES", "timeWindow": seconds})

    @property
    def settle_coins(self) -> tuple[str, ...]:
        """The coins in which orders of the category may settle, as far as is known."""
        return tuple(sorted({*SETTLE_COINS.get(self._category, ()), *self._listed}))

    def _coins(self) -> tuple[str, ...]:
        if not self.settle_coins:
            raise UncertainError(
                f"nobody knows in which coins {self._category} settles: nothing was asked for"
            )
        return self.settle_coins

    async def _learn_coins(self) -> None:
        """Read the settle coins from the venue's listing; where it cannot be read, those that are known stay."""
        now = self._now_ms()
        if self._listed and now - self._listed_ms < LISTING_MS:
            return
        query = {"category": self._category, "limit": INSTRUMENTS_PAGE}
        try:
            entries = await self._pages(INSTRUMENTS, query, pages.SYMBOL_KEY, signed=False)
        except UncertainError:
            return
        coins = {one.get("settleCoin") for one in entries if isinstance(one, dict)}
        self._listed |= {coin for coin in coins if isinstance(coin, str) and coin}
        self._listed_ms = now

    def _is_unknown_coin(self, coin: str, error: BaseException | None) -> bool:
        """Return whether a refusal says that nothing settles in a coin: it is ours, and the listing has it not."""
        unlisted = bool(self._listed) and coin not in self._listed
        return unlisted and isinstance(error, RefusedError) and error.code == PARAMETERS_CODE

    async def _open_orders(self, scope: dict[str, str]) -> list[OrderUpdate]:
        query = {"category": self._category, **scope, "openOnly": "0", "limit": ORDERS_PAGE}
        symbol = scope.get("symbol")
        updates = []
        for entry in await self._pages(REALTIME, query, pages.ORDER_KEY):
            if symbol and isinstance(entry, dict) and entry.get("symbol") not in (None, "", symbol):
                continue
            update = understood(rows.order, entry)
            if not update.fate.final:
                updates.append(update)
        return updates

    async def _sweep(self, coins: tuple[str, ...]) -> dict[str, RefusedError | UncertainError]:
        failures: dict[str, RefusedError | UncertainError] = {}
        for coin in coins:
            try:
                await self._cancel({"settleCoin": coin})
            except (RefusedError, UncertainError) as error:
                failures[coin] = error
        return failures

    async def _cancel(self, scope: dict[str, str]) -> None:
        result, written_ns = await self._rest.post(CANCEL_ALL, {"category": self._category, **scope})
        # "1": done, "0": not; bybit-exchange.github.io/docs/v5/order/cancel-all
        if isinstance(result, dict) and result.get("success") == "0":
            raise UncertainError(f"{CANCEL_ALL} has failed for {scope}", written_ns)

    async def _pages(
        self, path: str, query: dict[str, str], key: pages.Key, *, signed: bool = True
    ) -> list[Any]:
        async def fetch(one: dict[str, str]) -> Any:
            try:
                return await self._rest.get(path, one, signed=signed)
            except RefusedError as error:
                # A question that is refused says nothing of what it asked about.
                raise UncertainError(str(error), error.written_ns, error.trouble) from error

        return await pages.all_rows(fetch, path, query, key)


def position_of(entries: list[Any], symbol: str) -> Position:
    """Return the position in a symbol of all rows. Raises UncertainError, with `HEDGE_MODE` where there are two."""
    found = [row for entry in entries if (row := understood(rows.position, entry)).symbol == symbol]
    if any(row.mode in rows.HEDGE for row in found):
        raise UncertainError(HEDGE_MODE.found, trouble=HEDGE_MODE)
    if len({(row.quantity, row.entry) for row in found}) > 1:
        raise UncertainError(f"{POSITIONS} answers with {len(found)} different positions in {symbol}")
    if not found or not found[0].quantity:
        return Position(Decimal(0), Decimal(0))
    return Position(found[0].quantity, found[0].entry)


def understood(read: Callable[[Any], Read], row: object) -> Read:
    """Return what a row says; raises UncertainError, naming the field, where it cannot be read."""
    try:
        return read(row)
    except rows.RowError as error:
        text = f"cannot be understood: {error}"
        raise UncertainError(text, trouble=Trouble(text, remedy=UPDATE)) from error


def _execution(row: Any) -> list[Fill | NotUnderstood]:
    """Return an execution; of a kind that is not known: its name; nothing for one that moves no position."""
    kind = row.get("execType")
    if isinstance(kind, str) and kind and kind not in rows.TRADES | rows.NO_TRADES:
        return [NotUnderstood(f"execType {kind!r}", str(row.get("orderLinkId") or ""))]
    fill = understood(rows.execution, row)
    return [] if fill is None else [fill]
