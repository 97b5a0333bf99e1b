"""The simulator as a Binance USD-M client sees it: combined streams and the depth snapshot."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.pipeline import derived
from tests.pipeline.reference_book import Reference
from tests.sim.harness import ask, run, simulator, until

from quietcore.sim.clock import Clock
from quietcore.sim.pacing import Pacer
from quietcore.sim.replay import Phase
from quietcore.sim.source import recorded

STREAMS = "/stream?streams=ethusdt@depth@100ms/ethusdt@trade/ethusdt@bookTicker"
DEPTH = "/fapi/v1/depth?symbol=ETHUSDT&limit=1000"


async def snapshot(session: aiohttp.ClientSession, path: str = DEPTH) -> str:
    async with session.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def frames(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    return [str((await socket.receive()).data) for _ in range(count)]


@pytest.mark.parametrize("prefix", ["", "/public", "/market"])
def test_every_frame_once_in_order_byte_for_byte(tmp_path: Path, prefix: str) -> None:
    lines = derived.binance(1, 2000)
    streamed = [line for line in lines if '"stream"' in line]

    async def test() -> None:
        async with (
            simulator(derived.save(lines, tmp_path / "r"), restamp=False) as (_, session),
            session.ws_connect(prefix + STREAMS) as socket,
        ):
            assert await frames(socket, len(streamed)) == streamed

    run(test)


@pytest.mark.parametrize("when", ["held", "finished"])
def test_recorded_snapshot_serves_who_was_there_from_the_first_delta(tmp_path: Path, when: str) -> None:
    """Even when it asks late: what it has kept, and the recording's snapshot, give the recorded book."""
    lines = derived.binance(2, 600)
    streamed = [line for line in lines if '"stream"' in line]
    recorded = next(line for line in lines if '"stream"' not in line)

    async def test() -> None:
        async with (
            simulator(derived.save(lines, tmp_path / "r"), restamp=False, hold=True) as (simulation, session),
            session.ws_connect(STREAMS) as socket,
        ):
            asking = asyncio.create_task(snapshot(session)) if when == "held" else None
            if asking:  # while the replay is held, nothing comes, the snapshot neither
                assert not (await asyncio.wait({asking}, timeout=0.3))[0]
            simulation.venue.replay.start()
            await simulation.replay
            assert await (asking or snapshot(session)) == recorded
            assert await frames(socket, len(streamed)) == streamed
            # The next to ask has no such claim: it gets the book as it is now.
            assert json.loads(await snapshot(session))["lastUpdateId"] > json.loads(recorded)["lastUpdateId"]

    run(test)


def test_held_replay_gives_its_snapshot_in_the_end(tmp_path: Path) -> None:
    lines = derived.binance(2, 100)
    recorded = next(line for line in lines if '"stream"' not in line)

    async def test() -> None:
        recording = derived.save(lines, tmp_path / "r")
        async with simulator(recording, restamp=False, hold=True) as (simulation, session):
            simulation.venue.replay.held_seconds = 0.1
            assert await snapshot(session) == recorded
            assert simulation.venue.replay.phase is Phase.HELD

    run(test)


def test_later_client_synchronises_by_the_venues_rules(tmp_path: Path) -> None:
    lines = derived.binance(3, 3000, levels=300)
    recording = derived.save(lines, tmp_path / "r")

    async def test() -> None:
        async with (
            simulator(recording, restamp=False, pacer=Pacer(rate=2000)) as (simulation, session),
            session.ws_connect(STREAMS) as first,
        ):
            await snapshot(session)
            await until(lambda: simulation.venue.replay.frames > 400)
            async with session.ws_connect(STREAMS) as late:
                kept = await frames(late, 3)
                answer = await snapshot(session)
                kept += [answer, *await frames(late, 500)]
            await first.close()
        reference = Reference("binance-usdm")
        result = reference.run(derived.save(kept, tmp_path / "late"))
        assert (result["snapshots"], result["gaps"], result["malformed"]) == (1, 0, 0)
        assert result["depth_applied"] > 100
        assert result["bbo_compared"] == result["bbo_equal"] > 30
        # The whole: what the late client built equals what the recording gives at the same update.
        whole = Reference("binance-usdm")
        whole.run(recording)
        expected = {update: one for _, update, one, _ in whole.hashes}
        assert all(expected[update] == one for _, update, one, _ in reference.hashes)

    run(test)


