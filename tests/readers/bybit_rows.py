"""Rows of Bybit's answers and private topics, rendered from orders and trades that are known.

Odd but legal: fields absent, null or "", integers for texts, exponents, unknown further fields, every order of fields.
Formats: the documents that `quietcore.venues.bybit.rows` names.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from quietcore.venues.interface import Fate, Fill, OrderUpdate

SYMBOL, OTHER = "BTCUSDT", "ETHUSDT"
ABSENT = object()
Row = dict[str, Any]

# The venue's own words, written down here once more: the reader's tables are what is tested.
FATES = {
    "New": Fate.OPEN,
    "PartiallyFilled": Fate.PARTIALLY_FILLED,
    "Filled": Fate.FILLED,
    "Cancelled": Fate.CANCELLED,
    "PartiallyFilledCanceled": Fate.CANCELLED,
    "Rejected": Fate.REJECTED,
    "Untriggered": Fate.OPEN,
    "Triggered": Fate.OPEN,
    "Deactivated": Fate.CANCELLED,
}
KINDS = ("Trade", "AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition", "FutureSpread")

# parts of rows


def decimal(chance: random.Random, least: int = 0) -> tuple[Any, Decimal]:
    """Return a number from ``least`` on as the venue may write it, and its value."""
    mantissa, places = chance.randint(least, 10 ** chance.randint(1, 9)), chance.choice((0, 0, 1, 2, 3, 8))
    value = Decimal(mantissa).scaleb(-places)
    form = chance.randrange(6)
    if form == 0 and places == 0:
        return mantissa, value
    if form == 1:
        return f"{value:f}0" if places else f"{value:f}", value
    if form == 2:
        return f"{mantissa}e-{places}", value
    if form == 3:
        return f"{mantissa}E-0{places}", value
    return f"{value:f}", value


def put(chance: random.Random, row: Row, field: str, value: Any, empty: bool) -> None:
    """Set a field; ``empty``: it stands for nothing, and may be "", null or absent."""
    if empty:
        value = chance.choice(("", None, ABSENT))
    if value is not ABSENT:
        row[field] = value


def noise(chance: random.Random, row: Row) -> Row:
    """Return a row with further fields, in any order."""
    extra = {
        "avgPrice": chance.choice(("", "0", "27464.50441675")),
        "createType": "CreateByUser",
        "isMaker": True,
        "seq": -1,
        f"new{chance.randrange(9)}": [None],
        "币": "安",
    }
    picked = chance.sample(list(extra), chance.randint(0, 3))
    entries = [*row.items(), *((name, extra[name]) for name in picked if name not in row)]
    chance.shuffle(entries)
    return dict(entries)


def order(chance: random.Random, number: int) -> tuple[Row, OrderUpdate]:
    """Return an order's row and what it says."""
    status = chance.choice(list(FATES))
    filled, value = decimal(chance)
    link = chance.choice(("", f"q{number:016x}-{number}", "by-hand", "币安"))
    reason = chance.choice(("", "EC_NoError", "EC_PostOnlyWillTakeLiquidity"))
    row: Row = {"orderId": f"id-{number}", "orderStatus": status, "symbol": SYMBOL}
    put(chance, row, "orderLinkId", link, not link)
    put(chance, row, "cumExecQty", filled, not value and chance.random() < 0.5)
    put(chance, row, "rejectReason", reason, not reason)
    said = "" if reason == "EC_NoError" else reason
    return noise(chance, row), OrderUpdate(link, f"id-{number}", FATES[status], value, said)


def execution(chance: random.Random, number: int) -> tuple[Row, Fill | None]:
    """Return an execution's row and what it says; None for a funding payment."""
    kind = chance.choice((*KINDS, "Funding"))
    ordinary = kind == "Trade"
    (quantity, size), (price, at) = decimal(chance), decimal(chance)
    charged, value = decimal(chance)
    if chance.random() < 0.3:
        charged, value = f"-{charged}", -value
    elif chance.random() < 0.1:
        charged, value = "0.00000000000000001", Decimal(0)
    buy = chance.choice((True, False, None)) if ordinary else chance.choice((True, False))
    symbol = chance.choice((SYMBOL, OTHER, "")) if ordinary else chance.choice((SYMBOL, OTHER))
    order_id = "" if not ordinary and chance.random() < 0.3 else f"id-{number}"
    link = "" if not ordinary else chance.choice(("", f"q{number:016x}-{number}"))
    row: Row = {"execId": f"e-{number}", "execQty": quantity, "execPrice": price}
    put(chance, row, "execType", kind, ordinary and chance.random() < 0.2)
    put(chance, row, "side", "Buy" if buy else "Sell", buy is None)
    put(chance, row, "symbol", symbol, not symbol)
    put(chance, row, "orderId", order_id, not order_id)
    put(chance, row, "orderLinkId", link, not link)
    put(chance, row, "execFee", charged, not value and charged != "0.00000000000000001")
    if kind == "Funding":
        return noise(chance, row), None
    truth = Fill(link, order_id, f"e-{number}", size, at, symbol, buy, value, "" if ordinary else kind)
    return noise(chance, row), truth


# damages


def worse_number(chance: random.Random, row: Row) -> None:
    """Let a quantity be none."""
    field = "cumExecQty" if "orderStatus" in row else chance.choice(("execQty", "execPrice"))
    row[field] = chance.choice(
        ("many", "NaN", "Infinity", "-1", "1e99", "1,5", "0x1", 0.5, True, [], {}, "1 ")
    )


def worse_word(chance: random.Random, row: Row) -> None:
    """Let a status or kind be one that nobody has heard of."""
    field = "orderStatus" if "orderStatus" in row else "execType"
    row[field] = chance.choice(("Dreaming", "trade", "filled", "UNKNOWN", 7, ["New"]))


def worse_id(chance: random.Random, row: Row) -> None:
    """Let the venue's own id be missing."""
    field = "orderId" if "orderStatus" in row else "execId"
    row[field] = chance.choice(("", None, 5))


ROWS = {
    "a quantity that is none": worse_number,
    "a word nobody knows": worse_word,
    "no id": worse_id,
}
