"""Bybit's lists of orders, executions and positions: pages with a cursor, also on the last, and rows on two pages."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.readers.bybit_rows import (
    FATES,
    OTHER,
    ROWS,
    SYMBOL,
    Row,
    decimal,
    execution,
    noise,
    order,
    put,
)
from tests.readers.campaign import Damage, Reader

from quietcore.venues.bybit import pages, rows
from quietcore.venues.bybit.account import position_of, understood
from quietcore.venues.interface import Fill, OrderUpdate, Position, UncertainError

# pages of rows


Answers = list[dict[str, Any]]


def in_pages(chance: random.Random, found: list[Row]) -> Answers:
    """Return rows as the answers to one question after the other; some rows stand on two of them."""
    cuts = sorted(chance.randint(0, len(found)) for _ in range(chance.randint(0, 3)))
    bounds = [0, *cuts, len(found)]
    parts = [found[low:high] for low, high in itertools.pairwise(bounds)]
    parts = [part for part in parts if part] or [[]]
    for before, after in itertools.pairwise(parts):
        if chance.random() < 0.3:
            after.insert(0, before[-1])
    answers: Answers = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        cursor: Any = f"{number}%3A2%2C{number}" if not last else chance.choice(("", None, "0%3A2%2C9"))
        answer: dict[str, Any] = {"list": part, "category": "linear"}
        put(chance, answer, "nextPageCursor", cursor, False)
        answers.append(answer)
    if answers[-1].get("nextPageCursor"):
        # A cursor on the last page as well: the venue has nothing more for it.
        answers.append({"list": chance.choice(([], answers[-1]["list"])), "nextPageCursor": ""})
    return answers


def gather(answers: Answers, key: pages.Key) -> list[Row]:
    """Read all pages with the project's own reader, without an event loop."""
    rest_of = list(answers)

    async def fetch(query: dict[str, str]) -> Any:
        return rest_of.pop(0)

    reading = pages.all_rows(fetch, "/list", {}, key)
    try:
        reading.send(None)  # nothing in it waits
    except StopIteration as done:
        return list(done.value)
    raise AssertionError("the reader waited")


def orders(chance: random.Random) -> tuple[Answers, list[OrderUpdate]]:
    """Return the pages of a list of orders."""
    made = [order(chance, number) for number in range(chance.randint(0, 6))]
    return in_pages(chance, [row for row, _ in made]), [truth for _, truth in made]


def read_orders(answers: Answers) -> list[OrderUpdate]:
    """As `BybitAccount` does."""
    return [understood(rows.order, row) for row in gather(answers, pages.ORDER_KEY)]


def executions(chance: random.Random) -> tuple[Answers, list[Fill]]:
    """Return the pages of a list of executions."""
    made = [execution(chance, number) for number in range(chance.randint(0, 6))]
    # Without an order's id two rows cannot be told to be the same one: they are on one page.
    found = [row for row, _ in made]
    whole = all(row.get("orderId") for row in found)
    pages_of = in_pages(chance, found) if whole else [{"list": found, "nextPageCursor": ""}]
    return pages_of, [truth for _, truth in made if truth is not None]


def read_executions(answers: Answers) -> list[Fill]:
    """As `BybitAccount` does, in the venue's order."""
    found = [understood(rows.execution, row) for row in gather(answers, pages.EXECUTION_KEY)]
    return [one for one in found if one is not None]


# positions


def positions(chance: random.Random) -> tuple[Answers, Position]:
    """Return the pages of a position list with one row of the symbol at most, among others."""
    made = []
    truth = Position(Decimal(0), Decimal(0))
    for symbol in chance.sample((SYMBOL, OTHER, "XRPUSDT"), chance.randint(0, 3)):
        (size, value), (price, at) = decimal(chance), decimal(chance, 1)
        flat = chance.random() < 0.3 or not value
        buy = chance.random() < 0.5
        row: Row = {"symbol": symbol, "positionIdx": chance.choice((0, 0, "0", None, ""))}
        if symbol != SYMBOL and chance.random() < 0.2:
            row["positionIdx"] = chance.choice((1, 2))
        if flat:
            row |= {
                "side": chance.choice(("", "None", None)),
                "size": chance.choice(("0", "0.000", "", None, 0)),
            }
            put(chance, row, "avgPrice", chance.choice(("0", "")), chance.random() < 0.5)
        else:
            row |= {"side": "Buy" if buy else "Sell", "size": size, "avgPrice": price}
            if symbol == SYMBOL:
                truth = Position(value if buy else -value, at)
        made.append(noise(chance, row))
    return in_pages(chance, made), truth


def read_position(answers: Answers) -> Position:
    """As `BybitAccount` does."""
    return position_of(gather(answers, pages.POSITION_KEY), SYMBOL)


def hedged(chance: random.Random, answers: Answers) -> Answers:
    """Return a list with the symbol's two positions of hedge mode, in either order, flat or not."""
    sizes = [("Buy", "1", 1), ("Sell", "0.4", 2)]
    if chance.random() < 0.3:
        sizes = [("", "0", 1), ("", "0", 2)]
    chance.shuffle(sizes)
    two = [
        {"symbol": SYMBOL, "side": side, "size": size, "avgPrice": "1", "positionIdx": mode}
        for side, size, mode in sizes
    ]
    others = [row for answer in answers for row in answer["list"] if row["symbol"] != SYMBOL]
    return [{"list": [*others, *two[: chance.randint(1, 2)]], "nextPageCursor": ""}]


