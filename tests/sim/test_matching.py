"""Orders against a book that the test moves: what fills, what rests, what is refused and with which code."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.harness import signature

from quietcore.sim.authentication import Authenticator, Credentials
from quietcore.sim.book import Book
from quietcore.sim.instruments import Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import MAKER_FEE, TAKER_FEE, Exchange, Report
from quietcore.sim.orders import Fill, Order, Position, Side, Status
from quietcore.sim.refusal import Reject

NOW = 1_700_000_000_000


class Market:
    """An exchange with one symbol, whose book the test sets."""

    def __init__(self) -> None:
        self.book: Book | None = Book("XUSDT")
        instruments = {"XUSDT": Instrument("XUSDT", 1, 2)}
        self.liquidity = Liquidity(lambda symbol: self.book)
        self.exchange = Exchange(instruments, self.liquidity, lambda: NOW, prefix=7)
        asks = [("100.1", "1.5"), ("100.2", "2"), ("101", "9")]
        self.show([("99.9", "1"), ("99.8", "2"), ("99.5", "10")], asks)

    def show(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        assert self.book is not None
        self.book.clear()
        self.book.bids.apply(bids)
        self.book.asks.apply(asks)

    def order(
        self, side: str, qty: str, price: str | None = None, force: str = "GTC", **more: Any
    ) -> tuple[Order, Report]:
        request = {"category": "linear", "symbol": "XUSDT", "side": side, "qty": qty, **more}
        if price is None:
            request["orderType"] = "Market"
        else:
            request |= {"orderType": "Limit", "price": price, "timeInForce": force}
        order = self.exchange.create(request)
        return order, self.exchange.activate(order)

    def refused(self, **changes: Any) -> int:
        request = {"category": "linear", "symbol": "XUSDT", "side": "Buy", "qty": "1"}
        request |= {"orderType": "Limit", "price": "100"}
        with pytest.raises(Reject) as caught:
            self.exchange.create({**request, **changes})
        return caught.value.code


@pytest.fixture
def market() -> Market:
    return Market()


def fills(report: Report) -> list[tuple[str, str]]:
    return [(f"{fill.price}", f"{fill.quantity}") for fill in report.fills]


def test_market_order_walks_the_book_at_the_sizes_shown(market: Market) -> None:
    order, report = market.order("Buy", "4")
    assert fills(report) == [("100.1", "1.5"), ("100.2", "2"), ("101", "0.5")]
    assert [fill.leaves for fill in report.fills] == [Decimal("2.5"), Decimal("0.5"), 0]
    assert order.status is Status.FILLED
    assert order.average == (Decimal("150.15") + Decimal("200.4") + Decimal("50.5")) / 4
    assert not report.fills[0].maker
    assert report.fills[0].fee == Decimal("150.15") * TAKER_FEE
    position = market.exchange.wallet.position("XUSDT")
    assert (position.size, position.entry) == (Decimal(4), order.average)


def test_market_order_beyond_the_book_is_cut(market: Market) -> None:
    order, report = market.order("Sell", "20")
    assert sum(fill.quantity for fill in report.fills) == 13
    assert (order.status, order.reject_reason) == (Status.CANCELLED, "EC_NoImmediateQtyToFill")
    assert order.leaves == 0


def test_what_was_taken_is_not_given_twice_until_the_level_changes(market: Market) -> None:
    assert fills(market.order("Buy", "1")[1]) == [("100.1", "1")]
    assert fills(market.order("Buy", "1")[1]) == [("100.1", "0.5"), ("100.2", "0.5")]
    market.show([("99.9", "1")], [("100.1", "3")])
    assert fills(market.order("Buy", "2")[1]) == [("100.1", "2")]


def test_limit_order_takes_what_it_reaches_and_rests(market: Market) -> None:
    order, report = market.order("Buy", "3", "100.1")
    assert (fills(report), order.status) == ([("100.1", "1.5")], Status.PARTIALLY_FILLED)
    assert market.exchange.on_book("XUSDT") == Report()  # the level is exhausted
    market.show([("99.9", "1")], [("100.0", "1")])
    again = market.exchange.on_book("XUSDT")
    assert again is not None
    assert fills(again) == [("100.1", "1")]  # at its own price, for the size shown
    assert again.fills[0].maker
    assert again.fills[0].fee == Decimal("100.1") * MAKER_FEE
    market.show([("99.9", "1")], [("100.0", "7")])
    last = market.exchange.on_book("XUSDT")
    assert last is not None
    assert (fills(last), order.status) == ([("100.1", "0.5")], Status.FILLED)
    assert order.filled == 3
    assert market.exchange.on_book("XUSDT") is None


@pytest.mark.parametrize(
    ("force", "qty", "status", "reason", "filled"),
    [
        ("IOC", "3", Status.CANCELLED, "EC_NoImmediateQtyToFill", "1.5"),
        ("IOC", "1", Status.FILLED, "EC_NoError", "1"),
        ("FOK", "3", Status.CANCELLED, "EC_NoEnoughQtyToFill", "0"),
        ("FOK", "1.5", Status.FILLED, "EC_NoError", "1.5"),
        ("PostOnly", "1", Status.CANCELLED, "EC_PostOnlyWillTakeLiquidity", "0"),
    ],
)
def test_times_in_force(
    market: Market, force: str, qty: str, status: Status, reason: str, filled: str
) -> None:
    order, report = market.order("Buy", qty, "100.1", force)
    assert (order.status, order.reject_reason, order.filled) == (status, reason, Decimal(filled))
    assert report.orders == [order]
    assert not market.exchange.open_orders.get("XUSDT")


def test_post_only_that_does_not_cross_rests(market: Market) -> None:
    order, report = market.order("Sell", "1", "100.1", "PostOnly")
    assert (order.status, report.fills) == (Status.NEW, [])
    assert list(market.exchange.open_orders["XUSDT"].values()) == [order]


def test_before_the_market_begins_limits_rest_and_market_orders_are_refused_with_the_reason(
    market: Market,
) -> None:
    market.book = None
    assert market.order("Buy", "1", "100")[0].status is Status.NEW
    with pytest.raises(Reject, match="has not begun") as caught:
        market.order("Buy", "1")
    assert caught.value.code == 110118


def test_market_order_in_an_empty_book_ends(market: Market) -> None:
    market.show([], [])
    order, _ = market.order("Buy", "1")
    assert (order.status, order.reject_reason) == (Status.CANCELLED, "EC_NoImmediateQtyToFill")


def test_cancel_before_during_and_after(market: Market) -> None:
    exchange = market.exchange
    order, _ = market.order("Buy", "1", "99", orderLinkId="mine")
    wanted = {"category": "linear", "symbol": "XUSDT", "orderLinkId": "mine"}
    assert exchange.cancel(wanted) is order
    assert exchange.cancelled(order).orders == [order]
    assert (order.status, order.cancel_type) == (Status.CANCELLED, "CancelByUser")
    assert not exchange.cancelled(order)  # it was done in the meantime: nothing more to tell
    for request in (wanted, {**wanted, "orderLinkId": "other"}):
        with pytest.raises(Reject) as caught:
            exchange.cancel(request)
        assert caught.value.code == 110001
    early = exchange.create({**wanted, "orderLinkId": "b", "side": "Buy", "qty": "1", "orderType": "Market"})
    exchange.cancelled(early)
    assert not exchange.activate(early)  # cancelled between acknowledgement and book


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "spot"}, 10001),
        ({"symbol": "NONE"}, 10001),
        ({"side": "buy"}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "1e3"}, 10001),
        ({"qty": "0.001"}, 10001),
        ({"qty": 1}, 10001),
        ({"qty": "NaN"}, 10001),
        ({"qty": "100000.01"}, 10001),
        ({"price": "100.05"}, 10001),
        ({"price": "0"}, 10001),
        ({"price": None}, 10001),
        ({"timeInForce": "GTX"}, 10001),
        ({"orderLinkId": "a b"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"qty": "0.01", "price": "10"}, 110094),
        ({"qty": "100000", "price": "109.9"}, 110007),
        ({"reduceOnly": True}, 110017),
        ({"reduceOnly": "perhaps"}, 10001),
        ({"price": "110.1"}, 110003),  # the mark price is 100
        ({"side": "Sell", "price": "89.9"}, 110003),
        ({"price": "10000000.1"}, 110003),
        ({"timeInForce": "RPI"}, 110119),
        ({"positionIdx": "3"}, 10001),
        ({"category": "inverse"}, 10001),
    ],
)
def test_refusals(market: Market, changes: dict[str, Any], code: int) -> None:
    assert market.refused(**changes) == code
    assert (market.exchange.accepted, market.exchange.rejected) == (0, 1)


def test_resting_reduce_only_orders_shrink_with_the_position_and_end_with_it(market: Market) -> None:
    market.order("Buy", "3")
    order, _ = market.order("Sell", "3", "101", reduceOnly=True)
    report = market.order("Sell", "1")[1]
    assert report.orders[-1] is order
    assert (order.quantity, order.leaves, order.status) == (Decimal(2), Decimal(2), Status.NEW)
    report = market.order("Sell", "2")[1]
    assert report.orders[-1] is order
    assert (order.status, order.cancel_type) == (Status.CANCELLED, "CancelByReduceOnly")
    assert market.exchange.wallet.position("XUSDT").size == 0


def test_link_ids_are_unique_even_after_the_order_is_done(market: Market) -> None:
    market.order("Buy", "1", orderLinkId="once")
    assert market.refused(orderLinkId="once") == 110072


def test_reduce_only_is_cut_to_the_position(market: Market) -> None:
    market.order("Buy", "1")
    assert market.refused(reduceOnly=True) == 110017
    order, report = market.order("Sell", "3", reduceOnly=True)
    assert order.quantity == report.fills[0].closed == 1
    assert market.exchange.wallet.position("XUSDT").size == 0


def test_position_turns_and_realises() -> None:
    position = Position("XUSDT")
    assert position.fill(Side.BUY, Decimal(100), Decimal(2)) == 0
    assert position.fill(Side.BUY, Decimal(110), Decimal(2)) == 0
    assert position.entry == 105
    assert position.fill(Side.SELL, Decimal(120), Decimal(6)) == 4
    assert [position.size, position.entry, position.realised] == [-2, 120, 60]
    assert position.fill(Side.BUY, Decimal(130), Decimal(2)) == 2
    assert [position.size, position.entry, position.realised] == [0, 0, 40]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Buy", "Sell"]),
            st.integers(1, 400),
            st.one_of(st.none(), st.integers(990, 1010)),
            st.sampled_from(["GTC", "IOC", "FOK", "PostOnly"]),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_books_balance(orders: list[tuple[str, int, int | None, str]], rng: Any) -> None:
    """Whatever comes: fills sum to orders and to the position, and never exceed what was shown."""
    market = Market()
    every: list[Fill] = []
    for side, lots, tick, force in orders:
        price = None if tick is None else f"{tick // 10}.{tick % 10}"
        try:
            every += market.order(side, f"{Decimal(lots) / 100:f}", price, force)[1].fills
        except Reject as reject:
            if reject.code != 110094:  # too small a notional is the only refusal that may come
                raise
        best = rng.randint(992, 1007)
        market.show(
            [(f"{(best - n) / 10:.1f}", f"{rng.randint(1, 300) / 100}") for n in range(1, 4)],
            [(f"{(best + n) / 10:.1f}", f"{rng.randint(1, 300) / 100}") for n in range(1, 4)],
        )
        shown = market.book.asks.best() if market.book else None
        report = market.exchange.on_book("XUSDT")
        if report:
            every += report.fills
            bought = sum(fill.quantity for fill in report.fills if fill.order.side is Side.BUY)
            assert shown is not None
            assert bought <= shown[1]
    exchange = market.exchange
    assert len({fill.execution_id for fill in every}) == len(every) == exchange.fills
    for order in exchange.orders.values():
        mine = [fill for fill in every if fill.order is order]
        assert sum(fill.quantity for fill in mine) == order.filled <= order.quantity
        assert sum(fill.price * fill.quantity for fill in mine) == order.value
        if order.price is not None:
            assert all((order.price - fill.price) * order.side.sign >= 0 for fill in mine)
        assert order.open == (order.order_id in exchange.open_orders.get("XUSDT", {}))
    net = sum(fill.quantity * fill.order.side.sign for fill in every)
    assert exchange.wallet.position("XUSDT").size == net


class TestAuthenticator:
    checker = Authenticator(Credentials("sim-key", "sim-secret"), lambda: NOW)

    def code(self, payload: bytes = b"a=1", /, **changes: str) -> int:
        stamp = changes.get("stamp", str(NOW))
        headers = {
            "X-BAPI-API-KEY": "sim-key",
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": signature(f"{stamp}sim-key5000a=1"),
        }
        headers |= {key: value for key, value in changes.items() if key.startswith("X-")}
        try:
            self.checker.check_rest(headers, payload)
        except Reject as reject:
            return reject.code
        return 0

    def test_rest(self) -> None:
        assert self.code() == 0
        assert self.code(b"a=2") == 10004
        assert self.code(b"a%3D1") == 10004  # the same once decoded, but not the bytes that were signed
        assert self.code(**{"X-BAPI-SIGN": "0" * 64}) == 10004
        assert self.code(**{"X-BAPI-API-KEY": "other"}) == 10003
        assert self.code(**{"X-BAPI-API-KEY": "schlüssel"}) == 10003
        assert self.code(stamp=str(NOW - 5000)) == 0
        assert self.code(stamp=str(NOW - 5001)) == 10002
        assert self.code(stamp=str(NOW + 999)) == 0
        assert self.code(stamp=str(NOW + 1000)) == 10002
        assert self.code(stamp="soon") == 10001

    def test_socket(self) -> None:
        def code(*arguments: object) -> int:
            try:
                self.checker.check_socket(list(arguments))
            except Reject as reject:
                return reject.code
            return 0

        good = NOW + 1
        assert code("sim-key", good, signature(f"GET/realtime{good}")) == 0
        assert code("sim-key", good, signature(f"GET/realtime{good + 1}")) == 10004
        assert code("sim-key", NOW, signature(f"GET/realtime{NOW}")) == 10004
        assert code("other", good, signature(f"GET/realtime{good}")) == 10003
        assert code("sim-key", good) == 10001
        assert code("sim-key", None, signature("GET/realtimeNone")) == 10001

    def test_secret_is_not_shown(self) -> None:
        assert "sim-secret" not in repr(Credentials("sim-key", "sim-secret"))


# the queue -----------------------------------------------------------------------------------------------------


def trade(market: Market, price: str, size: str, taker: Side = Side.SELL) -> list[tuple[str, str]]:
    report = market.exchange.on_trade("XUSDT", Decimal(price), Decimal(size), taker)
    return fills(report) if report is not None else []


def test_resting_order_waits_for_what_stands_before_it(market: Market) -> None:
    order, _ = market.order("Buy", "2", "99.9", "PostOnly")
    assert order.ahead == 1  # what the level showed when it came
    assert trade(market, "99.9", "0.4") == []
    assert trade(market, "99.9", "1") == [("99.9", "0.4")]  # 0.6 of it were before us
    assert (order.status, order.filled) == (Status.PARTIALLY_FILLED, Decimal("0.4"))
    assert trade(market, "99.9", "9", Side.BUY) == []  # a buyer takes asks, not us
    assert trade(market, "100", "9") == []  # that traded at a better bid than ours
    assert trade(market, "99.9", "9") == [("99.9", "1.6")]
    assert order.status is Status.FILLED


def test_shrinking_level_shortens_the_queue_and_a_trade_through_sweeps_it(market: Market) -> None:
    order, _ = market.order("Buy", "1", "99.8")
    other, _ = market.order("Buy", "1", "99.5")
    market.show([("99.9", "1"), ("99.8", "0.5"), ("99.5", "10")], [("100.1", "1.5")])
    market.exchange.on_book("XUSDT")
    assert (order.ahead, other.ahead) == (Decimal("0.5"), Decimal(10))
    assert trade(market, "99.5", "1.3") == [("99.8", "1")]  # what is left stops at the queue of 99.5
    assert (other.filled, other.ahead) == (Decimal(0), Decimal("9.7"))


def test_own_orders_at_one_price_fill_in_their_order(market: Market) -> None:
    first, _ = market.order("Sell", "1", "100.1", "PostOnly")
    second, _ = market.order("Sell", "1", "100.1", "PostOnly")
    first.ahead = second.ahead = Decimal(0)
    assert trade(market, "100.1", "1.5", Side.BUY) == [("100.1", "1"), ("100.1", "0.5")]
    assert (first.status, second.status) == (Status.FILLED, Status.PARTIALLY_FILLED)


def test_amendments(market: Market) -> None:
    exchange = market.exchange
    order, _ = market.order("Buy", "2", "99.9", "PostOnly", orderLinkId="mine")
    order.ahead = Decimal("0.1")
    wanted = {"category": "linear", "symbol": "XUSDT", "orderLinkId": "mine"}
    exchange.amended(exchange.amend({**wanted, "qty": "1.5"}))
    assert (order.quantity, order.ahead) == (Decimal("1.5"), Decimal("0.1"))  # less keeps its place
    exchange.amended(exchange.amend({**wanted, "qty": "1.8"}))
    assert (order.quantity, order.ahead) == (Decimal("1.8"), Decimal(1))  # more goes to the end
    exchange.amended(exchange.amend({**wanted, "price": "99.8"}))
    assert (order.price, order.ahead) == (Decimal("99.8"), Decimal(2))
    refusals = [({"price": "99.8"}, 10001), ({"qty": "0.001"}, 10001), ({"qty": "0.01"}, 110094)]
    for change, code in refusals:
        with pytest.raises(Reject) as caught:
            exchange.amend({**wanted, **change})
        assert caught.value.code == code
    exchange.amended(exchange.amend({**wanted, "price": "100.1"}))
    assert (order.status, order.reject_reason) == (Status.CANCELLED, "EC_PostOnlyWillTakeLiquidity")
    with pytest.raises(Reject) as gone:
        exchange.amend({**wanted, "price": "99"})
    assert gone.value.code == 110001


def test_what_one_account_took_is_gone_for_the_other() -> None:
    market = Market()
    other = Exchange(market.exchange.instruments, market.liquidity, lambda: NOW, prefix=8)
    assert fills(market.order("Buy", "1", "100.1")[1]) == [("100.1", "1")]
    request = {"category": "linear", "symbol": "XUSDT", "side": "Buy", "qty": "1", "orderType": "Limit"}
    order = other.create({**request, "price": "100.1"})
    assert fills(other.activate(order)) == [("100.1", "0.5")]


# the same as a property: whatever trades and books come, no order gets more than it asked for


@given(
    st.lists(st.tuples(st.booleans(), st.integers(990, 1010), st.integers(1, 300)), min_size=1, max_size=60)
)
def test_queue_never_overfills(events: list[tuple[bool, int, int]]) -> None:
    market = Market()
    orders = [market.order("Buy", "2", "99.9", "PostOnly")[0], market.order("Sell", "2", "100.1")[0]]
    for is_trade, tenths, hundredths in events:
        price, size = str(Decimal(tenths) / 10), str(Decimal(hundredths) / 100)
        if is_trade:
            trade(market, price, size, Side.SELL if hundredths % 2 else Side.BUY)
        elif tenths < 1000:
            market.show([(price, size)], [("100.1", "1")])
        else:
            market.show([("99.8", "1")], [(price, size)])
        market.exchange.on_book("XUSDT")
        for order in orders:
            assert 0 <= order.filled <= order.quantity
            assert order.ahead >= 0
            assert order.open is (order.filled < order.quantity)
    total = sum(order.filled * order.side.sign for order in orders)
    assert market.exchange.wallet.position("XUSDT").size == total
