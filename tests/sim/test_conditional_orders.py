"""Conditional orders: they wait for their price, can be amended and cancelled meanwhile, and fill only after it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.sim.harness import get, opened, post, run

from quietcore.sim.book import Book
from quietcore.sim.conditional import MOST_A_SYMBOL
from quietcore.sim.instruments import Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.orders import Order, Side, Status
from quietcore.sim.private_messages import order_row
from quietcore.sim.refusal import Reject

STOP = {"category": "linear", "symbol": "XUSDT", "side": "Sell", "orderType": "Market", "qty": "1"}
RISE, FALL = {"triggerDirection": 1}, {"triggerDirection": 2}


class Market:
    """A book of one level a side that the test moves, and the last trade."""

    def __init__(self) -> None:
        self.book: Book | None = Book("XUSDT")
        self.last: Decimal | None = Decimal(100)
        liquidity = Liquidity(lambda symbol: self.book, lambda symbol: self.last)
        self.exchange = Exchange({"XUSDT": Instrument("XUSDT", 1, 2)}, liquidity, lambda: 1, prefix=7)
        self.show("99.9", "100.1")

    def show(self, bid: str, ask: str) -> Report | None:
        assert self.book is not None
        self.book.clear()
        self.book.bids.apply([(bid, "50")])
        self.book.asks.apply([(ask, "50")])
        return self.exchange.on_book("XUSDT")

    def trade(self, price: str) -> Report | None:
        self.last = Decimal(price)
        return self.exchange.on_trade("XUSDT", Decimal(price), Decimal(1), Side.SELL)

    def order(self, **words: Any) -> Order:
        order = self.exchange.create({**STOP, **words})
        report = self.exchange.activate(order)
        assert (report.orders, report.fills) == ([order], [])
        return order

    def refused(self, **words: Any) -> int:
        with pytest.raises(Reject) as caught:
            self.exchange.create({**STOP, **words})
        return caught.value.code


@pytest.fixture
def market() -> Market:
    return Market()


def statuses(report: Report | None) -> list[Status]:
    return [] if report is None else [order.status for order in report.orders]


def test_waits_for_the_last_price_to_fall_and_then_sells(market: Market) -> None:
    order = market.order(triggerPrice="98", **FALL)
    assert (order.status, len(market.exchange.conditionals)) == (Status.UNTRIGGERED, 1)
    market.show("97.9", "98.1")  # the book alone does not trigger it
    assert not statuses(market.trade("98.1"))
    report = market.trade("98")
    assert statuses(report) == [Status.TRIGGERED, Status.FILLED]
    assert report is not None
    assert [(fill.price, fill.order) for fill in report.fills] == [(Decimal("97.9"), order)]
    assert order.create_type == "CreateByStopOrder"
    assert market.exchange.wallet.position("XUSDT").size == -1
    assert market.trade("97") is None  # once


def test_waits_for_the_last_price_to_rise(market: Market) -> None:
    order = market.order(triggerPrice="102", side="Buy", orderType="Limit", price="101.5", **RISE)
    assert not statuses(market.trade("101.9"))
    assert statuses(market.trade("103")) == [Status.TRIGGERED, Status.FILLED]
    assert order.average == Decimal("100.1")


def test_triggered_by_the_mark_price(market: Market) -> None:
    """The median of bid, ask and last trade: a last trade outside the book moves it to the book's edge only."""
    order = market.order(triggerPrice="99", triggerBy="MarkPrice", **FALL)
    assert not statuses(market.trade("90"))
    market.show("98.9", "99.1")
    assert order.status is Status.FILLED  # the mark price is now 98.9


def test_a_triggered_limit_order_rests(market: Market) -> None:
    order = market.order(triggerPrice="98", orderType="Limit", price="105", **FALL)
    assert statuses(market.trade("97")) == [Status.TRIGGERED, Status.NEW]
    assert market.exchange.open_orders["XUSDT"] == {order.order_id: order}
    assert order_row(order)["stopOrderType"] == "Stop"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"triggerPrice": "98", **RISE}, 110092),
        ({"triggerPrice": "100", **RISE}, 110092),
        ({"triggerPrice": "102", **FALL}, 110093),
        ({"triggerPrice": "98"}, 10001),
        ({"triggerPrice": "98", "triggerDirection": 3}, 10001),
        ({"triggerPrice": "98.05", **FALL}, 10001),
        ({"triggerPrice": "-1", **FALL}, 10001),
        ({"triggerPrice": "98", "triggerBy": "IndexPrice", **FALL}, 10001),
        ({"triggerPrice": "98", "triggerBy": "Feeling", **FALL}, 10001),
        (FALL, 10001),
    ],
)
def test_impossible_triggers_are_refused(market: Market, words: dict[str, Any], code: int) -> None:
    assert market.refused(**words) == code
    assert not market.exchange.orders


