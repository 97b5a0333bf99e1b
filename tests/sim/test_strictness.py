"""What the venue documents and the simulator does not do is refused by name; what the venue ignores is counted."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
import yarl
from tests.sim.harness import ask, get, opened, over_socket, post, run, signed, simulator, told, trade_socket

from quietcore.sim import cursors, queries
from quietcore.sim.book import Book
from quietcore.sim.clock import Clock
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.instruments import Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.order_entry import OrderEntry
from quietcore.sim.orders import Order
from quietcore.sim.parameters import CREATE, QUERIES
from quietcore.sim.queries import WEEK_MS, Queries
from quietcore.sim.rate_limits import UNLIMITED, RateLimits
from quietcore.sim.refusal import Reject
from quietcore.sim.source import generated
from quietcore.sim.statistics import Statistics

NOW = 1_700_000_000_000
LISTED = {
    name: Instrument(name, 1, 2)
    for name in ("BTCUSDT", "ETHUSDT", "BTCPERP", "BTC-26DEC25", "BTCUSDT-26DEC25")
}
ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "1"}
LIVE, HISTORY = "/v5/order/realtime", "/v5/order/history"
EXECUTIONS, POSITIONS = "/v5/execution/list", "/v5/position/list"


class Desk:
    """One account of a market in which every book is 99.9 to 100.1; no network."""

    def __init__(self) -> None:
        self.now = NOW
        self.statistics, self.faults = Statistics(), Faults(Clock.of(lambda: self.now))
        books = {name: Book(name) for name in LISTED}
        for book in books.values():
            book.bids.apply([("99.9", "1000")])
            book.asks.apply([("100.1", "1000")])
        self.exchange = Exchange(LISTED, Liquidity(books.get), lambda: self.now, prefix=7)
        limits = RateLimits(UNLIMITED, Clock.of(lambda: self.now))
        self.told: list[Report] = []
        self.entry = OrderEntry("key", self.exchange, limits, self.faults, self.told.append, self.statistics)
        self.queries = Queries(self.exchange, lambda: self.now, self.statistics)

    def send(self, operation: str = "create", **words: Any) -> tuple[int, str]:
        """Send a request and let it take effect; return code and message."""
        words = {**ORDER, **words} if operation == "create" else {"category": "linear", **words}
        answer = self.entry.perform(operation, words)
        self.entry.effects(answer)
        return answer.code, answer.message

    def order(self, **words: Any) -> Order:
        assert self.send(**{"price": "99", **words}) == (0, "OK")
        return next(reversed(self.exchange.orders.values()))

    def ask(self, path: str, **query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.queries.answer(path, {"category": "linear", **query})["list"]
        return rows

    def refused(self, path: str, **query: str) -> tuple[int, str]:
        with pytest.raises(Reject) as caught:
            self.queries.answer(path, {"category": "linear", **query})
        return caught.value.code, str(caught.value)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CREATE.refused))
def test_order_fields_that_are_not_simulated_are_refused_by_name(desk: Desk, name: str) -> None:
    value = True if name == "closeOnTrigger" else "Percent" if name == "slippageToleranceType" else "12"
    assert desk.send("create", price="99", **{name: value}) == (
        10001,
        f"params error: {name} is not supported by this simulator",
    )
    assert not desk.exchange.orders
    for harmless in (None, "", *CREATE.refused[name]):
        assert desk.send("create", price="99", **{name: harmless})[0] == 0


def test_take_profit_of_an_amendment_is_refused_by_name(desk: Desk) -> None:
    order = desk.order()
    words = {"symbol": "BTCUSDT", "orderId": order.order_id, "price": "98", "stopLoss": "90"}
    code, message = desk.send("amend", **words)
    assert (code, message) == (10001, "params error: stopLoss is not supported by this simulator")
    assert order.price == 99


def test_unknown_parameters_are_ignored_counted_and_shown_once_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert desk.send(price="99", colour="green", orderFilter="Order")[0] == 0
        desk.ask(LIVE, symbol="BTCUSDT", shade="dark")
    assert desk.statistics.state()["unknown_parameters"] == {
        "/v5/order/create colour": 2,
        "/v5/order/realtime shade": 1,
    }
    assert sum("colour" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("category", ["spot", "inverse", "option", "", None, "Linear"])
def test_other_categories_are_refused(desk: Desk, category: str | None) -> None:
    name = category if category in ("spot", "inverse", "option") else "invalid"
    for operation in ("create", "amend", "cancel", "cancel-all"):
        words = {"symbol": "BTCUSDT", "orderId": "x", "price": "99"}
        code, message = desk.send(operation, **{**words, "category": category})
        assert (code, name in message) == (10001, True), operation
    code, message = desk.send("create-batch", category=category, request=[{**ORDER, "price": "99"}])
    assert (code, name in message) == (10001, True)
    for path in (LIVE, HISTORY, EXECUTIONS, POSITIONS):
        with pytest.raises(Reject, match=name):
            desk.queries.answer(path, {"category": str(category or ""), "symbol": "BTCUSDT"})


# filters ---------------------------------------------------------------------------------------------------------


def test_filters_by_symbol_base_and_settlement_coin(desk: Desk) -> None:
    for name in LISTED:
        desk.order(symbol=name)

    def symbols(**query: str) -> set[str]:
        return {row["symbol"] for row in desk.ask(LIVE, **query)}

    assert symbols(settleCoin="USDT") == {"BTCUSDT", "ETHUSDT", "BTCUSDT-26DEC25"}
    assert symbols(settleCoin="USDC") == {"BTCPERP", "BTC-26DEC25"}
    assert symbols(baseCoin="BTC") == {"BTCUSDT", "BTCPERP", "BTC-26DEC25", "BTCUSDT-26DEC25"}
    # The first of symbol, base coin and settlement coin counts alone.
    assert symbols(baseCoin="ETH", settleCoin="USDC") == {"ETHUSDT"}
    assert symbols(symbol="BTCPERP", baseCoin="ETH") == {"BTCPERP"}
    assert desk.refused(LIVE) == (10001, "params error: symbol, settleCoin or baseCoin is required")
    assert desk.refused(LIVE, settleCoin="BTC")[0] == 10001
    assert desk.refused(LIVE, symbol="NONE") == (10001, "params error: symbol invalid")


def test_cancel_all_by_one_coin_leaves_the_others(desk: Desk) -> None:
    for name in LISTED:
        desk.order(symbol=name)
    assert desk.send("cancel-all")[0] == 10001
    assert desk.send("cancel-all", settleCoin="EUR")[0] == 10001
    assert desk.send("cancel-all", settleCoin="USDT")[0] == 0
    assert {order.symbol for order in desk.exchange.cancel_all()} == {"BTCPERP", "BTC-26DEC25"}
    assert desk.send("cancel-all", symbol=None, baseCoin="BTC", settleCoin="USDT")[0] == 0
    assert not desk.exchange.cancel_all()


def test_positions_by_coin_are_those_that_are_held(desk: Desk) -> None:
    for name in ("BTCUSDT", "BTCPERP"):
        desk.send(symbol=name, orderType="Market")
    assert [row["symbol"] for row in desk.ask(POSITIONS, settleCoin="USDC")] == ["BTCPERP"]
    row = desk.ask(POSITIONS, symbol="ETHUSDT")[0]
    assert (row["size"], row["side"], row["seq"]) == ("0", "", -1)  # asked for by name, never traded
    assert desk.refused(POSITIONS) == (10001, "params error: symbol or settleCoin is required")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (LIVE, {"limit": "51"}),
        (LIVE, {"limit": "0"}),
        (LIVE, {"limit": "x"}),
        (LIVE, {"openOnly": "3"}),
        (LIVE, {"orderFilter": "tpslOrder"}),
        (LIVE, {"cursor": "1"}),
        (HISTORY, {"orderStatus": "Gone"}),
        (HISTORY, {"cursor": "page_args%3D1%26symbol%3D6%26"}),
        (EXECUTIONS, {"limit": "101"}),
        (EXECUTIONS, {"execType": "Gift"}),
        (EXECUTIONS, {"startTime": "soon"}),
        (EXECUTIONS, {"startTime": "2", "endTime": "1"}),
        (EXECUTIONS, {"startTime": "1", "endTime": str(WEEK_MS + 2)}),
        (POSITIONS, {"limit": "201"}),
        (POSITIONS, {"cursor": "BTCUSDT%2C1%2C5"}),
    ],
)
def test_parameters_out_of_range_are_refused(desk: Desk, path: str, query: dict[str, str]) -> None:
    assert desk.refused(path, symbol="BTCUSDT", **query)[0] == 10001


def test_executions_of_more_than_seven_days_ago_are_asked_for_by_their_time(desk: Desk) -> None:
    desk.send(orderType="Market")
    desk.now += WEEK_MS + 1
    desk.send(orderType="Market")
    assert len(desk.ask(EXECUTIONS, symbol="BTCUSDT")) == 1
    # From a start alone, seven days are told: not what came after them.
    assert [row["execTime"] for row in desk.ask(EXECUTIONS, startTime=str(NOW))] == [str(NOW)]
    assert len(desk.ask(EXECUTIONS, startTime=str(NOW + 1))) == 1


# live orders and history -----------------------------------------------------------------------------------------


def test_after_a_restart_final_orders_stand_in_the_history_alone(desk: Desk) -> None:
    done, rests = desk.order(price="100.1"), desk.order()
    named = {"symbol": "BTCUSDT", "orderId": done.order_id}
    assert [row["orderStatus"] for row in desk.ask(LIVE, **named)] == ["Filled"]
    assert [row["orderId"] for row in desk.ask(LIVE, symbol="BTCUSDT", openOnly="1")] == [done.order_id]
    desk.exchange.restarted()
    assert desk.ask(LIVE, **named) == desk.ask(LIVE, symbol="BTCUSDT", openOnly="1") == []
    assert [row["orderId"] for row in desk.ask(LIVE, symbol="BTCUSDT")] == [rests.order_id]
    assert [row["orderStatus"] for row in desk.ask(HISTORY, **named)] == ["Filled"]
    # What ends after it is shown again.
    desk.send("cancel", symbol="BTCUSDT", orderId=rests.order_id)
    assert [row["orderId"] for row in desk.ask(LIVE, symbol="BTCUSDT", openOnly="1")] == [rests.order_id]


def test_the_live_list_keeps_the_latest_500_of_the_closed(desk: Desk) -> None:
    first = desk.order(price="100.1", qty="0.1")
    assert desk.ask(LIVE, symbol="BTCUSDT", orderId=first.order_id)
    for _ in range(500):
        desk.now += 1
        desk.order(price="100.1", qty="0.1")
    assert not desk.ask(LIVE, symbol="BTCUSDT", orderId=first.order_id)
    assert desk.ask(HISTORY, symbol="BTCUSDT", orderId=first.order_id)


def test_an_empty_restart_forgets_everything(desk: Desk) -> None:
    desk.order(price="100.1", orderLinkId="a")
    desk.order(orderLinkId="b")
    desk.exchange.forget()
    assert not desk.exchange.cancel_all()
    for path in (LIVE, HISTORY, EXECUTIONS):
        assert desk.ask(path, symbol="BTCUSDT") == []
    assert desk.ask(POSITIONS, symbol="BTCUSDT")[0]["size"] == "0"
    assert desk.send("cancel", symbol="BTCUSDT", orderLinkId="b")[0] == 110001


def test_a_client_id_is_taken_once_but_on_command(desk: Desk) -> None:
    desk.order(price="100.1", orderLinkId="once")
    rests = desk.order(orderLinkId="rests")
    assert desk.send(price="99", orderLinkId="once")[0] == 110072
    exchange = Exchange(LISTED, desk.exchange._liquidity, lambda: NOW)
    assert exchange.find({"orderLinkId": "once"}) is None
    desk.exchange._whims = desk.exchange._whims._replace(used_id=lambda: True)
    assert desk.send(price="99", orderLinkId="rests")[0] == 110072  # of an open order never
    assert rests.open
    assert desk.send(price="98", orderLinkId="once")[0] == 0
    assert desk.ask(LIVE, symbol="BTCUSDT", orderLinkId="once")[0]["price"] == "98"
    assert len(desk.ask(HISTORY, symbol="BTCUSDT", orderLinkId="once")) == 1


# cursors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "key", "example"),
    [
        (cursors.EXECUTIONS, "000000132766", "000000132766%3A2%2C000000132766%3A2"),
        (cursors.POSITIONS, "BTCUSDT,1719444330678,0", "BTCUSDT%2C1719444330678%2C0"),
        (cursors.LIVE_ORDERS, "fd4300ae-1", "page_args%3Dfd4300ae-1%26symbol%3D6%26"),
        (cursors.ORDER_HISTORY, "39380", "page_token%3D39380%26"),
    ],
)
def test_cursors_have_the_venues_forms(form: cursors.Form, key: str, example: str) -> None:
    assert form.encode(key) == example
    # As it was given; decoded by the server once; and from one who encoded it once more.
    for given in (example, unquote(example), example.replace("%", "%25")):
        assert form.decode(given) == key
    with pytest.raises(Reject):
        form.decode(key[:-1] + "%")


def pages(desk: Desk, path: str, **query: str) -> list[list[str]]:
    """Follow the cursors to their end and return each page's ids."""
    found, cursor = [], ""
    while True:
        more = {"cursor": cursor} if cursor else {}
        result = desk.queries.answer(path, {"category": "linear", **query, **more})
        found.append(
            [str(row.get("execId") or row.get("orderId") or row["symbol"]) for row in result["list"]]
        )
        cursor = result["nextPageCursor"]
        assert not cursor or "%" in cursor
        if not cursor:
            return found


