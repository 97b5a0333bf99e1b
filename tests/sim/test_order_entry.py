"""Order entry over REST and WebSocket: batches, limits, several accounts, and every fault on command."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from tests.sim.harness import (
    KEY,
    ask,
    get,
    opened,
    over_socket,
    post,
    private_socket,
    run,
    signed,
    told,
    trade_socket,
    until,
)

from quietcore.sim.authentication import Credentials
from quietcore.sim.clock import Clock
from quietcore.sim.faults import Fault
from quietcore.sim.rate_limits import (
    ADDRESS_BAN_MS,
    AddressLimits,
    Quota,
    RateLimitedError,
    RateLimits,
    Rates,
)

COMMON = {"category": "linear", "symbol": "BTCUSDT"}
ORDER = {**COMMON, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000"}
LOW = {**ORDER, "price": "50000", "timeInForce": "PostOnly"}


def test_rates_roll_and_tell_when_there_is_room() -> None:
    now = [1000]
    limits = RateLimits(Rates(3, 0), Clock.of(lambda: now[0]))
    assert limits.charge("create", 2) == Quota(3, 1, 1000)
    now[0] = 1400
    assert limits.charge("create") == Quota(3, 0, 2000)
    assert limits.charge("cancel", 3) == Quota(3, 0, 2400)  # a bucket of its own
    with pytest.raises(RateLimitedError) as refused:
        limits.charge("create")
    assert (refused.value.code, refused.value.quota) == (10006, Quota(3, 0, 2000))
    now[0] = 2000
    assert limits.charge("create", 2) == Quota(3, 0, 2400)
    assert limits.charge("/v5/order/realtime") is None
    assert limits.refused == 1


def test_limits_do_not_last_longer_where_the_time_of_day_is_set_back() -> None:
    now, steady = [1_000_000], [0]
    limits = RateLimits(Rates(1, 0), Clock(lambda: now[0], lambda: steady[0]))
    limits.charge("create")
    now[0], steady[0] = now[0] - 600_000, 400
    with pytest.raises(RateLimitedError) as refused:
        limits.charge("create")
    assert refused.value.quota == Quota(1, 0, 400_600), "room in 600 ms, told by the clock as it now is"
    steady[0] = 1000
    limits.charge("create")


def test_an_address_that_asks_too_often_is_shut_out() -> None:
    now = [0]
    limits = AddressLimits(Clock.of(lambda: now[0]), limit=5)
    assert [limits.allows("a") for _ in range(6)] == [True] * 5 + [False]
    now[0] = ADDRESS_BAN_MS - 1
    assert (limits.allows("a"), limits.allows("b")) == (False, True)
    now[0] = ADDRESS_BAN_MS
    assert limits.allows("a")


def test_limits_over_http() -> None:
    async def test() -> None:
        async with opened(rates=Rates(2, 2), address_limit=8) as (_, session, _socket):
            headers, codes = [], []
            for _ in range(3):
                text = json.dumps(LOW)
                async with session.post("/v5/order/create", data=text, headers=signed(text)) as response:
                    headers.append(response.headers["X-Bapi-Limit-Status"])
                    codes.append((await response.json())["retCode"])
                    assert response.headers["X-Bapi-Limit"] == "2"
                    assert int(response.headers["X-Bapi-Limit-Reset-Timestamp"]) > 1_700_000_000_000
            assert (headers, codes) == (["1", "0", "0"], [0, 0, 10006])
            answers = [
                await get(session, "/v5/order/realtime", "category=linear&settleCoin=USDT") for _ in range(3)
            ]
            assert [answer["retCode"] for answer in answers] == [0, 0, 10006]
            async with session.get("/v5/market/time") as response:
                assert response.status == 200  # the eighth, with the private connection
            async with session.get("/v5/market/time") as response:
                assert response.status == 403

    run(test)


def test_batches_say_of_each_order_what_became_of_it() -> None:
    async def test() -> None:
        async with opened(rates=Rates(4, 0)) as (_, session, socket):
            entries = [{**LOW, "orderLinkId": "a"}, {**LOW, "orderLinkId": "a"}, {**LOW, "qty": "0"}]
            answer = await post(session, "/v5/order/create-batch", {"category": "linear", "request": entries})
            assert [one["code"] for one in answer["retExtInfo"]["list"]] == [0, 110072, 10001]
            assert [bool(one["orderId"]) for one in answer["result"]["list"]] == [True, False, False]
            assert (await told(socket, "order"))[0]["orderStatus"] == "New"
            refused = await post(
                session, "/v5/order/create-batch", {"category": "linear", "request": entries[:2]}
            )
            assert refused["retCode"] == 10006  # charged by order: 3 + 2 are more than 4
            change: dict[str, Any] = {
                "category": "linear",
                "request": [{**COMMON, "orderLinkId": "a", "qty": "0.02"}],
            }
            assert (await post(session, "/v5/order/amend-batch", change))["retExtInfo"]["list"][0][
                "code"
            ] == 0
            assert (await told(socket, "order"))[0]["qty"] == "0.02"
            change["request"][0].pop("qty")
            await post(session, "/v5/order/cancel-batch", change)
            assert (await told(socket, "order"))[0]["orderStatus"] == "Cancelled"
            for wrong in ([], [LOW] * 21, "x", [5]):
                body = {"category": "linear", "request": wrong}
                assert (await post(session, "/v5/order/create-batch", body))["retCode"] == 10001

    run(test)


def test_order_entry_over_websocket() -> None:
    async def test() -> None:
        async with opened(rates=Rates(2, 0)) as (_, session, socket):
            trading = await trade_socket(session)
            request = over_socket("order.create", {**LOW, "orderLinkId": "w"})
            answer = await ask(trading, request)
            assert (answer["retCode"], answer["data"]["orderLinkId"], answer["reqId"]) == (0, "w", "1")
            assert answer["header"]["X-Bapi-Limit-Status"] == "1"
            assert (await told(socket, "order"))[0]["orderStatus"] == "New"
            assert (await ask(trading, request))["retCode"] == 20006
            old = over_socket("order.create", LOW, 2)
            old["header"]["X-BAPI-TIMESTAMP"] = "1700000000000"
            assert (await ask(trading, old))["retCode"] == 10002
            assert (await ask(trading, over_socket("order.jump", LOW, 3)))["retCode"] == 10404
            cancel = over_socket("order.cancel", {**COMMON, "orderLinkId": "w"}, 4)
            assert (await ask(trading, cancel))["retCode"] == 0
            assert (await told(socket, "order"))[0]["orderStatus"] == "Cancelled"
            assert (await ask(trading, {"op": "ping"}))["op"] == "pong"
            stranger = await session.ws_connect("/v5/trade")
            assert (await ask(stranger, over_socket("order.create", LOW)))["retCode"] == 10403
            answer = await ask(stranger, {"op": "auth", "args": ["nobody", 1, "x"]})
            assert answer["retCode"] == 10003

    run(test)


def test_accounts_are_apart() -> None:
    async def test() -> None:
        keys = [Credentials(KEY, "sim-secret"), Credentials("other", "secret")]
        async with opened(credentials=keys) as (simulation, session, _):
            await post(session, "/v5/order/create", LOW)
            first, second = simulation.venue.accounts
            assert (len(first.exchange.orders), len(second.exchange.orders)) == (1, 0)
            state = simulation.venue.state()
            assert state["orders"]["open"] == 1
            assert [one["orders"]["open"] for one in state["accounts"].values()] == [1, 0]

    run(test)


def test_executions_history_and_balance() -> None:
    async def test() -> None:
        async with opened() as (_, session, socket):
            for number in range(3):
                body = {**COMMON, "side": "Buy", "orderType": "Market", "qty": "0.01"}
                await post(session, "/v5/order/create", {**body, "orderLinkId": f"m-{number}"})
                await told(socket, "execution")
            query = "category=linear&symbol=BTCUSDT&limit=2"
            page = (await get(session, "/v5/execution/list", query))["result"]
            assert [one["orderLinkId"] for one in page["list"]] == ["m-2", "m-1"]
            cursor = page["nextPageCursor"]
            rest = (await get(session, "/v5/execution/list", f"{query}&cursor={cursor}"))["result"]
            assert ([one["orderLinkId"] for one in rest["list"]], rest["nextPageCursor"]) == (["m-0"], "")
            assert (await get(session, "/v5/execution/list", "category=linear&limit=101"))["retCode"] == 10001
            done = (await get(session, "/v5/order/history", "category=linear&orderLinkId=m-1"))["result"]
            assert [one["orderStatus"] for one in done["list"]] == ["Filled"]
            wallet = await get(session, "/v5/account/wallet-balance", "accountType=UNIFIED")
            assert wallet["result"]["list"][0]["coin"][0]["coin"] == "USDT"

    run(test)


def test_cancel_at_disconnection() -> None:
    """Only connections that subscribe `dcp.future` count, and only the end of the last one of them."""

    async def test() -> None:
        path = "/v5/order/disconnected-cancel-all"
        async with opened(institutional=True) as (simulation, session, deaf):
            account = simulation.venue.accounts.first
            for words, code in (
                ({"product": "DERIVATIVES", "timeWindow": 2}, 10001),
                ({"timeWindow": 10}, 10001),  # the venue's default is options
                ({"product": "DERIVATIVES", "timeWindow": 3}, 0),
            ):
                assert (await post(session, path, words))["retCode"] == code, words
            one, other = [await private_socket(session, "dcp.future") for _ in range(2)]
            await post(session, "/v5/order/create", LOW)
            assert (await told(deaf, "order"))[0]["orderStatus"] == "New"
            account.disconnect_window = 0.05  # the venue's least is longer than a test should take
            for unguarded in (deaf, one):
                await unguarded.close()
                await asyncio.sleep(0.15)
                assert account.exchange.cancel_all()
            await other.close()
            await until(lambda: not account.exchange.cancel_all())
            order = next(iter(account.exchange.orders.values()))
            assert order.cancel_type == "CancelByDCP"
        async with opened() as (_, session, _socket):
            answer = await post(session, path, {"product": "DERIVATIVES", "timeWindow": 10})
            assert answer["retCode"] == 10005

    run(test)


def test_cancel_at_disconnection_is_off_when_a_guarded_connection_is_back() -> None:
    async def test() -> None:
        async with opened(institutional=True) as (simulation, session, _):
            account = simulation.venue.accounts.first
            account.disconnect_window = 60
            one = await private_socket(session, "dcp.future")
            await one.close()
            await until(lambda: account._cancelling is not None)
            await private_socket(session, "dcp.future")
            assert account._cancelling is None

    run(test)


# faults ----------------------------------------------------------------------------------------------------------


def test_time_out_after_acceptance() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(Fault.TIMEOUT)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await post(session, "/v5/order/create", {**LOW, "orderLinkId": "x"})
            assert (await told(socket, "order"))[0]["orderLinkId"] == "x"

    run(test)


@pytest.mark.parametrize(
    ("fault", "arrives"), [(Fault.LOST, False), (Fault.DISCONNECT, True), (Fault.RESTART, False)]
)
def test_connection_breaks(fault: Fault, arrives: bool) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(fault)
            with pytest.raises(aiohttp.ClientError):
                await post(session, "/v5/order/create", LOW)
            assert len(simulation.venue.accounts.first.exchange.orders) == arrives
            if fault is not Fault.LOST:
                while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass  # told before it broke
            if fault is Fault.RESTART:
                async with session.get("/v5/market/time") as response:
                    assert response.status == 503
            async with asyncio.timeout(5):
                while True:
                    async with session.get("/v5/market/time") as response:
                        if response.status == 200:
                            break
                    await asyncio.sleep(0.02)

    run(test)


def test_the_stream_is_faster_than_the_answer() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(Fault.FILL_FIRST)
            body = {**COMMON, "side": "Buy", "orderType": "Market", "qty": "0.01"}
            answering = asyncio.create_task(post(session, "/v5/order/create", body))
            await told(socket, "execution")
            assert not answering.done()
            assert (await answering)["retCode"] == 0

    run(test)


def test_fills_twice_told_and_crossing_a_cancel() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(Fault.DUPLICATE_FILL)
            simulation.venue.faults.arm(Fault.CANCEL_CROSSES)
            await post(session, "/v5/order/create", {**LOW, "orderLinkId": "x"})
            answer = await post(session, "/v5/order/cancel", {**COMMON, "orderLinkId": "x"})
            assert answer["retCode"] == 0
            first, second = await told(socket, "execution"), await told(socket, "execution")
            assert first == second
            assert (await told(socket, "order"))[0]["orderStatus"] == "Filled"

    run(test)


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.RATE_LIMIT, 10006), (Fault.CLOCK_SKEW, 10002), (Fault.WRONG_KEY, 10003)]
)
def test_refusals_on_command(fault: Fault, code: int) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            simulation.venue.faults.arm(fault, 1, KEY)
            simulation.venue.faults.arm(fault, 1, "another account")
            assert (await post(session, "/v5/order/create", LOW))["retCode"] == code
            assert (await post(session, "/v5/order/create", LOW))["retCode"] == 0

    run(test)


def test_post_only_refused_on_command() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(Fault.POST_ONLY)
            await post(session, "/v5/order/create", LOW)
            assert (await told(socket, "order"))[0]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"

    run(test)


def test_faults_and_restarts_by_command() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            async with session.post("/sim/faults", json={"fault": "timeout", "count": 3}) as response:
                assert (await response.json())["armed"] == {"timeout": 3}
            async with session.post("/sim/faults", json={"clear": True}) as response:
                assert (await response.json())["armed"] == {}
            for wrong in (
                *({"fault": "boredom"}, {"fault": 5}, {"surprise": 1}),
                *({"fault": "timeout", "count": 0}, {"fault": "timeout", "seconds": -1}),
                *({"fault": "timeout", "account": "nobody"}, {"fault": "forbidden", "account": KEY}),
            ):
                async with session.post("/sim/faults", json=wrong) as response:
                    assert response.status == 400
            for seconds, status in (("0.2", 200), ("-1", 400), ("x", 400)):
                async with session.post(f"/sim/restart?seconds={seconds}") as response:
                    assert response.status == status
            assert simulation.venue.away

    run(test)