# damages of lists


def in_a_row(change: Callable[[random.Random, Row], None]) -> Callable[..., Any]:
    """Return a damage: one row of all pages that is changed for the worse, wherever it stands."""

    def apply(chance: random.Random, answers: Answers) -> Answers | None:
        own = [row for one in answers for row in one["list"] if row.get("execType") != "Funding"]
        if not own:
            return None
        changed = dict(chance.choice(own))
        damaged = json.loads(json.dumps(answers))
        for one in damaged:
            for row in one["list"]:
                if row == changed:
                    change(chance, row)
        return damaged  # type: ignore[no-any-return]

    return apply


def no_row(chance: random.Random, answers: Answers) -> Answers:
    """Put something else than an object among the rows."""
    damaged = json.loads(json.dumps(answers))
    damaged[0]["list"].append(chance.choice((None, 5, "row", [])))
    return damaged  # type: ignore[no-any-return]


def no_list(chance: random.Random, answers: Answers) -> list[Any]:
    """Let one page have no list."""
    at = chance.randrange(len(answers))
    broken: Any = chance.choice((None, [], "x", {}, {"list": None}, {"list": {}}, {"rows": []}))
    return [*answers[:at], broken, *answers[at + 1 :]]


def odd_cursor(chance: random.Random, answers: Answers) -> Answers:
    """Let the first page's cursor be no text."""
    return [{**answers[0], "nextPageCursor": chance.choice((5, True, ["x"], {}))}, *answers[1:]]


def goes_round(chance: random.Random, answers: Answers) -> Answers:
    """Let pages come round for ever, each with something new."""
    return [
        {"list": [{"orderId": f"r{n}", "execId": f"r{n}", "symbol": f"R{n}"}], "nextPageCursor": f"c{n % 3}"}
        for n in range(6)
    ]


def side_of_a_position(chance: random.Random, row: Row) -> None:
    """Let a position have no side, no size that is one, or a mode that does not exist."""
    field, value = chance.choice(
        (
            ("side", "Long"),
            ("size", "-1"),
            ("size", "NaN"),
            ("positionIdx", 3),
            ("symbol", None),
            ("size", 0.5),
        )
    )
    row[field] = value


LISTS = {
    "no row": Damage(no_row, UncertainError),
    "a page without a list": Damage(no_list, UncertainError),
    "a cursor that is no text": Damage(odd_cursor, UncertainError),
    "pages that go round": Damage(goes_round, UncertainError),
}


# planted bugs


def first_page_alone(read: Callable[[Answers], Any]) -> Callable[[Answers], Any]:
    """Take the first page for the whole."""
    return lambda answers: read([{**answers[0], "nextPageCursor": ""}])


def trades_alone(answers: Answers) -> list[Fill]:
    """Leave out what is no ordinary trade."""
    return [fill for fill in read_executions(answers) if not fill.kind]


def unknown_is_open(answers: Answers) -> list[OrderUpdate]:
    """Take a status that nobody knows for an open order."""
    found = gather(answers, pages.ORDER_KEY)
    return [
        understood(
            rows.order, {**row, "orderStatus": row["orderStatus"] if row["orderStatus"] in FATES else "New"}
        )
        if isinstance(row, dict) and isinstance(row.get("orderStatus"), str)
        else understood(rows.order, row)
        for row in found
    ]


def last_row_wins(answers: Answers) -> Position:
    """Let the last row with a size be the position, whatever its mode or symbol."""
    found = Position(Decimal(0), Decimal(0))
    for row in gather(answers, pages.POSITION_KEY):
        one = understood(rows.position, row)
        if one.quantity:
            found = Position(one.quantity, one.entry)
    return found


def not_sell_is_buy(answers: Answers) -> Position:
    """Take every side that is not Sell for Buy."""
    changed = [
        {
            **one,
            "list": [
                {**row, "side": row.get("side") if row.get("side") == "Sell" else "Buy"}
                for row in one["list"]
            ],
        }
        if isinstance(one, dict)
        and isinstance(one.get("list"), list)
        and all(isinstance(r, dict) for r in one["list"])
        else one
        for one in answers
    ]
    return read_position(changed)


READERS = [
    Reader(
        "Bybit orders",
        orders,
        read_orders,
        LISTS | {name: Damage(in_a_row(change), UncertainError) for name, change in ROWS.items()},
        {"the first page alone": first_page_alone(read_orders), "unknown is open": unknown_is_open},
    ),
    Reader(
        "Bybit executions",
        executions,
        read_executions,
        LISTS | {name: Damage(in_a_row(change), UncertainError) for name, change in ROWS.items()},
        {"the first page alone": first_page_alone(read_executions), "trades alone": trades_alone},
    ),
    Reader(
        "Bybit position",
        positions,
        read_position,
        LISTS
        | {
            "hedge mode": Damage(hedged, UncertainError),
            "a row that cannot be": Damage(in_a_row(side_of_a_position), UncertainError),
        },
        {"the last row wins": last_row_wins, "what is not Sell is Buy": not_sell_is_buy},
    ),
]
