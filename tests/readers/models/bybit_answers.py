"""Bybit's envelopes, instrument rules and wallets: what stands in an answer, and what refuses, with which certainty."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.readers.bybit_rows import SYMBOL, Row, decimal, noise, put
from tests.readers.campaign import Damage, Reader

from quietcore.venues.bybit import rest, rows
from quietcore.venues.interface import Instrument, RefusedError, UncertainError

# instruments and balances


def instrument(chance: random.Random) -> tuple[Row, Instrument]:
    """Return an entry of instruments-info and the rules in it."""
    (tick, tick_size), (lot, lot_size) = decimal(chance, 1), decimal(chance, 1)
    least, smallest = decimal(chance)
    price: Row = {"tickSize": tick}
    size: Row = {"qtyStep": lot, "minOrderQty": least}
    bounds: dict[str, Decimal] = {}
    for where, field, name, open_end in (
        (price, "minPrice", "min_price", False),
        (price, "maxPrice", "max_price", True),
        (size, "maxOrderQty", "max_quantity", True),
        (size, "postOnlyMaxOrderQty", "max_post_only", True),
        (size, "minNotionalValue", "min_notional", False),
    ):
        text, value = decimal(chance, 1)
        none = chance.random() < 0.3
        put(chance, where, field, text, none)
        bounds[name] = Decimal("Infinity" if open_end else 0) if none else value
    status = chance.choice(("Trading", "PreLaunch", "Delivering", "Halted", ""))
    row: Row = {"symbol": SYMBOL, "priceFilter": noise(chance, price), "lotSizeFilter": noise(chance, size)}
    put(chance, row, "status", status, not status)
    said = "" if status == "Trading" else status
    return noise(chance, row), Instrument(
        SYMBOL,
        tick_size,
        lot_size,
        smallest,
        status=said,
        **bounds,
    )


def read_instrument(row: Any) -> Instrument:
    """As `BybitVenue` does."""
    return rows.instrument(row)


def wallet(chance: random.Random) -> tuple[Row, list[rows.Balance]]:
    """Return an account of wallet-balance and its coins."""
    coins, truth = [], []
    for coin in chance.sample(("USDT", "USDC", "BTC", "1000X", "币"), chance.randint(0, 5)):
        row: Row = {"coin": coin}
        values = []
        for field in ("equity", "walletBalance"):
            text, value = decimal(chance)
            if chance.random() < 0.3 and value:
                text, value = f"-{text}", -value
            none = chance.random() < 0.2
            put(chance, row, field, text, none)
            values.append(Decimal(0) if none else value)
        coins.append(noise(chance, row))
        truth.append(rows.Balance(coin, *values))
    return noise(chance, {"accountType": "UNIFIED", "coin": coins}), truth


# answers


def answer(chance: random.Random) -> tuple[tuple[int, bytes], Any]:
    """Return an HTTP status with an envelope, and the result in it."""
    result = chance.choice(
        (None, {}, {"orderId": "x"}, {"list": [], "nextPageCursor": ""}, {"币": ["安", 1]})
    )
    envelope: Row = {"retCode": 0}
    put(chance, envelope, "retMsg", chance.choice(("OK", "success", "成功")), chance.random() < 0.2)
    if result is not None or chance.random() < 0.5:
        envelope["result"] = result
    envelope |= chance.choice(({}, {"retExtInfo": {}, "time": 1_760_000_000_000}, {"new": [1, {}]}))
    text = json.dumps(envelope, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1)))
    return (chance.choice((200, 200, 201)), text.encode()), result


def read_answer(given: tuple[int, bytes]) -> Any:
    """As `BybitRest` does."""
    return rest.judge(given[0], given[1], 1)[0]


def refusing(codes: tuple[int, ...], statuses: tuple[int, ...] = (200,)) -> Callable[..., Any]:
    """Return a damage: an envelope with one of these codes."""

    def apply(chance: random.Random, given: tuple[int, bytes]) -> tuple[int, bytes]:
        code, text = chance.choice(codes), chance.choice(("no", "", None, "Überschritten " * 40))
        return chance.choice(statuses), json.dumps({"retCode": code, "retMsg": text, "result": {}}).encode()

    return apply


def torn(chance: random.Random, given: tuple[int, bytes]) -> tuple[int, bytes]:
    """Cut a success off before its end."""
    return 200, given[1].rstrip()[: chance.randrange(len(given[1].rstrip()))]


def page_of(chance: random.Random, statuses: tuple[int, ...]) -> tuple[int, bytes]:
    """Return a web page of a proxy."""
    pages_ = (
        b"",
        b"<html><h1>no</h1></html>",
        b"\xff\x00",
        b"[]",
        b"{}",
        b"null",
        b'{"retCode":"0"}',
        b"{" * 500,
    )
    return chance.choice(statuses), chance.choice(pages_)


# planted bugs and damages


def missing_steps_are_one(row: Any) -> Instrument:
    """Put 1 where a step is missing or 0."""
    price = (
        dict(row["priceFilter"]) if isinstance(row, dict) and isinstance(row.get("priceFilter"), dict) else {}
    )
    if str(price.get("tickSize")) in ("", "None", "0", "0.00000000"):
        price["tickSize"] = "1"
    return rows.instrument({**row, "priceFilter": price})


def any_json_is_good(given: tuple[int, bytes]) -> Any:
    """Take an answer without a code for a success."""
    try:
        found = json.loads(given[1])
    except ValueError:
        found = {}
    return found.get("result") if isinstance(found, dict) else None


def unsigned_wallet(row: Any) -> list[rows.Balance]:
    """Leave out what is owed."""
    return [one for one in rows.balances(row) if one.equity >= 0]


def wallet_damage(chance: random.Random, row: Row) -> Row:
    """Let an account have no list of coins, or a coin without a name or a number."""
    coin = {"coin": "X", "equity": "1"}
    bad = chance.choice(
        ({**coin, "coin": ""}, {**coin, "equity": "x"}, {**coin, "walletBalance": 0.5}, None, 5)
    )
    coins = [*row["coin"], bad]
    return {**row, "coin": chance.choice((None, {}, "x", coins, coins))}


def instrument_damage(chance: random.Random, row: Row) -> Any:
    """Let a needed rule be missing, 0, or no number."""
    where, field = chance.choice((("priceFilter", "tickSize"), ("lotSizeFilter", "qtyStep")))
    bad: Any = chance.choice(("", None, "0", "0.00000000", 0, "-1", "1e-30", "x", 0.1, []))
    broken = (
        {**row, where: {**row[where], field: bad}},
        {**row, where: chance.choice((None, [], "x"))},
        {**row, "symbol": chance.choice(("", None, 5))},
        {**row, "lotSizeFilter": {**row["lotSizeFilter"], "minOrderQty": chance.choice(("", None, "x"))}},
        None,
    )
    return chance.choice(broken)


CERTAIN = (10001, 10002, 10003, 10004, 10005, 10006, 10010, 33004, 110001, 110007, 110094, 110999, 170213)
OPEN = (10000, 10014, 10016, 110072, 170007, 429, 7, -7, 131_200)

READERS = [
    Reader(
        "Bybit instrument",
        instrument,
        read_instrument,
        {"a rule that is none": Damage(instrument_damage, rows.RowError)},
        {"a missing step is 1": missing_steps_are_one},
    ),
    Reader(
        "Bybit wallet",
        wallet,
        rows.balances,
        {"a coin that is none": Damage(wallet_damage, rows.RowError)},
        {"what is owed is left out": unsigned_wallet},
    ),
    Reader(
        "Bybit answer",
        answer,
        read_answer,
        {
            "a refusal": Damage(refusing(CERTAIN), RefusedError),
            "a code that leaves the fate open": Damage(refusing(OPEN), UncertainError),
            "a refusal of a server that fails": Damage(refusing(CERTAIN, (500, 502, 503)), UncertainError),
            "cut off": Damage(torn, UncertainError),
            "a page that refuses": Damage(
                lambda chance, given: page_of(chance, (301, 307, 400, 401, 403, 404, 418, 429, 451, 499)),
                RefusedError,
            ),
            "a page that says nothing": Damage(
                lambda chance, given: page_of(chance, (200, 204, 408, 500, 502, 503, 504, 520, 599)),
                UncertainError,
            ),
        },
        {"any JSON is good": any_json_is_good},
    ),
]