def test_without_a_market_there_is_nothing_to_wait_for(market: Market) -> None:
    market.book, market.last = None, None
    with pytest.raises(Reject, match="has not begun"):
        market.exchange.create({**STOP, "triggerPrice": "98", **FALL})


def test_at_most_ten_of_a_symbol(market: Market) -> None:
    for _ in range(MOST_A_SYMBOL):
        market.order(triggerPrice="98", **FALL)
    assert market.refused(triggerPrice="98", **FALL) == 110009
    statuses(market.trade("97"))
    market.order(triggerPrice="90", **FALL)


def test_cancelled_before_its_price_comes(market: Market) -> None:
    order = market.order(triggerPrice="98", orderLinkId="s", **FALL)
    wanted = {"category": "linear", "symbol": "XUSDT", "orderLinkId": "s"}
    report = market.exchange.cancelled(market.exchange.cancel(wanted))
    assert statuses(report) == [Status.DEACTIVATED]
    assert (order.cancel_type, order.reject_reason) == ("CancelByUser", "EC_PerCancelRequest")
    assert market.trade("90") is None
    assert market.exchange.wallet.position("XUSDT").size == 0


def test_amended_before_its_price_comes(market: Market) -> None:
    order = market.order(triggerPrice="98", orderLinkId="s", **FALL)
    wanted = {"category": "linear", "symbol": "XUSDT", "orderLinkId": "s"}
    change = market.exchange.amend({**wanted, "triggerPrice": "95", "qty": "2"})
    assert market.exchange.amended(change).orders == [order]
    assert not statuses(market.trade("96"))
    for wrong, code in (({"triggerPrice": "97"}, 110093), ({"price": "90"}, 10001), ({}, 10001)):
        with pytest.raises(Reject) as caught:
            market.exchange.amend({**wanted, **wrong})
        assert caught.value.code == code
    assert statuses(market.trade("95")) == [Status.TRIGGERED, Status.FILLED]
    assert order.filled == 2
    resting = market.exchange.create({**STOP, "orderType": "Limit", "price": "105", "orderLinkId": "r"})
    market.exchange.activate(resting)
    with pytest.raises(Reject):
        market.exchange.amend({**wanted, "orderLinkId": "r", "triggerPrice": "90"})


def test_reduce_only_without_a_position_ends_when_it_is_triggered(market: Market) -> None:
    order = market.order(triggerPrice="98", reduceOnly=True, **FALL)
    assert statuses(market.trade("98")) == [Status.TRIGGERED, Status.CANCELLED]
    assert order.cancel_type == "CancelByReduceOnly"


def test_no_margin_is_held_before_and_its_want_ends_the_order(market: Market) -> None:
    before = market.exchange.accepts.order_margin()
    order = market.order(triggerPrice="98", orderType="Limit", qty="100000", price="105", **FALL)
    assert market.exchange.accepts.order_margin() == before
    market.exchange.wallet.balance = Decimal(10)
    assert statuses(market.trade("98")) == [Status.TRIGGERED, Status.CANCELLED]
    assert not order.filled


def test_over_the_network() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            words = {**STOP, "symbol": "BTCUSDT", "qty": "0.01", "orderLinkId": "stop"}
            answer = await post(session, "/v5/order/create", {**words, "triggerPrice": "60000", **FALL})
            assert answer["retCode"] == 0
            row = (await socket.receive_json())["data"][0]
            assert (row["orderStatus"], row["triggerPrice"], row["triggerDirection"], row["triggerBy"]) == (
                *("Untriggered", "60000", 2, "LastPrice"),
            )
            for kind, count in (("StopOrder", 1), ("Order", 0)):
                scope = f"category=linear&symbol=BTCUSDT&orderFilter={kind}"
                assert len((await get(session, "/v5/order/realtime", scope))["result"]["list"]) == count
            assert simulation.venue.state()["orders"]["fills"] == 0
            everything = {"category": "linear", "settleCoin": "USDT"}
            kept = await post(session, "/v5/order/cancel-all", {**everything, "orderFilter": "Order"})
            assert kept["result"]["list"] == []
            gone = await post(session, "/v5/order/cancel-all", {**everything, "orderFilter": "StopOrder"})
            assert [one["orderLinkId"] for one in gone["result"]["list"]] == ["stop"]
            assert (await socket.receive_json())["data"][0]["orderStatus"] == "Deactivated"

    run(test)