def test_pages_are_complete_newest_first_and_end(desk: Desk) -> None:
    rest = [desk.order(price="99").order_id for _ in range(5)]
    assert pages(desk, LIVE, symbol="BTCUSDT", limit="2") == [rest[:2:-1], rest[2:0:-1], rest[:1]]
    done = [desk.order(price="100.1").order_id for _ in range(4)]
    # A full page has a cursor, though nothing follows it.
    assert pages(desk, HISTORY, symbol="BTCUSDT", limit="2") == [done[:1:-1], done[1::-1], []]
    sizes = [len(page) for page in pages(desk, EXECUTIONS, symbol="BTCUSDT", limit="3")]
    assert sizes == [3, 1]


def test_a_list_of_one_position_has_a_cursor_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "CURSOR_AT_END", True)
    desk.send(orderType="Market")
    result = desk.queries.answer(POSITIONS, {"category": "linear", "symbol": "BTCUSDT"})
    assert result["nextPageCursor"] == f"BTCUSDT%2C{NOW}%2C0"
    assert pages(desk, POSITIONS, symbol="BTCUSDT") == [["BTCUSDT"], []]


def test_a_page_goes_on_though_its_last_order_is_gone(desk: Desk) -> None:
    orders = [desk.order(price="99") for _ in range(3)]
    first = desk.queries.answer(LIVE, {"category": "linear", "symbol": "BTCUSDT", "limit": "2"})
    desk.send("cancel", symbol="BTCUSDT", orderId=orders[1].order_id)
    again = {"category": "linear", "symbol": "BTCUSDT", "limit": "2", "cursor": first["nextPageCursor"]}
    assert [row["orderId"] for row in desk.queries.answer(LIVE, again)["list"]] == [orders[0].order_id]


