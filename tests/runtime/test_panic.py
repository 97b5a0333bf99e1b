"""The panic detector: what raises its confidence, where it acts, and that it acts once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from quietcore.strategy.choice import find
from quietcore.strategy.intents import SELL
from quietcore.strategy.trial import SAMPLE_CONTEXT, Trial, Wish


def calm(seed: int = 1, quotes: int = 400, **parameters: Any) -> Trial:
    """Return a detector that has seen an ordinary market around 10,000."""
    chance = random.Random(seed)
    market = Trial(find("panic").make({"window": 32, **parameters}, SAMPLE_CONTEXT))
    for _ in range(quotes):
        price = 10_000 + chance.randint(-4, 4)
        assert market.quote(price, chance.randint(10, 30), price + 2, chance.randint(10, 30)) is None
        assert market.trade(price, chance.randint(1, 9), sell=chance.random() < 0.5) is None
    return market


def crash(market: Trial, steps: int = 80, fall: int = 15) -> list[Wish]:
    """Fall fast, takers selling, bids thin, spread wide."""
    wishes = []
    for i in range(steps):
        market.trade(10_000 - fall * i, 50, sell=True)
        price = 10_000 - fall * (i + 1)
        market.level(price, 1, ask=False)
        market.level(price + 12, 40, ask=True)
        wish = market.quote(price, 1, price + 12, 40)
        if wish is not None:
            assert (wish.price, wish.size) == (price, SAMPLE_CONTEXT.order_size)
            wishes.append(wish)
    return wishes


@pytest.mark.parametrize("seed", range(5))
def test_an_ordinary_market_is_no_panic(seed: int) -> None:
    market = calm(seed, 3000)
    assert 0.0 <= market.state["highest"] < 0.7


def test_a_crash_is_one_alarm() -> None:
    market = calm()
    wishes = crash(market)
    assert [wish.side for wish in wishes] == [SELL]
    assert market.state["alarms"] == 1
    assert 0.7 <= market.state["highest"] <= 1.0


def test_the_threshold_is_a_confidence_of_point_seven_by_default() -> None:
    assert find("panic").parameters["threshold"] == 0.7
    market = calm(threshold=1.0)
    assert crash(market) == []
    assert market.state["highest"] < 1.0


def test_it_can_be_alarmed_again_when_it_was_calm_between() -> None:
    market = calm()
    assert len(crash(market)) == 1
    for i in range(400):
        market.trade(10_000, 5, sell=bool(i % 2))
        market.quote(10_000 + i % 3, 20, 10_002 + i % 3, 20)
    assert market.state["alarmed"] == 0
    assert len(crash(market)) == 1


def test_a_rise_is_no_panic() -> None:
    market = calm()
    for i in range(80):
        market.trade(10_000 + 15 * i, 50, sell=False)
        assert market.quote(10_015 + 15 * i, 40, 10_027 + 15 * i, 1) is None
    assert market.state["alarms"] == 0


def test_no_alarm_before_it_knows_what_is_usual() -> None:
    market = Trial(find("panic").make({"window": 128}, SAMPLE_CONTEXT))
    assert crash(market, steps=127) == []


def test_empty_sides_are_ignored() -> None:
    market = calm()
    seen = market.state["prices"]["count"], market.state["confidence"]
    assert market.quote(1, 0, 2, 5) is None
    assert market.quote(1, 5, 2, 0) is None
    assert (market.state["prices"]["count"], market.state["confidence"]) == seen
