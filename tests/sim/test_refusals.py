"""Faults on command of the venue as a whole: refusals of key, clock, rate and address, mute streams, restarts."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from tests.sim.harness import (
    KEY,
    ask,
    get,
    opened,
    post,
    private_socket,
    run,
    signature,
    signed,
    simulator,
    told,
)

from quietcore.sim.clock import Clock
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.rate_limits import Rates
from quietcore.sim.source import generated

COMMON = {"category": "linear", "symbol": "BTCUSDT"}
LOW = {
    **COMMON,
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.01",
    "price": "60000",
    "timeInForce": "PostOnly",
}
SCOPE = "category=linear&symbol=BTCUSDT"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.CLOCK_SKEW, 10002),
        (Fault.WRONG_KEY, 10003),
        (Fault.BAD_SIGNATURE, 10004),
        (Fault.NO_PERMISSION, 10005),
        (Fault.WRONG_ADDRESS, 10010),
        (Fault.SERVER_ERROR, 10016),
        (Fault.EXPIRED_KEY, 33004),
        (Fault.QUERY_RATE, 10006),
        (Fault.ADDRESS_RATE, 10018),
    ],
)
def test_queries_are_refused_with_the_venues_code(fault: Fault, code: int) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            simulation.venue.faults.arm(fault)
            refused = await get(session, "/v5/order/realtime", SCOPE)
            assert (refused["retCode"], refused["result"]) == (code, {})
            assert refused["retMsg"]
            assert (await get(session, "/v5/order/realtime", SCOPE))["retCode"] == 0
            state = simulation.venue.state()
            assert state["requests"]["refusals"] == {str(code): 1}
            assert state["faults"]["happened"] == {fault.value: 1}

    run(test)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "retry"),
    [
        (Fault.FORBIDDEN, 403, "text/html", None),
        (Fault.BAD_GATEWAY, 502, "text/html", None),
        (Fault.TOO_MANY, 429, "application/json", "30"),
        (Fault.BANNED, 418, "application/json", "30"),
    ],
)
def test_everything_is_refused_for_a_time_before_the_service(
    fault: Fault, status: int, kind: str, retry: str | None
) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            wish = {"fault": fault.value, "seconds": 30}
            async with session.post("/sim/faults", json=wish) as response:
                assert list((await response.json())["until"]) == [fault.value]
            for path in ("/v5/market/time", f"/v5/market/instruments-info?{SCOPE}", "/fapi/v1/exchangeInfo"):
                async with session.get(path) as response:
                    assert (response.status, response.content_type) == (status, kind)
                    assert response.headers.get("Retry-After") == retry
                    assert ("<html>" in await response.text()) is (kind == "text/html")
            body = json.dumps(LOW)
            async with session.post("/v5/order/create", data=body, headers=signed(body)) as response:
                assert response.status == status
            early = simulation.venue.state()["requests"]["early"]
            assert early == ({fault.value: 3} if retry else {})  # all but the first were told to wait
            async with session.post("/sim/faults", json={"clear": True}) as response:
                assert (await response.json())["until"] == {}
            async with session.get("/v5/market/time") as response:
                assert response.status == 200

    run(test)


def test_a_reset_is_told_and_who_comes_before_it_is_counted() -> None:
    async def test() -> None:
        async with opened(rates=Rates(1, 0)) as (simulation, session, _):
            codes, resets = [], []
            for _ in range(3):
                body = json.dumps(LOW)
                async with session.post("/v5/order/create", data=body, headers=signed(body)) as response:
                    codes.append((await response.json())["retCode"])
                    resets.append(int(response.headers["X-Bapi-Limit-Reset-Timestamp"]))
            assert codes == [0, 10006, 10006]
            assert 0 < resets[1] - time.time() * 1000 < 1000
            assert simulation.venue.state()["requests"]["early"] == {"10006 create": 1}
            simulation.venue.faults.arm(Fault.RATE_LIMIT, 2)
            for _ in range(2):
                body = json.dumps({**COMMON, "orderLinkId": "x"})
                async with session.post("/v5/order/cancel", data=body, headers=signed(body)) as response:
                    assert (await response.json())["retCode"] == 10006
            assert simulation.venue.state()["requests"]["early"]["10006 cancel"] == 1
            simulation.venue.faults.arm(Fault.ADDRESS_RATE, seconds=20)
            async with session.get("/v5/market/time") as response:
                left = int(response.headers["X-Bapi-Limit-Reset-Timestamp"]) - time.time() * 1000
                assert 18_000 < left <= 20_000

    run(test)


def test_faults_for_a_time_end_with_it_and_those_of_an_account_are_its_own() -> None:
    now = [0]
    faults = Faults(Clock.of(lambda: now[0]))
    faults.arm(Fault.CLOCK_SKEW, account="a", seconds=2)
    assert [faults.strikes(Fault.CLOCK_SKEW, one) for one in ("a", "b", "a")] == [True, False, True]
    assert (faults.left_ms(Fault.CLOCK_SKEW, "a"), faults.left_ms(Fault.CLOCK_SKEW, "b")) == (2000, 0)
    now[0] = 2000
    assert not faults.strikes(Fault.CLOCK_SKEW, "a")
    assert faults.state() == {"armed": {}, "until": {}, "happened": {"clock-skew": 2}}


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.HANDSHAKE_403, 403), (Fault.HANDSHAKE_429, 429), (Fault.HANDSHAKE_451, 451)],
)
def test_handshakes_are_declined(fault: Fault, status: int) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            simulation.venue.faults.arm(fault)
            headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
            async with session.get("/v5/private", headers=headers) as response:
                assert (response.status, response.content_type) == (status, "text/html")
            await (await session.ws_connect("/v5/private")).close()

    run(test)


@pytest.mark.parametrize("fault", [Fault.WRONG_KEY, Fault.NO_PERMISSION, Fault.EXPIRED_KEY])
def test_authentication_of_streams_is_refused_too(fault: Fault) -> None:
    async def test() -> None:
        async with opened() as (simulation, session, _):
            for path in ("/v5/private", "/v5/trade"):
                simulation.venue.faults.arm(fault)
                expires = time.time_ns() // 1_000_000 + 10_000
                arguments = [KEY, expires, signature(f"GET/realtime{expires}")]
                async with session.ws_connect(path) as socket:
                    answer = await ask(socket, {"op": "auth", "args": arguments})
                    assert answer.get("success") is False or answer["retCode"] > 0
                    again = await ask(socket, {"op": "auth", "args": arguments})
                    assert again.get("success") or again["retCode"] == 0

    run(test)


def test_a_mute_stream_stays_open_and_another_connection_hears() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, deaf):
            simulation.venue.faults.arm(Fault.MUTE)
            await post(session, "/v5/order/create", {**LOW, "orderLinkId": "unheard"})
            await deaf.send_json({"op": "ping"})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await deaf.receive()
            assert not deaf.closed
            hears = await private_socket(session, "order")
            await post(session, "/v5/order/create", {**LOW, "orderLinkId": "heard"})
            assert (await told(hears, "order"))[0]["orderLinkId"] == "heard"

    run(test)


def test_statuses_that_come_late_or_that_nobody_knows() -> None:
    async def test() -> None:
        async with opened() as (simulation, session, socket):
            simulation.venue.faults.arm(Fault.REJECT_LATER)
            assert (await post(session, "/v5/order/create", LOW))["retCode"] == 0
            row = (await told(socket, "order"))[0]
            assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_Others")
            await post(session, "/v5/order/create", LOW)
            simulation.venue.faults.arm(Fault.ODD_STATUS)
            rows = (await get(session, "/v5/order/realtime", SCOPE))["result"]["list"]
            assert [one["orderStatus"] for one in rows] == ["Suspended"]
            rows = (await get(session, "/v5/order/realtime", SCOPE))["result"]["list"]
            assert [one["orderStatus"] for one in rows] == ["New"]

    run(test)


@pytest.mark.parametrize("empty", [False, True])
def test_restarts_leave_open_orders_or_nothing(empty: bool) -> None:
    async def test() -> None:
        async with opened() as (_, session, _socket):
            await post(session, "/v5/order/create", {**LOW, "orderLinkId": "open"})
            market = {**COMMON, "side": "Buy", "orderType": "Market", "qty": "0.01", "orderLinkId": "done"}
            await post(session, "/v5/order/create", market)
            async with session.post(f"/sim/restart?seconds=0&empty={str(empty).lower()}") as response:
                assert (await response.json())["empty"] is empty

            async def ids(path: str, **more: str) -> list[str]:
                query = "&".join([SCOPE, *(f"{name}={value}" for name, value in more.items())])
                return [row["orderLinkId"] for row in (await get(session, path, query))["result"]["list"]]

            assert await ids("/v5/order/realtime") == ([] if empty else ["open"])
            assert await ids("/v5/order/realtime", openOnly="1") == []
            assert await ids("/v5/order/history") == ([] if empty else ["done"])
            async with session.post("/sim/restart?empty=perhaps") as response:
                assert response.status == 400

    run(test)


def test_a_get_with_a_body_is_refused_by_the_venues_front() -> None:
    async def test() -> None:
        async with (
            opened() as (_, session, _socket),
            session.get("/v5/market/time", data="{}") as response,
        ):
            assert (response.status, response.content_type) == (403, "text/html")

    run(test)


def test_errors_of_a_binance_stream() -> None:
    async def test() -> None:
        async with (
            simulator(generated(5, 1, 50, 1)) as (simulation, session),
            session.ws_connect("/stream") as socket,
        ):
            simulation.venue.faults.arm(Fault.STREAM_ERROR)
            request: dict[str, Any] = {"method": "SUBSCRIBE", "params": ["btcusdt@depth"], "id": 1}
            assert (await ask(socket, request))["error"]["code"] == 2
            assert (await ask(socket, request))["result"] is None

    run(test)
