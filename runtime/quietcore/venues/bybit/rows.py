"""The rows of Bybit's answers and private topics, read by a written grammar; what it does not allow is named.

A quantity or price is a text of digits with at most one point, a sign where the field may have one, or an exponent
(`1e-7`); a JSON integer counts as its text, a JSON number with a point is refused: it has been through binary floating
point. "" and null stand for an absent field wherever a field may be absent.

| row | must be there | may be absent |
|---|---|---|
| order | orderId, orderStatus (one of `FATES`) | orderLinkId, cumExecQty (0), rejectReason, symbol |
| execution | orderId, execId, execQty, execPrice | orderLinkId, execType (Trade), symbol, side, execFee (0) |
| execution of another type | execId, execQty, execPrice, symbol, side | orderId, orderLinkId, execFee (0) |
| position | symbol, size, side where size is not 0 | positionIdx (0), avgPrice (0) |
| instrument | symbol, priceFilter.tickSize, lotSizeFilter.qtyStep and minOrderQty | all others |
| balance | coin | equity, walletBalance (0) |

Sources: bybit-exchange.github.io/docs/v5/order/open-order, /order/execution, /position, /market/instrument,
/account/wallet-balance, /enum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.venues.interface import Fate, Fill, Instrument, OrderUpdate

# bybit-exchange.github.io/docs/v5/enum#orderstatus
FATES = {
    "Created": Fate.OPEN,
    "New": Fate.OPEN,
    "Active": Fate.OPEN,
    "PartiallyFilled": Fate.PARTIALLY_FILLED,
    "Untriggered": Fate.OPEN,
    "Triggered": Fate.OPEN,
    "Filled": Fate.FILLED,
    "Cancelled": Fate.CANCELLED,
    "PartiallyFilledCanceled": Fate.CANCELLED,
    "Deactivated": Fate.CANCELLED,
    "Rejected": Fate.REJECTED,
}
# https://bybit-exchange.github.io/docs/v5/enum#exectype: what moves a position, and what moves none. The quantity of a
# funding payment is the position that it is paid for.
ORDINARY = "Trade"
TRADES = frozenset(
    {ORDINARY, "AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition", "FutureSpread"}
)
NO_TRADES = frozenset({"Funding"})
SIDES = {"Buy": True, "Sell": False}
FLAT_SIDES = ("", "None")
ONE_WAY, HEDGE = (0,), (1, 2)
TRADING = "Trading"

# Bounded, so that sums, quotients and remainders stay within the 28 digits of decimal arithmetic.
_NUMBER = re.compile(r"[+-]?[0-9]{1,16}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")
_MOST, _LEAST = Decimal("1e15"), Decimal("1e-12")
_SHOWN = 60


class RowError(Exception):
    """A row that the grammar does not allow: which field, what stood there, what may."""

    def __init__(self, field: str, found: object, expected: str = "") -> None:
        text = repr(found)
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        self.field, self.found = field, found
        super().__init__(f"{field} {text}" + (f", expected {expected}" if expected else ""))


class PositionRow(NamedTuple):
    """One row of a position: ``quantity`` is negative when short."""

    symbol: str
    mode: int  # positionIdx
    quantity: Decimal
    entry: Decimal


class Balance(NamedTuple):
    """What a wallet holds of one coin."""

    coin: str
    equity: Decimal
    wallet: Decimal


def mapping(row: object, what: str) -> Mapping[str, Any]:
    """Return a row as a mapping."""
    if not isinstance(row, dict):
        raise RowError(what, row, "an object")
    return row


def text(row: Mapping[str, Any], field: str, *, needed: bool = False) -> str:
    """Return a text, "" where it is absent and may be."""
    value = row.get(field)
    if value is None or value == "":
        if needed:
            raise RowError(field, value, "a text")
        return ""
    if not isinstance(value, str):
        raise RowError(field, value, "a text")
    return value


def number(row: Mapping[str, Any], field: str, *, absent: str | None = None, signed: bool = False) -> Decimal:
    """Return a number; ``absent``: what stands for one that is absent, None where it must be there."""
    value = row.get(field)
    if value is None or value == "":
        if absent is None:
            raise RowError(field, value, "a number")
        return Decimal(absent)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise RowError(field, row.get(field), "a decimal number as text")
    found = Decimal(value)
    if found and not _LEAST <= abs(found) <= _MOST:
        raise RowError(field, value, f"a number from {_LEAST} to {_MOST}")
    if found < 0 and not signed:
        raise RowError(field, value, "no negative number")
    return found


def fee(row: Mapping[str, Any], field: str) -> Decimal:
    """Return a fee, which may be negative, and smaller than any quantity."""
    value = row.get(field)
    try:
        return number(row, field, absent="0", signed=True)
    except RowError:
        if isinstance(value, str) and _NUMBER.fullmatch(value) and abs(Decimal(value)) < _LEAST:
            return Decimal(0)
        raise


def order(row: object) -> OrderUpdate:
    """Return an order of the ``order`` topic, of /v5/order/realtime or /v5/order/history."""
    row = mapping(row, "order")
    order_id = text(row, "orderId", needed=True)
    status = text(row, "orderStatus", needed=True)
    if status not in FATES:
        raise RowError("orderStatus", status)
    filled = number(row, "cumExecQty", absent="0")
    reason = text(row, "rejectReason")
    return OrderUpdate(
        text(row, "orderLinkId"), order_id, FATES[status], filled, "" if reason == "EC_NoError" else reason
    )


def execution(row: object) -> Fill | None:
    """Return an execution of the ``execution`` topic or of /v5/execution/list; None for one that moves no position."""
    row = mapping(row, "execution")
    kind = text(row, "execType") or ORDINARY
    if kind in NO_TRADES:
        return None
    if kind not in TRADES:
        raise RowError("execType", kind)
    side = text(row, "side")
    if side not in SIDES and (side or kind != ORDINARY):
        raise RowError("side", side, "Buy or Sell")
    # Nobody's order led to some of them: those may come without its id.
    return Fill(
        text(row, "orderLinkId"),
        text(row, "orderId", needed=kind == ORDINARY),
        text(row, "execId", needed=True),
        number(row, "execQty"),
        number(row, "execPrice"),
        text(row, "symbol", needed=kind != ORDINARY),
        SIDES.get(side),
        fee(row, "execFee"),
        "" if kind == ORDINARY else kind,
    )


def position(row: object) -> PositionRow:
    """Return a row of /v5/position/list."""
    row = mapping(row, "position")
    symbol = text(row, "symbol", needed=True)
    mode = number(row, "positionIdx", absent="0")
    if mode not in (*ONE_WAY, *HEDGE):
        raise RowError("positionIdx", row.get("positionIdx"), "0, 1 or 2")
    size = number(row, "size", absent="0")
    side = text(row, "side")
    if side not in SIDES and (size or side not in FLAT_SIDES):
        raise RowError("side", side, "Buy or Sell")
    entry = number(row, "avgPrice", absent="0")
    return PositionRow(symbol, int(mode), size if SIDES.get(side, True) else -size, entry)


def instrument(row: object) -> Instrument:
    """Return the rules of one entry of /v5/market/instruments-info. Steps are above 0."""
    row = mapping(row, "instrument")
    price = mapping(row.get("priceFilter"), "priceFilter")
    lot = mapping(row.get("lotSizeFilter"), "lotSizeFilter")
    status = text(row, "status")
    found = Instrument(
        symbol=text(row, "symbol", needed=True),
        tick_size=number(price, "tickSize"),
        lot_size=number(lot, "qtyStep"),
        min_quantity=number(lot, "minOrderQty"),
        max_quantity=_or_none(number(lot, "maxOrderQty", absent="0")),
        min_notional=number(lot, "minNotionalValue", absent="0"),
        min_price=number(price, "minPrice", absent="0"),
        max_price=_or_none(number(price, "maxPrice", absent="0")),
        max_post_only=_or_none(number(lot, "postOnlyMaxOrderQty", absent="0")),
        status="" if status == TRADING else status,
    )
    for field, step in (("tickSize", found.tick_size), ("qtyStep", found.lot_size)):
        if not step:
            raise RowError(field, "0", "a step above 0")
    return found


def balances(row: object) -> list[Balance]:
    """Return the coins of one account of /v5/account/wallet-balance."""
    coins = mapping(row, "account").get("coin")
    if not isinstance(coins, list):
        raise RowError("coin", coins, "a list")
    found = []
    for one in coins:
        entry = mapping(one, "coin")
        equity = number(entry, "equity", absent="0", signed=True)
        wallet = number(entry, "walletBalance", absent="0", signed=True)
        found.append(Balance(text(entry, "coin", needed=True), equity, wallet))
    return found


def _or_none(limit: Decimal) -> Decimal:
    """Return an upper limit; 0 stands for none."""
    return limit or Decimal("Infinity")
