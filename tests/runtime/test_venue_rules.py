"""The venue's rules for orders against a configuration, before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.runtime.fake_venue import INSTRUMENT
from tests.runtime.scripted_rest import CREDENTIALS, Answer, Asked, ScriptedRest, listed, run

from quietcore.bridge.scale import Step
from quietcore.config import DegradeConfig, RiskConfig, RuntimeConfig
from quietcore.errors import QuietcoreError
from quietcore.execution.venue_rules import check_orders, check_rules
from quietcore.venues.bybit import linear
from quietcore.venues.bybit.venue import instrument
from quietcore.venues.interface import Endpoints, Instrument

RULES = Instrument(
    *("BTCUSDT", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(100), Decimal(5)),
    min_price=Decimal(10),
    max_price=Decimal(100_000),
    max_post_only=Decimal(50),
)
HERE = "runtime.toml"


def config(size: str = "0.010", **more: Any) -> RuntimeConfig:
    degrade = more.pop("degrade", DegradeConfig())
    return RuntimeConfig("feed", RiskConfig(size, "1", **more), degrade=degrade)


def warnings(
    size: str = "0.010", price: str = "1000", feed: str = "0", rules: Instrument = RULES, **more: Any
) -> list[str]:
    return check_orders(rules._replace(price=Decimal(price)), config(size, **more), Decimal(feed), HERE)


def test_an_order_that_the_venue_accepts_is_not_warned_of() -> None:
    assert warnings() == warnings("0.005") == warnings(price="0", feed="1000") == []
    assert warnings("0.001", "0", rules=RULES._replace(min_notional=Decimal(0))) == []


def test_an_order_worth_less_than_the_least_is_refused_with_the_figures() -> None:
    """An order of 0.2 where the venue wants 5 would be refused each time."""
    with pytest.raises(QuietcoreError) as raised:
        warnings("0.001", "200")
    text = raised.value.message()
    assert "0.001 × 200 = 0.2" in text
    assert "least value of an order is 5" in text
    assert "raise risk.order_size to 0.025 or more" in text
    assert f"{HERE}: risk.order_size" in text


@pytest.mark.parametrize(("price", "feed"), [("4990", "0"), ("0", "200"), ("0", "4999.9")])
def test_an_order_that_may_be_worth_too_little_is_warned_of(price: str, feed: str) -> None:
    """The band lets it be sent higher, or it is the feed that says so and not the venue."""
    (line,) = warnings("0.001", price, feed)
    assert "orders will be refused" in line
    assert "least value of an order is 5" in line
    assert "or more" in line


def test_where_no_price_is_known_the_check_that_is_missing_is_said() -> None:
    (line,) = warnings(price="0")
    assert "is not checked" in line


def test_limits_that_leave_no_order_are_refused() -> None:
    with pytest.raises(QuietcoreError, match=r"risk\.max_notional; found 4; expected at least 5"):
        warnings(max_notional="4")


def test_other_limits_of_the_venue_are_warned_of() -> None:
    assert "most for post-only orders, 50" in warnings("60")[0]
    assert "outside the venue's limits for orders, 10 to 100000" in warnings("1", price="9")[0]
    degrade = DegradeConfig(max_drops=1, action="reduce", share=0.4)
    assert "while degraded, orders will be refused" in warnings(degrade=degrade)[0]
    assert warnings(degrade=DegradeConfig(action="reduce", share=0.4)) == [], "it never degrades"
    assert "status 'Halted'" in warnings(rules=RULES._replace(status="Halted"))[0]


def test_sizes_and_status_that_cannot_be() -> None:
    tick, lot = Step(1, 1), Step(1, 3)
    check_rules(RULES, tick, lot, "0.001", HERE)
    for size in ("0.0009", "101"):
        with pytest.raises(QuietcoreError, match=r"outside the venue's limits.*0\.001 to 100"):
            check_rules(RULES, tick, lot, size, HERE)
    for status in ("PreLaunch", "Settling", "Delivering", "Closed"):
        with pytest.raises(QuietcoreError, match=f"does not trade.*{status}"):
            check_rules(RULES._replace(status=status), tick, lot, "0.001", HERE)
    with pytest.raises(QuietcoreError, match="disagree about the tick size"):
        check_rules(RULES, Step(1, 2), lot, "0.001", HERE)


def test_rules_and_price_come_from_the_venue() -> None:
    price: list[Any] = ["1000.5"]
    odd = {
        **INSTRUMENT,
        "priceFilter": {"tickSize": "1e-7", "minPrice": "", "maxPrice": None},
        "lotSizeFilter": {"qtyStep": 1, "minOrderQty": "1", "maxOrderQty": "", "postOnlyMaxOrderQty": "7"},
        "status": "Trading",
        "newThing": [1],
    }

    def script(asked: Asked) -> Answer:
        if asked.path == "/v5/market/tickers":
            return listed({"symbol": "BTCUSDT", "lastPrice": price[0]})
        return listed({"symbol": "ETHUSDT", "priceFilter": {"tickSize": ""}}, odd)

    async def work() -> None:
        async with ScriptedRest(script) as server:
            venue = linear(Endpoints(server.url, "ws://h"), CREDENTIALS)
            rules = await venue.instrument("BTCUSDT")
            assert (rules.tick_size, rules.price) == (Decimal("1e-7"), Decimal("1000.5"))
            assert (rules.lot_size, rules.max_post_only, rules.min_notional) == tuple(map(Decimal, (1, 7, 0)))
            assert (rules.max_quantity, rules.max_price) == (Decimal("Infinity"), Decimal("Infinity"))
            assert rules.status == ""
            for price[0] in ("", None, "x", 1.5):
                assert (await venue.instrument("BTCUSDT")).price == 0
            await venue.close()

    run(work())
    for field, value in (
        ("tickSize", ""),
        ("tickSize", "0.00000000"),
        ("tickSize", 0.1),
        ("tickSize", "1e-99"),
    ):
        with pytest.raises(QuietcoreError, match=f"cannot be understood.*{field}"):
            instrument({**INSTRUMENT, "priceFilter": {field: value}}, HERE)
