"""What an account has, read through every shape of answer that a venue gives: pages, kinds, modes, coins, places."""

from __future__ import annotations

import itertools
import json
import urllib.parse
from decimal import Decimal
from typing import Any

import pytest
from tests.runtime.scripted_rest import CREDENTIALS, Answer, Asked, ScriptedRest, good, listed, refused, run

from quietcore.venues.bybit import BybitHTTPClient, account, pages, private
from quietcore.venues.bybit.account import BybitAccount
from quietcore.venues.bybit.rest import BybitRest
from quietcore.venues.interface import (
    Endpoints,
    Fate,
    Fill,
    NotUnderstood,
    OrderUpdate,
    Position,
    RefusedError,
    UncertainError,
)

NOW_MS = 1_760_000_000_000
CURSORS = (
    "132766%3A2%2C132766%3A2",
    "BTCUSDT%2C1719444330678%2C0",
    "page_args%3Dfd4300ae-7847-404e%26symbol%3D6%26",
    "page_token%3D39380%26",
    "a+b/c==",
    "a b&c#d%zz",
    "币安",
    "%",
)


class Desk:
    """An account over a scripted server."""

    def __init__(self, server: ScriptedRest, now_ms: int = NOW_MS) -> None:
        self.rest = BybitRest(Endpoints(server.url, ""), CREDENTIALS)
        self.account = BybitAccount(self.rest, "linear", lambda: now_ms)

    async def __aenter__(self) -> BybitAccount:
        return self.account

    async def __aexit__(self, *_: object) -> None:
        await self.rest.close()


def query_of(asked: Asked) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(asked.payload, keep_blank_values=True))


def order_row(link: str, status: str = "New", **more: Any) -> dict[str, Any]:
    return {
        **{"orderId": f"id-{link}", "orderLinkId": link, "symbol": "BTCUSDT", "orderStatus": status},
        **{"cumExecQty": "0", "rejectReason": "EC_NoError", **more},
    }


def execution_row(number: int, **more: Any) -> dict[str, Any]:
    return {
        **{
            "orderId": "x",
            "orderLinkId": "",
            "execId": f"e{number}",
            "execQty": "0.4",
            "execPrice": "1000.5",
        },
        **{"execType": "Trade", "symbol": "BTCUSDT", "side": "Sell", "execFee": "0.1", **more},
    }


# every query as it was signed


@pytest.mark.parametrize("cursor", CURSORS)
def test_the_next_page_is_asked_for_byte_for_byte_as_it_was_signed(cursor: str) -> None:
    """Cursors come percent-encoded, also on a list of one row; a client that decodes them breaks the signature."""

    def script(asked: Asked) -> Answer:
        if "cursor=" in asked.payload:
            return listed(execution_row(2))
        return listed(execution_row(1), cursor=cursor)

    async def work() -> None:
        async with ScriptedRest(script) as server, Desk(server) as desk:
            found = await desk.executions("BTCUSDT", NOW_MS)
            assert [one.execution_id for one in found if isinstance(one, Fill)] == ["e2", "e1"]
            assert server.bad_signatures == []
            sent = server.asked[1].payload.partition("cursor=")[2]
            assert urllib.parse.unquote(sent) == urllib.parse.unquote(cursor)
            if "%" in cursor and cursor.isascii() and "&" not in cursor and len(cursor) > 1:
                assert sent == cursor, "a cursor that is encoded already goes back as it came"

    run(work())


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "币安人生USDT", "A&B=C", "A+B C", "a%2Fb", "#/?:@,;'\"<>", "~.-_"]
)
def test_every_character_of_a_parameter_reaches_the_venue(symbol: str) -> None:
    async def work() -> None:
        async with ScriptedRest() as server, Desk(server) as desk:
            assert await desk.open_orders(symbol) == []
            assert await desk.position(symbol) == Position(Decimal(0), Decimal(0))
            assert await desk.find(symbol, "q-1") is None
            await desk.cancel_all(symbol)
            assert server.bad_signatures == []
            for asked in server.asked:
                words = json.loads(asked.payload) if asked.method == "POST" else query_of(asked)
                assert words["symbol"] == symbol

    run(work())