def test_a_cursor_that_is_written_otherwise_than_it_was_signed_is_refused() -> None:
    async def test() -> None:
        async with opened() as (_, session, _socket):
            for _ in range(2):
                await post(session, "/v5/order/create", {**ORDER, "qty": "0.01", "orderType": "Market"})
            scope = "category=linear&symbol=BTCUSDT&limit=1"
            cursor = (await get(session, EXECUTIONS, scope))["result"]["nextPageCursor"]
            signed_text = f"{scope}&cursor={cursor}"
            page = await get(session, EXECUTIONS, signed_text)
            assert (page["retCode"], len(page["result"]["list"])) == (0, 1)
            for rewritten in (unquote(cursor), cursor.replace("%", "%25"), cursor.lower()):
                url = yarl.URL(f"{EXECUTIONS}?{scope}&cursor={rewritten}", encoded=True)
                async with session.get(url, headers=signed(signed_text)) as response:
                    assert (await response.json())["retCode"] == 10004, rewritten
            # Another spelling, signed as it is sent, is understood.
            doubled = await get(session, EXECUTIONS, f"{scope}&cursor={cursor.replace('%', '%25')}")
            assert doubled["result"] == page["result"]

    run(test)


# routes, topics, the market's beginning ---------------------------------------------------------------------------


