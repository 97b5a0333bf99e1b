"""Every row and event against the venue's own documentation: all of its fields, and none that it does not have."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sim.harness import ask, get, opened, over_socket, post, run, trade_socket

from quietcore.sim.externals import CREATE_TYPES
from quietcore.sim.orders import Side

DOCUMENTED = tomllib.loads((Path(__file__).parent / "documented_fields.toml").read_text())
ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.01"}
TOPICS = "order", "execution", "execution.fast", "position", "wallet"


def compare(place: str, row: dict[str, Any]) -> None:
    """Hold a row against the documentation of its place."""
    fields, elsewhere = (set(DOCUMENTED[place][name].split()) for name in ("fields", "elsewhere"))
    assert fields - set(row) == set(), place
    assert set(row) - fields - elsewhere == set(), place


@pytest.fixture(scope="module")
def seen() -> dict[str, list[dict[str, Any]]]:
    """Everything that a short day shows: rows and events by place."""
    found: dict[str, list[dict[str, Any]]] = {}

    async def test() -> None:
        async with opened(topics=TOPICS) as (simulation, session, socket):
            found["envelope"] = [
                await post(session, "/v5/order/create", {**ORDER, "orderType": "Market"}),
                await post(session, "/v5/order/create", {**ORDER, "orderType": "Limit", "price": "60000"}),
                await post(session, "/v5/order/create", {**ORDER, "orderType": "Limit", "price": "1"}),
                await get(session, "/v5/order/realtime", "category=spot"),
            ]
            stop = {"orderType": "Market", "triggerPrice": "70000", "triggerDirection": 1}
            found["envelope"].append(await post(session, "/v5/order/create", {**ORDER, **stop}))
            trading = await trade_socket(session)
            found["order_socket_answer"] = [await ask(trading, over_socket("order.cancel", ORDER))]
            account = simulation.venue.accounts.first
            messages = [await socket.receive_json() for _ in range(7)]
            found["message"] = messages
            by_topic: dict[str, list[dict[str, Any]]] = {}
            for message in messages:
                by_topic.setdefault(message["topic"], []).extend(message["data"])
            for topic, place in zip(
                TOPICS,
                ("order_event", "execution_event", "fast_execution_event", "position_event", "wallet"),
                strict=True,
            ):
                found[place] = by_topic[topic]
            scope = "category=linear&symbol=BTCUSDT"
            for path, place in (
                ("order/realtime", "order_query"),
                ("order/history", "order_query"),
                ("execution/list", "execution_query"),
                ("position/list", "position_query"),
            ):
                rows = (await get(session, f"/v5/{path}", scope))["result"]["list"]
                assert rows, path
                found.setdefault(place, []).extend(rows)
            wallet = await get(session, "/v5/account/wallet-balance", "accountType=UNIFIED")
            found["wallet"] += wallet["result"]["list"]
            found["wallet_coin"] = [coin for row in found["wallet"] for coin in row["coin"]]
            for path, place in (("instruments-info", "instrument"), ("tickers", "ticker")):
                async with session.get(f"/v5/market/{path}?category=linear") as response:
                    found[place] = (await response.json())["result"]["list"]
            assert account.told

    run(test)
    return found


@pytest.mark.parametrize("place", DOCUMENTED)
def test_rows_have_the_documented_fields(place: str, seen: dict[str, list[dict[str, Any]]]) -> None:
    assert seen[place]
    for row in seen[place]:
        compare(place, row)


def test_numbers_are_text_where_the_venue_writes_text(seen: dict[str, list[dict[str, Any]]]) -> None:
    for place in ("order_query", "order_event", "execution_query", "execution_event", "position_event"):
        for row in seen[place]:
            for name, value in row.items():
                whole = name in ("positionIdx", "triggerDirection", "smpGroup", "seq", "riskId", "tradeMode")
                whole = whole or name in ("autoAddMargin", "adlRankIndicator")
                kind = int if whole else (str, bool, dict)
                assert isinstance(value, kind), (place, name, value)


def test_executions_of_every_type_have_the_documented_fields() -> None:
    async def test() -> None:
        async with opened(topics=("execution", "position")) as (simulation, session, socket):
            exchange = simulation.venue.accounts.first.exchange
            moved = Decimal(0)
            for number, kind in enumerate(CREATE_TYPES):
                side = "Sell" if number % 2 else "Buy"
                wish = {"type": kind, "symbol": "BTCUSDT", "side": side, "qty": "0.5", "price": "60000"}
                async with session.post("/sim/executions", json={**wish, "fee": "1.5"}) as response:
                    assert response.status == 200
                    execution_id = (await response.json())["execId"]
                row = (await socket.receive_json())["data"][0]
                compare("execution_event", row)
                assert (row["execId"], row["execType"], row["side"]) == (execution_id, kind, side)
                assert (row["orderLinkId"], row["execQty"], row["execFee"]) == ("", "0.5", "1.5")
                if kind == "Funding":
                    assert row["orderType"] == "UNKNOWN"
                else:
                    moved += Decimal("0.5") * Side(side).sign
                    assert (await socket.receive_json())["topic"] == "position"
                assert exchange.wallet.position("BTCUSDT").size == moved
                query = f"category=linear&symbol=BTCUSDT&execType={kind}"
                listed = (await get(session, "/v5/execution/list", query))["result"]["list"]
                assert [one["execId"] for one in listed] == [execution_id]
                compare("execution_query", listed[0])
            for wrong in (
                {"type": "Gift"},
                {"side": "Up"},
                {"symbol": "NONE"},
                {"qty": "-1"},
                {"positionIdx": 1},
            ):
                async with session.post("/sim/executions", json={**wish, **wrong}) as response:
                    assert response.status == 400, wrong

    run(test)


def test_the_toml_is_not_the_rows_themselves() -> None:
    """A field that the venue documents, taken away, is seen: the comparison can fail."""
    row = dict.fromkeys(DOCUMENTED["fast_execution_event"]["fields"].split(), "")
    compare("fast_execution_event", row)
    del row["seq"]
    with pytest.raises(AssertionError):
        compare("fast_execution_event", row)
    with pytest.raises(AssertionError):
        compare("fast_execution_event", {**row, "seq": 1, "surprise": 1})