def test_a_signed_request_follows_no_redirect() -> None:
    """Elsewhere the key would be shown to somebody else, and a 307 would make an order be sent twice."""

    async def work() -> None:
        async with ScriptedRest() as other:
            script = lambda asked: (307, "moved", {"Location": f"{other.url}{asked.path}"})  # noqa: E731
            async with ScriptedRest(script) as server:
                rest = BybitRest(Endpoints(server.url, ""), CREDENTIALS)
                with pytest.raises(RefusedError, match="HTTP 307") as raised:
                    await rest.post("/v5/order/create", {"orderLinkId": "one"})
                assert "correct venue.rest" in raised.value.trouble.line()
                with pytest.raises(RefusedError, match="HTTP 307"):
                    await rest.get("/v5/order/realtime", {})
                await rest.close()
                assert other.asked == []
                assert len(server.asked) == 2

    run(work())


# pages


def test_pages_end_and_never_pass_a_part_for_the_whole() -> None:
    answers: list[Any] = []

    async def fetch(query: dict[str, str]) -> Any:
        return answers.pop(0)

    def page(rows: list[Any], cursor: Any = "") -> dict[str, Any]:
        return {"list": rows, "nextPageCursor": cursor}

    async def read(*pages_: Any) -> list[Any]:
        answers[:] = pages_
        return await pages.all_rows(fetch, "/list", {}, pages.ORDER_KEY)

    one, two, three = ({"orderId": name} for name in "123")

    async def work() -> None:
        assert await read(page([one], None)) == [one]
        assert await read({"list": [one]}) == [one]
        # a cursor on the last page: one more question, with nothing new in its answer
        assert await read(page([one], "x"), page([], "x")) == [one]
        assert await read(page([one], "x"), page([one], "x")) == [one]
        assert await read(page([one, two], "x"), page([two, three])) == [one, two, three]
        newer = {"orderId": "2", "orderStatus": "Filled"}
        assert await read(page([one, two], "x"), page([newer])) == [one, newer], "as it was read last"
        for damaged, words in (
            ((page([one], "x"), page([two], "y"), page([three], "x")), "repeats a page"),
            ((None,), "without a list"),
            ((page([one], "x"), {}), "without a list"),
            (({"list": {}},), "without a list"),
            ((page([one], 7),), "cursor that is no text"),
            (tuple(page([{"orderId": f"{i}"}], f"{i}") for i in range(200)), "more than 100 pages"),
        ):
            with pytest.raises(UncertainError, match=words):
                await read(*damaged)

    run(work())


def test_programs_get_every_page_too() -> None:
    def script(asked: Asked) -> Answer:
        last = "cursor=" in asked.payload
        if asked.path == "/v5/order/realtime":
            return listed(order_row("b")) if last else listed(order_row("a"), cursor="p%3D1%26")
        if asked.path == "/v5/account/wallet-balance":
            coin = {"coin": "USDT", "equity": "-1.5", "walletBalance": ""}
            return good({"list": [{"accountType": "UNIFIED", "coin": [coin]}]})
        return good({})

    async def work() -> None:
        async with ScriptedRest(script) as server, BybitHTTPClient(server.url, CREDENTIALS) as http:
            assert [row["orderLinkId"] for row in await http.open_orders(symbol="BTCUSDT")] == ["a", "b"]
            assert server.bad_signatures == []
            assert await http.wallet() == [("USDT", Decimal("-1.5"), Decimal(0))]
            for broken in (http.positions(symbol="X"), http.executions(symbol="X"), http.instruments()):
                with pytest.raises(UncertainError, match="without a list"):
                    await broken
            with pytest.raises(UncertainError, match="without a time"):
                await http.server_time_ns()

    run(work())


# orders in every place that has them