def test_restamping_covers_the_snapshot(tmp_path: Path) -> None:
    lines = derived.binance(4, 200)

    async def test() -> None:
        async with (
            simulator(derived.save(lines, tmp_path / "r"), clock=Clock.of(lambda: 1_900_000_000_000)) as (
                _,
                session,
            ),
            session.ws_connect(STREAMS) as socket,
        ):
            first = json.loads(str((await socket.receive()).data))["data"]
            assert (first["E"], first["T"]) == (1_900_000_000_000, 1_899_999_999_999)
            answer = json.loads(await snapshot(session))
            assert (answer["E"], answer["T"]) == (1_900_000_000_000, 1_899_999_999_999)

    run(test)


def test_snapshot_limits_and_refusals(tmp_path: Path) -> None:
    lines = derived.binance(5, 200, levels=200)

    async def test() -> None:
        async with simulator(derived.save(lines, tmp_path / "r"), hold=True) as (simulation, session):
            simulation.venue.replay.held_seconds = 0
            answer = json.loads(await snapshot(session, "/fapi/v1/depth?symbol=ETHUSDT&limit=5"))
            assert (len(answer["bids"]), len(answer["asks"])) == (5, 5)
            for query, code in (
                ("symbol=NONE", -1121),
                ("symbol=ETHUSDT&limit=7", -4021),
                ("symbol=ETHUSDT&limit=x", -1100),
            ):
                async with session.get(f"/fapi/v1/depth?{query}") as response:
                    assert (response.status, (await response.json())["code"]) == (400, code)
            async with session.get("/fapi/v1/exchangeInfo") as response:
                listed = (await response.json())["symbols"]
            assert [one["symbol"] for one in listed] == ["ETHUSDT"]
            steps: dict[str, dict[str, Any]] = {one["filterType"]: one for one in listed[0]["filters"]}
            assert (steps["PRICE_FILTER"]["tickSize"], steps["LOT_SIZE"]["stepSize"]) == ("0.01", "0.001")
            async with session.get("/fapi/v1/time") as response:
                assert (await response.json())["serverTime"] > 1_700_000_000_000

    run(test)


def test_recording_without_a_snapshot_has_none_to_give(tmp_path: Path) -> None:
    lines = [line for line in derived.binance(6, 100) if '"stream"' in line]

    async def test() -> None:
        async with simulator(derived.save(lines, tmp_path / "r"), hold=True) as (simulation, session):
            simulation.venue.replay.held_seconds = 0
            response = await session.get(DEPTH)
            assert response.status == 503
            assert "no depth snapshot of ETHUSDT" in (await response.json())["msg"]

    run(test)


def test_requests_on_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            simulator(derived.save(derived.binance(7, 50), tmp_path / "r"), hold=True) as (_, session),
            session.ws_connect("/stream") as socket,
        ):
            answer = await ask(socket, {"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 3})
            assert answer == {"result": None, "id": 3}
            answer = await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 4})
            assert answer == {"result": ["ethusdt@trade"], "id": 4}
            await ask(socket, {"method": "UNSUBSCRIBE", "params": ["ethusdt@trade"], "id": 5})
            assert (await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 6}))["result"] == []
            assert "error" in await ask(socket, {"method": "SUBSCRIBE", "params": 7, "id": 8})
            assert "error" in await ask(socket, {"method": "JUMP", "id": 9})
            await socket.send_str("nonsense")
            assert "error" in await socket.receive_json()

    run(test)


@pytest.mark.parametrize(
    "case", [{}, {"gap_at": 90, "again_at": 200}, {"gap_at": 5, "snapshot_at": 30, "again_at": 80}]
)
def test_own_book_is_the_references(tmp_path: Path, case: dict[str, Any]) -> None:
    path = derived.save(derived.binance(11, 400, **case), tmp_path / "r")
    reference = Reference("binance-usdm").run(path)["symbols"]["ETHUSDT"]
    source = recorded(path, None)
    reader = source.reader()
    for frame in source.frames(reader):
        reader.track(frame)
    book = reader.book("ETHUSDT")
    assert book is not None
    for side, rows in ((book.bids, reference["bids"]), (book.asks, reference["asks"])):
        assert [[price * 100, size * 1000] for price, size in side.ladder(20)] == rows
