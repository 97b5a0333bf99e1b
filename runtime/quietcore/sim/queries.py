"""What an account may ask for by a signed GET: live orders, order history, executions, positions, balance.

Sources: bybit-exchange.github.io/docs/v5/order/open-order, /order/order-list, /order/execution, /position,
/account/wallet-balance. Names of parameters are held against `parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from quietcore.sim import cursors, externals
from quietcore.sim.matching import Exchange
from quietcore.sim.orders import Fill, Order, Position, Status
from quietcore.sim.parameters import NOTHING, QUERIES, SETTLE_COINS, check_category, integer, one_of
from quietcore.sim.private_messages import fill_row, order_row, position_row, wallet_row
from quietcore.sim.refusal import Reject
from quietcore.sim.statistics import Statistics

CLOSED_SHOWN = 500
WEEK_MS = 7 * 24 * 3600 * 1000
LATEST_MS = 1 << 53
ODD_STATUS = "Suspended"  # none of the venue's own
CURSOR_AT_END = True  # of positions
KINDS = ("Order", "StopOrder")

Query = Mapping[str, str]


class Queries:
    """The answers of one account. `most_rows`: of a page, whatever limit is asked for; `odd_status`: a fault."""

    def __init__(
        self,
        exchange: Exchange,
        now_ms: Callable[[], int],
        statistics: Statistics,
        *,
        odd_status: Callable[[], bool] = lambda: False,
        most_rows: int | None = None,
    ) -> None:
        self._exchange, self._now_ms, self._statistics = exchange, now_ms, statistics
        self._odd_status, self._most_rows = odd_status, most_rows
        self._answers: dict[str, Callable[[Query], dict[str, Any]]] = {
            "/v5/order/realtime": self._live,
            "/v5/order/history": self._history,
            "/v5/execution/list": self._executions,
            "/v5/position/list": self._positions,
            "/v5/account/wallet-balance": self._balance,
        }

    def answer(self, path: str, query: Query) -> dict[str, Any]:
        """Return the result of a query; raise Reject."""
        QUERIES[path].check(path, query, self._statistics)
        return self._answers[path](query)

    # lists

    def _live(self, query: Query) -> dict[str, Any]:
        """Open orders, or the latest 500 of those that were closed since the venue's last restart."""
        check_category(query)
        scope = self._scope(query, ("symbol", "baseCoin", "settleCoin"))
        if scope is None:
            raise Reject(10001, "params error: symbol, settleCoin or baseCoin is required")
        closed = one_of(query, "openOnly", ("0", "1", "2"), "0") != "0"
        live = self._live_orders()
        if query.get("orderId") or query.get("orderLinkId"):
            found = self._named(live, query)
        else:
            found = [
                order for order in live if order.open is not closed and self._within(order.symbol, scope)
            ]
        found = self._filtered(found, query)
        return self._orders(found, query, cursors.LIVE_ORDERS)

    def _live_orders(self) -> list[Order]:
        """Return what the live list has, the newest first."""
        orders = list(reversed(self._exchange.orders.values()))
        closed = [one for one in orders if not one.open and not one.archived]
        closed.sort(key=lambda one: one.updated_ms, reverse=True)
        shown = {one.order_id for one in closed[:CLOSED_SHOWN]}
        return [one for one in orders if one.open or one.order_id in shown]

    def _history(self, query: Query) -> dict[str, Any]:
        """Orders that are final, of the last seven days or of the time that is asked for."""
        check_category(query)
        scope = self._scope(query, ("symbol", "baseCoin", "settleCoin"))
        first, last = self._range(query)
        status = query.get("orderStatus") or ""
        if status and status not in {one.value for one in Status}:
            raise Reject(10001, "params error: orderStatus invalid")
        orders = [order for order in reversed(self._exchange.orders.values()) if not order.open]
        if query.get("orderId") or query.get("orderLinkId"):
            found = self._named(orders, query)
        else:
            found = [
                order
                for order in orders
                if self._within(order.symbol, scope) and first <= order.created_ms <= last
            ]
        found = [one for one in self._filtered(found, query) if status in ("", one.status.value)]
        return self._orders(found, query, cursors.ORDER_HISTORY)

    def _executions(self, query: Query) -> dict[str, Any]:
        """Executions, the newest first."""
        check_category(query)
        scope = self._scope(query, ("symbol", "baseCoin"))
        first, last = self._range(query)
        kind = one_of(query, "execType", externals.CREATE_TYPES)
        fills = [fill for fill in reversed(self._exchange.executions) if kind in ("", fill.kind)]
        if query.get("orderId"):
            found = [fill for fill in fills if fill.order.order_id == query["orderId"]]
        elif query.get("orderLinkId"):
            found = [fill for fill in fills if fill.order.link_id == query["orderLinkId"]]
        else:
            found = [
                fill
                for fill in fills
                if self._within(fill.order.symbol, scope) and first <= fill.time_ms <= last
            ]
        limit = self._limit(query, 50, 100)
        shown, cursor = cursors.page(
            found, _number_of, cursors.EXECUTIONS, limit=limit, cursor=query.get("cursor")
        )
        return cursors.rows(shown, fill_row, cursor)

    def _positions(self, query: Query) -> dict[str, Any]:
        """The positions of a symbol, held or not; or of a settlement coin, those that are held."""
        check_category(query)
        exchange = self._exchange
        symbol, coin = query.get("symbol") or "", query.get("settleCoin") or ""
        if symbol:
            self._known(symbol)
            indexes = (1, 2) if symbol in exchange.hedged else (0,)
            found = [exchange.wallet.position(symbol, index) for index in indexes]
        elif coin in SETTLE_COINS:
            held = sorted(exchange.wallet.positions.items())
            found = [one for _, one in held if one.size and self._coins(one.symbol)[1] == coin]
        else:
            words = "settleCoin invalid" if coin else "symbol or settleCoin is required"
            raise Reject(10001, f"params error: {words}")
        limit = self._limit(query, 20, 200)
        shown, cursor = cursors.page(
            found,
            _place_of,
            cursors.POSITIONS,
            limit=limit,
            cursor=query.get("cursor"),
            always=CURSOR_AT_END,
            ordered=False,
        )
        return cursors.rows(shown, lambda one: position_row(one, exchange.mark(one.symbol)), cursor)

    def _balance(self, query: Query) -> dict[str, Any]:
        """The wallet; of coins that it does not have, nothing."""
        if query.get("accountType") != "UNIFIED":
            raise Reject(10001, "accountType only support UNIFIED.")
        row = wallet_row(self._exchange)
        coins = [name for name in (query.get("coin") or "").split(",") if name]
        if coins:
            row["coin"] = [one for one in row["coin"] if one["coin"] in coins]
        return {"list": [row]}

    # filters

    def _scope(self, query: Query, names: Iterable[str]) -> tuple[str, str] | None:
        """Return the filter that counts, the first of `names` that is given: by the venue's priority."""
        for name in names:
            value = query.get(name)
            if value not in NOTHING:
                assert value is not None
                if name == "symbol":
                    self._known(value)
                if name == "settleCoin" and value not in SETTLE_COINS:
                    raise Reject(10001, "params error: settleCoin invalid")
                return name, value
        return None

    def _known(self, symbol: str) -> None:
        if symbol not in self._exchange.instruments:
            raise Reject(10001, "params error: symbol invalid")

    def _coins(self, symbol: str) -> tuple[str, str]:
        return self._exchange.instruments[symbol].coins

    def _within(self, symbol: str, scope: tuple[str, str] | None) -> bool:
        if scope is None:
            return True
        name, value = scope
        if name == "symbol":
            return symbol == value
        base, settle = self._coins(symbol)
        return value == (base if name == "baseCoin" else settle)

    def _named(self, orders: list[Order], query: Query) -> list[Order]:
        """Return the order of an orderId or else of an orderLinkId, where it is of the symbol that is named."""
        if query.get("orderId"):
            found = [one for one in orders if one.order_id == query["orderId"]]
        else:
            found = [one for one in orders if one.link_id == query["orderLinkId"]]
        return [one for one in found if (query.get("symbol") or one.symbol) == one.symbol]

    def _filtered(self, orders: list[Order], query: Query) -> list[Order]:
        kind = one_of(query, "orderFilter", KINDS)
        return [one for one in orders if not kind or (one.trigger is None) is (kind == "Order")]

    def _range(self, query: Query) -> tuple[int, int]:
        """Return the first and last ms that are asked for: at most seven days."""
        now = self._now_ms()
        first = integer(query, "startTime", -1, 0, LATEST_MS)
        last = integer(query, "endTime", -1, 0, LATEST_MS)
        if first < 0 and last < 0:
            return now - WEEK_MS, LATEST_MS
        if last < 0:
            return first, first + WEEK_MS
        if first < 0:
            return last - WEEK_MS, last
        if first > last:
            raise Reject(10001, "The start time cannot be later than the end time.")
        if last - first > WEEK_MS:
            raise Reject(10001, "The time range between startTime and endTime cannot exceed 7 days.")
        return first, last

    # pages

    def _limit(self, query: Query, usual: int, most: int) -> int:
        limit = integer(query, "limit", usual, 1, most)
        return limit if self._most_rows is None else min(limit, self._most_rows)

    def _orders(self, found: list[Order], query: Query, form: cursors.Form) -> dict[str, Any]:
        limit = self._limit(query, 20, 50)
        shown, cursor = cursors.page(found, _id_of, form, limit=limit, cursor=query.get("cursor"))
        result = cursors.rows(shown, order_row, cursor)
        if result["list"] and self._odd_status():
            result["list"][0]["orderStatus"] = ODD_STATUS
        return result


def _id_of(order: Order) -> str:
    return order.order_id


def _number_of(fill: Fill) -> str:
    return f"{fill.sequence:012d}"


def _place_of(position: Position) -> str:
    return f"{position.symbol},{position.created_ms},{position.index}"