def test_an_order_is_found_in_the_live_list_the_history_or_its_executions() -> None:
    """A restart of the venue empties the live list: what ended before it stands in the history alone."""
    places: dict[str, list[Any]] = {}

    def script(asked: Asked) -> Answer:
        return listed(*places.get(asked.path, []))

    async def work() -> None:
        async with ScriptedRest(script) as server, Desk(server) as desk:
            assert await desk.find("BTCUSDT", "mine") is None
            assert [one.path for one in server.asked] == [
                account.REALTIME,
                account.HISTORY,
                account.EXECUTIONS,
            ]
            places[account.EXECUTIONS] = [
                execution_row(1, orderLinkId="mine", orderQty="1"),
                execution_row(2, orderLinkId="another", orderQty="1"),
            ]
            assert await desk.find("BTCUSDT", "mine") == OrderUpdate(
                "mine", "x", Fate.PARTIALLY_FILLED, Decimal("0.4"), listed=False
            )
            places[account.EXECUTIONS].append(execution_row(3, orderLinkId="mine", execQty="0.6"))
            whole = await desk.find("BTCUSDT", "mine")
            assert whole is not None
            assert (whole.fate, whole.filled) == (Fate.FILLED, Decimal(1))
            places[account.HISTORY] = [order_row("mine", "Cancelled", cumExecQty="0.4")]
            ended = await desk.find("BTCUSDT", "mine")
            assert ended == OrderUpdate("mine", "id-mine", Fate.CANCELLED, Decimal("0.4"))
            places[account.REALTIME] = [order_row("another", "Filled"), order_row("mine")]
            live = await desk.find("BTCUSDT", "mine")
            assert live is not None
            assert live.fate is Fate.OPEN

    run(work())


def test_programs_find_an_order_in_the_history_too() -> None:
    def script(asked: Asked) -> Answer:
        return listed(order_row("mine", "Filled")) if asked.path == account.HISTORY else listed()

    async def work() -> None:
        async with ScriptedRest(script) as server, BybitHTTPClient(server.url, CREDENTIALS) as http:
            found = await http.open_orders(symbol="BTCUSDT", orderLinkId="mine")
            assert [row["orderStatus"] for row in found] == ["Filled"]
            assert await http.open_orders(symbol="BTCUSDT") == []

    run(work())


@pytest.mark.parametrize("status", ["Dreaming", "PendingCancel", "", None, 5])
def test_an_unknown_order_status_is_told_by_name(status: Any) -> None:
    async def work() -> None:
        script = lambda asked: listed(order_row("mine", status))  # noqa: E731
        async with ScriptedRest(script) as server, Desk(server) as desk:
            for question in (desk.find("BTCUSDT", "mine"), desk.open_orders("BTCUSDT")):
                with pytest.raises(UncertainError, match=f"orderStatus {status!r}"):
                    await question

    run(work())


# kinds of executions


MOVING = ("AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition", "FutureSpread")


@pytest.mark.parametrize("kind", MOVING)
def test_every_kind_of_execution_that_moves_a_position_is_taken(kind: str) -> None:
    row = execution_row(1, execType=kind)
    fill = private.fill(row)
    assert fill == Fill(
        *("", "x", "e1", Decimal("0.4"), Decimal("1000.5"), "BTCUSDT", False, Decimal("0.1")), kind=kind
    )
    message = json.dumps({"topic": "execution.linear", "data": [row]})
    assert private.parse(message) == ([fill], 0)

    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(row)) as server, Desk(server) as desk:
            assert await desk.executions("BTCUSDT", NOW_MS) == [fill]

    run(work())


def test_funding_moves_nothing_and_an_unknown_kind_is_named_beside_the_others() -> None:
    rows = [
        execution_row(1, execType="Funding"),
        execution_row(2, execType="ForwardSplitSettle"),
        execution_row(3),
        execution_row(4, symbol="ETHUSDT", execType="Dividend"),
    ]

    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(*rows)) as server, Desk(server) as desk:
            trade, unknown = await desk.executions("BTCUSDT", NOW_MS)
            assert isinstance(trade, Fill)
            assert unknown == NotUnderstood("execType 'ForwardSplitSettle'")

    run(work())
    events, skipped = private.parse(json.dumps({"topic": "execution", "data": rows}))
    assert [type(event) for event in events] == [NotUnderstood, Fill, NotUnderstood]
    assert skipped == 2


