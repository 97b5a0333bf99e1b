"""One-way and hedge mode: which side of a position an order is about, and what the venue refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.sim.harness import get, opened, post, run
from tests.sim.test_strictness import LISTED, POSITIONS, Desk

from quietcore.sim.externals import External
from quietcore.sim.orders import Side
from quietcore.sim.refusal import Reject

MODE = "/v5/position/switch-mode"
TAKE = {"orderType": "Market"}


@pytest.fixture
def hedge() -> Desk:
    desk = Desk()
    desk.exchange.switch_mode(["BTCUSDT"], hedge=True)
    return desk


def sizes(desk: Desk) -> list[tuple[int, str, str]]:
    rows = desk.ask(POSITIONS, symbol="BTCUSDT")
    return [(row["positionIdx"], row["side"], row["size"]) for row in rows]


def test_the_index_must_match_the_mode(hedge: Desk) -> None:
    mismatch = 10001, "position idx not match position mode"
    for index in (None, 0, "0"):
        assert hedge.send(**TAKE, positionIdx=index) == mismatch
    for index in (1, 2, "1"):
        assert hedge.send(**TAKE, symbol="ETHUSDT", positionIdx=index) == mismatch
    assert hedge.send(**TAKE, positionIdx=7)[0] == 10001
    assert not hedge.exchange.orders


def test_both_sides_are_held_at_once_and_shown_in_two_rows(hedge: Desk) -> None:
    assert sizes(hedge) == [(1, "", "0"), (2, "", "0")]
    assert hedge.send(**TAKE, positionIdx=1)[0] == 0
    assert hedge.send(**{**TAKE, "side": "Sell", "qty": "0.4"}, positionIdx=2)[0] == 0
    assert sizes(hedge) == [(1, "Buy", "1"), (2, "Sell", "0.4")]
    assert hedge.exchange.wallet.net("BTCUSDT") == Decimal("0.6")
    rows = hedge.ask(POSITIONS, settleCoin="USDT")
    assert [row["positionIdx"] for row in rows] == [1, 2]


def test_the_other_side_of_an_index_only_reduces(hedge: Desk) -> None:
    assert hedge.send(**TAKE, side="Sell", positionIdx=1)[0] == 110017
    hedge.send(**TAKE, positionIdx=1)
    assert hedge.send(**TAKE, side="Sell", qty="5", positionIdx=1)[0] == 0
    assert sizes(hedge)[0] == (1, "", "0")


def test_a_mode_is_not_switched_under_a_position_or_an_order(hedge: Desk) -> None:
    hedge.order(positionIdx=1)
    with pytest.raises(Reject) as caught:
        hedge.exchange.switch_mode(["BTCUSDT"], hedge=False)
    assert caught.value.code == 110028
    hedge.send("cancel-all", symbol="BTCUSDT")
    hedge.send(**TAKE, positionIdx=1)
    with pytest.raises(Reject) as caught:
        hedge.exchange.switch_mode(["BTCUSDT"], hedge=False)
    assert caught.value.code == 110024


def test_executions_of_the_venue_itself_match_the_mode_too(hedge: Desk) -> None:
    one = External("AdlTrade", "BTCUSDT", Side.BUY, Decimal(1), Decimal(100))
    with pytest.raises(Reject):
        hedge.exchange.external(one)
    hedge.exchange.external(one._replace(position_index=1))
    assert sizes(hedge)[0] == (1, "Buy", "1")


def test_switched_over_the_network() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            simulation.venue.accounts.first.exchange.instruments = {
                **LISTED,
                **simulation.venue.source.instruments,
            }

            async def code(**words: Any) -> int:
                return int((await post(session, MODE, {"category": "linear", **words}))["retCode"])

            assert await code(symbol="BTCUSDT", mode=3) == 0
            assert await code(symbol="BTCUSDT", mode=3) == 110025
            assert await code(symbol="BTCPERP", mode=3) == 110029  # USDC contracts are one-way only
            assert await code(symbol="NONE", mode=3) == 10001
            assert await code(mode=3) == 10001
            assert await code(symbol="BTCUSDT", mode=1) == 10001
            assert await code(coin="USDT", mode=3) == 0
            rows = (await get(session, POSITIONS, "category=linear&symbol=ETHUSDT"))["result"]["list"]
            assert [row["positionIdx"] for row in rows] == [1, 2]
            async with session.post("/sim/position-mode", json={"hedge": False}) as response:
                assert (await response.json())["hedged"] == []
            for wrong in ({}, {"hedge": True, "symbol": "NONE"}, {"hedge": True, "account": "none"}):
                async with session.post("/sim/position-mode", json=wrong) as response:
                    assert response.status == 400

    run(test)
