"""The simulator as a Bybit v5 client sees it: streams, order entry, private topics."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.pipeline import derived
from tests.pipeline.reference_book import Reference
from tests.sim.harness import ask, get, post, private_socket, run, signed, simulator, subscribe, until

from quietcore.sim.pacing import Pacer
from quietcore.sim.replay import Phase
from quietcore.sim.source import generated

BOOK = "orderbook.50.BTCUSDT"


async def texts(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[str]:
    while True:
        yield str((await socket.receive()).data)


@pytest.mark.parametrize("packed", [False, True])
def test_every_frame_once_in_order_byte_for_byte(tmp_path: Path, packed: bool) -> None:
    lines = derived.bybit(1, 3000)
    recording = derived.save(derived.with_times(lines) if packed else lines, tmp_path / f"r{'.gz' * packed}")

    async def test() -> None:
        async with (
            simulator(recording, restamp=False) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            await subscribe(socket, *simulation.venue.source.topics)
            got = [text async for text, _ in _zip(texts(socket), range(len(lines)))]
            assert got == lines
            await simulation.replay
            state = simulation.venue.state()
            assert (state["phase"], state["frames"], state["delivered"]) == ("finished", 3000, 3000)

    run(test)


async def _zip(items: AsyncIterator[str], numbers: range) -> AsyncIterator[tuple[str, int]]:
    for number in numbers:
        yield await anext(items), number


def test_restamping_changes_times_only(tmp_path: Path) -> None:
    lines = derived.bybit(2, 200)
    recording = derived.save(lines, tmp_path / "r")

    async def test() -> None:
        async with (
            simulator(recording) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            before = time.time_ns() // 1_000_000
            await subscribe(socket, *simulation.venue.source.topics)
            for line in lines:
                sent = str((await socket.receive()).data)
                then, now = json.loads(line), json.loads(sent)
                assert before <= now["ts"] <= time.time_ns() // 1_000_000
                assert len(sent) == len(line)
                if "cts" in then:
                    assert now.pop("ts") - now.pop("cts") == then.pop("ts") - then.pop("cts")
                    assert now == then

    run(test)


def test_two_clients_each_get_everything_though_one_is_slow(tmp_path: Path) -> None:
    lines = derived.bybit(3, 2000, depth=200)
    recording = derived.save(lines, tmp_path / "r")
    passes = 20  # more than all buffers on the way hold

    async def test() -> None:
        async with (
            simulator(recording, restamp=False, loops=passes) as (simulation, session),
            session.ws_connect("/v5/public/linear") as quick,
            session.ws_connect("/v5/public/linear") as slow,
        ):
            topics = simulation.venue.source.topics
            await subscribe(slow, *topics[1:])
            await subscribe(quick, *topics)
            expected = [line for line in lines if f'"{topics[0]}"' not in line] * passes
            reading = asyncio.create_task(_all(quick, len(lines) * passes))
            # The slow one reads nothing: the replay must stand still, not lose.
            await until(lambda: any(one.sending_since for one in simulation.venue.hub.clients))
            held = simulation.venue.replay.frames
            await asyncio.sleep(0.2)
            assert simulation.venue.replay.frames == held < len(lines) * passes
            assert await _all(slow, len(expected)) == expected
            assert await reading == lines * passes

    run(test, limit=60)


async def _all(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    return [str((await socket.receive()).data) for _ in range(count)]


def test_client_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    lines = derived.bybit(3, 2000, depth=200)
    recording = derived.save(lines, tmp_path / "r")
    passes = 20

    async def test() -> None:
        async with (
            simulator(recording, restamp=False, hold=True, stall_limit=0.2, loops=passes) as (sim, session),
            session.ws_connect("/v5/public/linear") as quick,
            session.ws_connect("/v5/public/linear") as dead,
        ):
            topics = sim.venue.source.topics
            await subscribe(quick, *topics)
            await subscribe(dead, *topics)
            sim.venue.replay.start()
            assert await _all(quick, len(lines) * passes) == lines * passes
            assert len(sim.venue.hub.clients) == 1

    run(test)


def test_late_and_returning_clients_get_the_current_book_first(tmp_path: Path) -> None:
    source = generated(5, 2, 50, None)

    async def book_of(socket: aiohttp.ClientWebSocketResponse, name: str, count: int) -> None:
        """Judge what a client got: a snapshot, then deltas without a gap, a book that holds."""
        rows = [str((await socket.receive()).data) for _ in range(count)]
        path = derived.save(rows, tmp_path / name)
        result = Reference("bybit-linear").run(path)
        assert json.loads(rows[0])["type"] == "snapshot"
        assert (result["snapshots"], result["gaps"], result["ok"]) == (1, 0, True)
        assert (result["levels_min"], result["levels_max"]) == (50, 50)

    async def test() -> None:
        async with (
            simulator(source, pacer=Pacer(rate=4000)) as (simulation, session),
            session.ws_connect("/v5/public/linear") as first,
            session.ws_connect("/v5/public/linear") as late,
        ):
            await subscribe(first, *source.topics)
            await until(lambda: simulation.venue.replay.frames > 300)
            await subscribe(late, BOOK)
            await book_of(late, "late", 200)
            # Again on the same connection, as a client does after it found a gap.
            await late.send_json({"op": "unsubscribe", "args": [BOOK]})
            while '"op":"unsubscribe"' not in str((await late.receive()).data):
                pass
            await subscribe(late, BOOK)
            await book_of(late, "again", 200)

    run(test)


def test_requests_are_answered_as_the_venue_does(tmp_path: Path) -> None:
    source = generated(5, 2, 50, None)

    async def test() -> None:
        async with (
            simulator(source, hold=True) as (_, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            answer = await ask(socket, {"req_id": "7", "op": "ping"})
            assert (answer["op"], answer["ret_msg"], answer["req_id"]) == ("ping", "pong", "7")
            for topic in ("orderbook.50.NOPEUSDT", "orderbook.500.BTCUSDT", "nonsense"):
                answer = await ask(socket, {"op": "subscribe", "args": [topic]})
                assert not answer["success"]
                assert answer["ret_msg"] == f"error:handler not found,topic:{topic}"
            assert (await ask(socket, {"op": "subscribe", "args": ["tickers.BTCUSDT", BOOK]}))["success"]
            assert "already subscribed" in (await ask(socket, {"op": "subscribe", "args": [BOOK]}))["ret_msg"]
            for wrong in ({"op": "subscribe"}, {"op": "subscribe", "args": [7]}, {"op": "jump"}):
                assert not (await ask(socket, wrong))["success"]
            await socket.send_str("{not json")
            assert not (await socket.receive_json())["success"]
            await socket.ping(b"payload")
            many = [f"kline.{number}.BTCUSDT" for number in range(2000)]
            assert "21000 characters" in (await ask(socket, {"op": "subscribe", "args": many}))["ret_msg"]

    run(test)


def test_replay_begins_when_some_topics_are_never_subscribed() -> None:
    source = generated(5, 2, 50, 500)

    async def test() -> None:
        async with (
            simulator(source) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            await subscribe(socket, BOOK)
            assert simulation.venue.replay.phase is Phase.WAITING
            await socket.receive()
            await simulation.replay
            state = simulation.venue.state()
            assert state["delivered"] + state["unsubscribed"] == state["frames"] == 500

    run(test)


def test_loops_play_again(tmp_path: Path) -> None:
    lines = derived.bybit(3, 300, symbols=1)

    async def test() -> None:
        async with (
            simulator(derived.save(lines, tmp_path / "r"), restamp=False, loops=3) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            await subscribe(socket, *simulation.venue.source.topics)
            assert await _all(socket, 900) == lines * 3

    run(test)


def test_public_rest() -> None:
    source = generated(5, 7, 50, None)

    async def test() -> None:
        async with simulator(source, hold=True) as (_, session):
            async with session.get("/v5/market/time") as response:
                answer = await response.json()
            assert abs(int(answer["result"]["timeNano"]) - time.time_ns()) < 5_000_000_000
            names, cursor = [], ""
            while True:
                path = f"/v5/market/instruments-info?category=linear&limit=3&cursor={cursor}"
                async with session.get(path) as response:
                    result = (await response.json())["result"]
                names += [one["symbol"] for one in result["list"]]
                if not (cursor := result["nextPageCursor"]):
                    break
            assert names == list(source.instruments)
            for query in (
                "",
                "category=spot",
                "category=linear&limit=0",
                "category=linear&cursor=x",
                "category=linear&symbol=N",
            ):
                async with session.get(f"/v5/market/instruments-info?{query}") as response:
                    assert (await response.json())["retCode"] == 10001

    run(test)


def order(side: str, qty: str, **more: Any) -> dict[str, Any]:
    request = {"category": "linear", "symbol": "BTCUSDT", "side": side, "qty": qty, "orderType": "Market"}
    return {**request, **more}


def test_orders_from_acknowledgement_to_position() -> None:
    async def test() -> None:
        async with (
            simulator(generated(5, 1, 50, 2), restamp=True) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            private = await private_socket(session, "order", "execution", "position")
            await subscribe(socket, BOOK, "publicTrade.BTCUSDT")
            await simulation.replay
            answer = await post(session, "/v5/order/create", order("Buy", "0.005", orderLinkId="first"))
            assert (answer["retCode"], answer["retMsg"], answer["result"]["orderLinkId"]) == (
                0,
                "OK",
                "first",
            )
            order_id = answer["result"]["orderId"]
            got = {}
            for _ in range(3):
                message = await private.receive_json()
                got[message["topic"]] = message["data"]
            assert list(got) == ["execution", "order", "position"]
            execution, done, position = (got[topic][0] for topic in got)
            assert (execution["orderId"], execution["execQty"], execution["isMaker"]) == (
                order_id,
                "0.005",
                False,
            )
            assert (done["orderStatus"], done["cumExecQty"], done["leavesQty"]) == ("Filled", "0.005", "0")
            assert (position["side"], position["size"]) == ("Buy", "0.005")
            query = f"category=linear&symbol=BTCUSDT&orderId={order_id}"
            found = (await get(session, "/v5/order/realtime", query))["result"]["list"][0]
            common = set(found) & set(done)
            assert len(common) > 40
            assert {name: found[name] for name in common} == {name: done[name] for name in common}
            found = await get(session, "/v5/position/list", "category=linear&symbol=BTCUSDT")
            assert found["result"]["list"][0]["size"] == "0.005"

            answer = await post(
                session,
                "/v5/order/create",
                order("Buy", "0.01", orderType="Limit", price="1000.0", orderLinkId="low"),
            )
            resting = (await private.receive_json())["data"][0]
            assert (resting["orderStatus"], resting["orderLinkId"]) == ("New", "low")
            found = await get(session, "/v5/order/realtime", "category=linear&symbol=BTCUSDT")
            assert [one["orderLinkId"] for one in found["result"]["list"]] == ["low"]
            wanted = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "low"}
            assert (await post(session, "/v5/order/cancel", wanted))["retCode"] == 0
            assert (await private.receive_json())["data"][0]["orderStatus"] == "Cancelled"
            assert (await post(session, "/v5/order/cancel", wanted))["retCode"] == 110001
            assert (await post(session, "/v5/order/create", order("Buy", "0.005", orderLinkId="low")))[
                "retCode"
            ] == 110072
            assert simulation.venue.state()["orders"] == {"accepted": 2, "rejected": 1, "open": 0, "fills": 1}
            await private.close()

    run(test)


def test_resting_order_fills_when_the_market_comes() -> None:
    """Partial fills at the best price's size, as the replayed book moves."""
    source = generated(5, 1, 50, None)

    async def test() -> None:
        async with (
            simulator(source, pacer=Pacer(rate=3000)) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            private = await private_socket(session, "execution", "order")
            await subscribe(socket, *source.topics)
            first = json.loads(str((await socket.receive()).data))
            await socket.close()  # who does not read would stop the replay
            # Below the market, which comes down to it in one of its next swings.
            price = str(Decimal(first["data"]["b"][0][0]) - 5)
            request = order("Buy", "40", orderType="Limit", price=price, timeInForce="PostOnly")
            assert (await post(session, "/v5/order/create", request))["retCode"] == 0
            messages: list[dict[str, Any]] = []
            while not messages or messages[-1]["data"][-1].get("orderStatus") != "Filled":
                messages.append(await private.receive_json())
            executions = [row for one in messages if one["topic"] == "execution" for row in one["data"]]
            assert len(executions) > 1
            assert sum(Decimal(row["execQty"]) for row in executions) == 40
            assert {row["execPrice"] for row in executions} == {price.rstrip("0").rstrip(".")}
            assert all(row["isMaker"] for row in executions)
            assert len({row["execId"] for row in executions}) == len(executions)
            await private.close()
            assert simulation.venue.state()["orders"]["open"] == 0

    run(test)


def test_acknowledgement_comes_before_anything_private() -> None:
    async def test() -> None:
        async with (
            simulator(generated(5, 1, 50, 2)) as (simulation, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            private = await private_socket(session, "order")
            await subscribe(socket, BOOK, "publicTrade.BTCUSDT")
            await simulation.replay
            events = []

            async def acknowledged(number: int) -> None:
                answer = await post(
                    session, "/v5/order/create", order("Sell", "0.001", orderLinkId=f"n{number}")
                )
                events.append(("ack", answer["result"]["orderLinkId"]))

            async def told() -> None:
                for _ in range(20):
                    events.append(("order", (await private.receive_json())["data"][0]["orderLinkId"]))

            telling = asyncio.create_task(told())
            for number in range(20):
                await acknowledged(number)
            await telling
            for number in range(20):
                assert events.index(("ack", f"n{number}")) < events.index(("order", f"n{number}"))
            await private.close()

    run(test)


def test_who_may_trade() -> None:
    async def test() -> None:
        async with simulator(generated(5, 1, 50, 2)) as (_, session):
            body = json.dumps(order("Buy", "0.001"))

            async def code(headers: dict[str, str], data: str = body) -> int:
                async with session.post("/v5/order/create", data=data, headers=headers) as response:
                    assert response.status == 200
                    return int((await response.json())["retCode"])

            assert await code({}) == 10003
            assert await code(signed(body, key="other")) == 10003
            assert await code(signed(body, at_ms=1_700_000_000_000)) == 10002
            assert await code(signed(body + " ")) == 10004
            assert await code(signed("[1]"), "[1]") == 10001
            assert await code(signed("{"), "{") == 10001
            async with session.get("/v5/order/realtime?category=linear") as response:
                assert (await response.json())["retCode"] == 10003
            async with session.ws_connect("/v5/private") as socket:
                assert not (await ask(socket, {"op": "subscribe", "args": ["order"]}))["success"]
                assert not (await ask(socket, {"op": "auth", "args": ["sim-key", 1, "0"]}))["success"]
                assert (await ask(socket, {"op": "ping"}))["op"] == "pong"
            private = await private_socket(session, "order")
            assert not (await ask(private, {"op": "subscribe", "args": ["secrets"]}))["success"]
            await private.close()

    run(test)


def test_messages_are_held_back_by_a_distance() -> None:
    async def test() -> None:
        async with (
            simulator(generated(5, 1, 50, None), hold=True, delay_ms=80) as (_, session),
            session.ws_connect("/v5/public/linear") as socket,
        ):
            asked = time.monotonic()
            assert (await ask(socket, {"op": "ping"}))["ret_msg"] == "pong"
            assert time.monotonic() - asked >= 0.079, "a timer of the loop counts whole milliseconds"

    run(test)


def test_numbered_symbols_beyond_the_known_ones() -> None:
    assert len(set(generated(1, 40, 50, None).instruments)) == 40
    assert next(itertools.islice(generated(1, 40, 50, None).instruments, 30, None)).startswith("QC")