def test_executions_of_more_than_a_week_are_asked_for_week_by_week() -> None:
    """Without an end the venue's range ends seven days after its start, not now."""
    week = 7 * 86_400_000

    def script(asked: Asked) -> Answer:
        words = query_of(asked)
        start, end = int(words["startTime"]), int(words["endTime"])
        assert end - start <= week
        return listed(execution_row(start // week), execution_row(-1))

    async def work() -> None:
        async with ScriptedRest(script) as server, Desk(server) as desk:
            since = NOW_MS - 2 * week - 1
            found = await desk.executions("BTCUSDT", since)
            ranges = [
                (int(query_of(one)["startTime"]), int(query_of(one)["endTime"])) for one in server.asked
            ]
            assert ranges[0][0] == since
            assert ranges[-1][1] > NOW_MS
            assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
            assert len(found) == len(ranges) + 1, "what stands in two ranges counts once"

    run(work())


# positions


def position_row(side: str, size: str, mode: Any = 0, **more: Any) -> dict[str, Any]:
    return {
        **{"symbol": "BTCUSDT", "side": side, "size": size, "avgPrice": "1000", "positionIdx": mode},
        **more,
    }


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("sizes", [("1", "0.4"), ("0", "0.4"), ("0", "0")])
def test_hedge_mode_is_named_whatever_the_order_of_the_rows(order: int, sizes: tuple[str, str]) -> None:
    sides = [("Buy" if float(sizes[0]) else ""), ("Sell" if float(sizes[1]) else "")]
    rows = [position_row(sides[0], sizes[0], 1), position_row(sides[1], sizes[1], 2)][::order]

    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(*rows)) as server, Desk(server) as desk:
            with pytest.raises(UncertainError, match="hedge mode") as raised:
                await desk.position("BTCUSDT")
            assert "one-way" in raised.value.trouble.remedy

    run(work())


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], "0"),
        ([position_row("", "0")], "0"),
        ([position_row("None", "")], "0"),
        ([position_row("Buy", "0.4")], "0.4"),
        ([position_row("Sell", "0.4", "0")], "-0.4"),
        ([position_row("Sell", "4e-1")], "-0.4"),
        ([position_row("Buy", "9", symbol="ETHUSDT"), position_row("Sell", "0.4")], "-0.4"),
        ([position_row("Sell", "0.4"), position_row("Buy", "9", symbol="ETHUSDT")], "-0.4"),
    ],
)
def test_a_position_does_not_depend_on_other_rows(rows: list[Any], found: str) -> None:
    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(*rows)) as server, Desk(server) as desk:
            assert (await desk.position("BTCUSDT")).quantity == Decimal(found)

    run(work())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (position_row("Long", "0.4"), "side 'Long'"),
        (position_row("", "0.4"), "side ''"),
        (position_row("Buy", "-0.4"), "size '-0.4'"),
        (position_row("Buy", "NaN"), "size 'NaN'"),
        (position_row("Buy", "1e99"), "size '1e99'"),
        (position_row("Buy", "0.4", 3), "positionIdx 3"),
        (position_row("Buy", "0.4", symbol=None), "symbol None"),
        (None, "position None"),
    ],
)
def test_a_position_that_cannot_be_read_is_no_position(row: Any, words: str) -> None:
    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(row)) as server, Desk(server) as desk:
            with pytest.raises(UncertainError, match=words):
                await desk.position("BTCUSDT")

    run(work())


def test_two_rows_that_differ_are_no_position() -> None:
    rows = [position_row("Buy", "0.4"), position_row("Buy", "0.5", "0")]

    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(*rows)) as server, Desk(server) as desk:
            with pytest.raises(UncertainError, match="2 different positions"):
                await desk.position("BTCUSDT")

    run(work())


# every settle coin


