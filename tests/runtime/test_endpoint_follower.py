"""The running gateway uses what the scouter elects: REST, order entry and private stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.runtime.delayed_venue import HOST, KEY, SECRET, DelayedVenue

from quietcore.config import RuntimeConfig, load
from quietcore.errors import QuietcoreError
from quietcore.execution import endpoint_follower
from quietcore.execution.endpoint_follower import EndpointFollower, scouter_of
from quietcore.scout import DynamicAPIScouter
from quietcore.venues.bybit import linear
from quietcore.venues.interface import Credentials, Endpoints, OrderRequest, StreamDown, StreamUp
from quietcore.venues.registry import targets_of_urls

ONE, TWO = "127.0.0.2", "127.0.0.3"
FAST, SLOW = 0.0, 0.08


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- no events
            await asyncio.sleep(0.005)


def test_all_connections_go_over_to_the_elected_address(tmp_path: Path) -> None:
    async def work() -> None:
        async with DelayedVenue(tmp_path, (ONE, TWO)) as site:
            site.sites[TWO].delay = SLOW
            scouter = DynamicAPIScouter(
                0.05,
                0.1,
                targets=targets_of_urls("bybit-linear", [site.url("ws"), site.url("http")]),
                tls_ca=str(site.ca),
                resolve=site.resolve,
            )
            pins = {HOST: ONE}
            url = site.url("ws")
            venue = linear(
                Endpoints(site.url("http"), url, str(site.ca), url), Credentials(KEY, SECRET), pins
            )
            warnings: list[str] = []
            told: list[Any] = []

            async def listen() -> None:
                async for event in venue.events():
                    told.append(event)

            await venue.open()
            listening = asyncio.create_task(listen())
            await until(lambda: told == [StreamUp()])
            follower = EndpointFollower(scouter, pins, venue.switch_endpoints, warnings.append)
            follower.start()
            await until(lambda: follower.switches == 1)
            assert follower.figures()["addresses"] == {HOST: ONE}
            site.sites[ONE].delay, site.sites[TWO].delay = SLOW, FAST
            # The other is elected: order entry, private stream and REST, each by connections of its own there.
            await until(lambda: pins[HOST] == TWO and follower.switches >= 2)
            before = len(site.sites[ONE].trades)
            sent = await venue.place(OrderRequest("mine", "BTCUSDT", True, "1", "2"))
            assert sent.order_id == "id-mine"
            assert sent.written_ns > 0
            assert [order["args"][0]["orderLinkId"] for order in site.sites[TWO].trades] == ["mine"]
            assert len(site.sites[ONE].trades) == before
            assert venue.order_ways() == (1, 0, "")
            assert (follower.failures, warnings) == (0, [])
            assert follower.figures()["websocket"] == url
            assert follower.took_ms > 0
            assert not [event for event in told if isinstance(event, StreamDown)]
            await follower.stop()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await venue.close()

    uvloop.run(work())


def test_an_elected_endpoint_that_cannot_be_used_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_follower, "AGAIN_SECONDS", 0.05)

    async def work() -> None:
        async with DelayedVenue(tmp_path, (ONE,)) as site:
            refusals = 2
            wishes: list[tuple[str, str]] = []
            warnings: list[str] = []

            async def switch(websocket: str, rest: str) -> float:
                wishes.append((websocket, rest))
                if len(wishes) <= refusals:
                    raise QuietcoreError("private stream cannot go over", where=websocket)
                return 0.002

            scouter = DynamicAPIScouter(
                0.05,
                60.0,
                targets=targets_of_urls("bybit-linear", [site.url("ws"), site.url("http")]),
                tls_ca=str(site.ca),
                resolve=site.resolve,
            )
            # Nobody answers at first: what is configured stays in use, and is said to.
            site.sites[ONE].broken = True
            follower = EndpointFollower(scouter, {}, switch, warnings.append)
            follower.start()
            await until(lambda: bool(warnings))
            assert "endpoints stay as configured" in warnings[0]
            assert wishes == []
            site.sites[ONE].broken = False
            await until(lambda: follower.switches == 1)
            assert wishes == [(site.url("ws"), site.url("http"))] * (refusals + 1)
            assert follower.failures == refusals
            assert follower.took_ms == 2.0
            assert sum("elected endpoint is not taken" in line for line in warnings) == refusals
            await follower.stop()

    uvloop.run(work())


CONFIG = """
feed = "f"
mode = "{mode}"
allow_live = true
[venue]
name = "bybit-linear"
rest = "{rest}"
private_websocket = "{websocket}"
[scout]
enabled = true
region = "nl"
top_n = 3
history = "/tmp/h"
[risk]
order_size = "1"
max_position = "2"
"""


def config(folder: Path, mode: str, rest: str, websocket: str) -> RuntimeConfig:
    path = folder / "runtime.toml"
    path.write_text(CONFIG.format(mode=mode, rest=rest, websocket=websocket))
    return load(path)


def test_what_is_measured_follows_from_the_mode(tmp_path: Path) -> None:
    simulated = scouter_of(config(tmp_path, "sim", "http://127.0.0.1:1", "ws://127.0.0.1:2"))
    assert [target.url for target in simulated.targets] == ["ws://127.0.0.1:2", "http://127.0.0.1:1"]
    live = scouter_of(config(tmp_path, "live", "https://api.bybit.nl", "wss://stream.bybit.com"))
    assert [target.host for target in live.targets] == ["stream.bybit.com", "api.bybit.nl"]
    assert (live.top_n, live.history.path) == (3, Path("/tmp/h"))
    hosts = ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com")
    test = scouter_of(config(tmp_path, "testnet", *hosts))
    assert all("testnet" in target.host for target in test.targets)