def test_paths_that_are_not_served_answer_in_the_venues_form_and_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            for path in ("/v5/market/kline", "/v5/asset/coin/query-info", "/v5/public/spot"):
                async with session.get(path) as response:
                    answer = await response.json()
                    assert (response.status, answer["retCode"], answer["result"]) == (404, 10017, {})
                    assert path in answer["retMsg"]
            async with session.get("/v5/order/create") as response:
                assert (response.status, (await response.json())["retCode"]) == (404, 10017)
            async with session.post("/fapi/v1/order") as response:
                assert (response.status, (await response.json())["code"]) == (404, -5000)
            async with session.get("/favicon.ico") as response:
                assert response.status == 404
            missing = simulation.venue.state()["requests"]["missing_routes"]
            assert missing["GET /v5/market/kline"] == missing["POST /fapi/v1/order"] == 1

    with caplog.at_level(logging.WARNING):
        run(test)
    assert any("GET /v5/market/kline" in line for line in caplog.messages)


def test_topics_are_served_or_refused() -> None:
    async def test() -> None:
        async with (
            opened(topics=("order.linear", "wallet")) as (simulation, session, private),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            for topic in (
                "kline.1.BTCUSDT",
                "allLiquidation.BTCUSDT",
                "tickers.NONE",
                "orderbook.rpi.BTCUSDT",
            ):
                answer = await ask(socket, {"op": "subscribe", "args": ["publicTrade.BTCUSDT", topic]})
                assert (answer["success"], answer["ret_msg"]) == (
                    False,
                    f"error:handler not found,topic:{topic}",
                )
            for topics in (["order.spot"], ["greeks"], ["order", "order.linear"], ["order", "dcp"]):
                answer = await ask(private, {"op": "subscribe", "args": topics})
                assert not answer["success"], topics
                assert topics[-1].removesuffix(".linear") in answer["ret_msg"]
            assert "kline.1.BTCUSDT" in simulation.venue.state()["requests"]["refused_topics"]
            await post(session, "/v5/order/create", {**ORDER, "qty": "0.01", "orderType": "Market"})
            assert [(await private.receive_json())["topic"] for _ in range(2)] == ["order.linear", "wallet"]

    run(test)


def test_tickers_follow_the_book_and_its_trades() -> None:
    async def test() -> None:
        source = generated(5, 1, 50, 400)
        async with (
            simulator(source) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            answer = await ask(socket, {"op": "subscribe", "args": ["tickers.BTCUSDT"]})
            assert answer["success"]
            simulation.venue.replay.start()
            first = await socket.receive_json()
            fields: dict[str, str] = {**first["data"]}
            assert (first["type"], first["topic"]) == ("snapshot", "tickers.BTCUSDT")
            await simulation.replay
            book = simulation.venue.replay.reader.book("BTCUSDT")
            assert book is not None
            best = book.bids.best(), book.asks.best()
            assert best[0] is not None
            assert best[1] is not None
            while Decimal(fields["bid1Price"]) != best[0][0] or Decimal(fields["ask1Price"]) != best[1][0]:
                delta = await socket.receive_json()
                assert delta["type"] == "delta"
                fields |= delta["data"]
            assert (
                Decimal(fields["bid1Price"]) <= Decimal(fields["markPrice"]) <= Decimal(fields["ask1Price"])
            )

    run(test)


def test_an_order_before_the_market_begins_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with simulator(generated(5, 1, 50, 1), hold=True) as (simulation, session):
            for _ in range(2):
                market = {**ORDER, "qty": "0.01", "orderType": "Market"}
                answer = await post(session, "/v5/order/create", market)
                assert (answer["retCode"], "has not begun" in answer["retMsg"]) == (110118, True)
            assert simulation.venue.state()["requests"]["before_market"] == 2
            simulation.venue.replay.start()
            await simulation.replay
            assert (await post(session, "/v5/order/create", market))["retCode"] == 0

    with caplog.at_level(logging.WARNING):
        run(test)
    assert sum("has not begun" in line for line in caplog.messages) == 1


def test_order_entry_by_socket_is_as_strict() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            trading = await trade_socket(session)
            words = {**ORDER, "qty": "0.01", "price": "60000"}
            spot = await ask(trading, over_socket("order.create", {**words, "category": "spot"}, 1))
            assert (spot["retCode"], "spot" in spot["retMsg"]) == (10404, True)
            stop = await ask(trading, over_socket("order.create", {**words, "takeProfit": "70000"}, 2))
            assert (stop["retCode"], "takeProfit" in stop["retMsg"]) == (10001, True)
            nameless = over_socket("order.create", words, 3)
            del nameless["reqId"]
            assert "reqId" not in await ask(trading, nameless)
            again = {"op": "auth", "args": ["sim-key", 1, "x"]}
            assert (await ask(trading, again))["retCode"] == 20001
            assert (await told(socket, "order"))[0]["orderStatus"] == "New"
            simulation.venue.faults.arm(Fault.NO_PERMISSION)
            assert (await ask(trading, over_socket("order.create", words, 4)))["retCode"] == 10005

    run(test)


def test_every_query_checks_its_parameters() -> None:
    for path, known in QUERIES.items():
        statistics = Statistics()
        known.check(path, {"category": "linear", "nonsense": "1"}, statistics)
        assert f"{path} nonsense" in statistics.unknown_parameters