class Contracts:
    """Open orders of contracts that settle in several coins, as the venue keeps them: no symbol, no coin, no answer."""

    def __init__(self, *coins: str) -> None:
        self.listed = list(coins)
        self.open = {coin: [order_row(f"in-{coin}")] for coin in coins}
        self.broken: set[str] = set()

    def __call__(self, asked: Asked) -> Answer:
        words = json.loads(asked.payload) if asked.method == "POST" else query_of(asked)
        if asked.path == account.INSTRUMENTS:
            rows = [{"symbol": f"BTC{coin}", "settleCoin": coin} for coin in self.listed]
            return listed(*rows)
        coin = words.get("settleCoin", "")
        if coin in self.broken:
            return 502, "bad gateway", {}
        if coin not in self.open:
            return refused(10001, "params error: settleCoin invalid")
        if asked.path == account.CANCEL_ALL:
            self.open[coin] = []
            return good({"list": [], "success": "1"})
        return listed(*self.open[coin])


def test_cancel_all_covers_every_coin_that_contracts_settle_in() -> None:
    async def work() -> None:
        venue = Contracts("USDT", "USDC", "USDE")
        async with ScriptedRest(venue) as server, Desk(server) as desk:
            found = {update.client_id for update in await desk.open_orders("")}
            assert found == {"in-USDT", "in-USDC", "in-USDE"}
            await desk.cancel_all("")
            assert await desk.open_orders("") == []
            assert not any(venue.open.values())
            swept = [json.loads(one.payload)["settleCoin"] for one in server.of(account.CANCEL_ALL)]
            assert sorted(swept) == ["USDC", "USDE", "USDT"]
            assert len(server.of(account.INSTRUMENTS)) == 1, "the listing is read once an hour"

    run(work())


def test_a_sweep_does_not_wait_for_the_listing_and_goes_on_where_one_coin_fails() -> None:
    async def work() -> None:
        venue = Contracts("USDT", "USDC", "USDE")
        venue.broken = {"USDC"}
        async with ScriptedRest(venue) as server, Desk(server) as desk:
            with pytest.raises(UncertainError, match="HTTP 502"):
                await desk.cancel_all("")
            assert (venue.open["USDT"], venue.open["USDE"]) == ([], [])
            assert [one.path for one in server.asked].index(account.INSTRUMENTS) == 2
            with pytest.raises(UncertainError, match="HTTP 502"):
                await desk.open_orders("")

    run(work())


def test_a_coin_that_the_venue_does_not_list_is_no_failure() -> None:
    async def work() -> None:
        venue = Contracts("USDT")
        async with ScriptedRest(venue) as server, Desk(server) as desk:
            await desk.cancel_all("")
            assert await desk.open_orders("") == []
            venue.listed = []
        async with ScriptedRest(venue) as server, Desk(server) as desk:
            # Nobody knows then whether orders in that coin can be open.
            with pytest.raises(UncertainError, match="10001"):
                await desk.open_orders("")

    run(work())


def test_a_category_whose_coins_nobody_knows_is_not_swept_silently() -> None:
    async def work() -> None:
        async with ScriptedRest() as server:
            rest = BybitRest(Endpoints(server.url, ""), CREDENTIALS)
            inverse = BybitAccount(rest, "inverse", lambda: NOW_MS)
            for question in (inverse.cancel_all(""), inverse.open_orders("")):
                with pytest.raises(UncertainError, match="nobody knows in which coins inverse settles"):
                    await question
            await rest.close()

    run(work())


def test_a_clock_that_was_set_back_still_asks_for_executions() -> None:
    async def work() -> None:
        async with ScriptedRest(lambda asked: listed(execution_row(1))) as server, Desk(server) as desk:
            assert len(await desk.executions("BTCUSDT", NOW_MS + 86_400_000)) == 1

    run(work())


def test_cancel_all_that_reports_a_failure_is_one() -> None:
    async def work() -> None:
        script = lambda asked: good({"list": [], "success": "0"})  # noqa: E731
        async with ScriptedRest(script) as server, Desk(server) as desk:
            with pytest.raises(UncertainError, match="has failed"):
                await desk.cancel_all("BTCUSDT")

    run(work())
