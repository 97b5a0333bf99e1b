"""A simulator inside the test, on a free port, and what a client of it does."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
import yarl

from quietcore.sim.authentication import Credentials
from quietcore.sim.pacing import Pacer
from quietcore.sim.server import Address, Running, running
from quietcore.sim.source import Source, generated, recorded
from quietcore.sim.venue import Venue

KEY, SECRET = "sim-key", "sim-secret"


def run(test: Callable[[], Coroutine[Any, Any, None]], *, limit: float = 30.0) -> None:
    """Run an asynchronous test to its end, at most `limit` seconds."""

    async def limited() -> None:
        async with asyncio.timeout(limit):
            await test()

    uvloop.run(limited())


@contextlib.asynccontextmanager
async def simulator(
    source: Source | Path, *, pacer: Pacer | None = None, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    """Run a simulator flat out unless `pacer` says otherwise; yield it and a session that speaks to it."""
    if isinstance(source, Path):
        source = recorded(source, None)
    credentials = options.pop("credentials", Credentials(KEY, SECRET))
    venue = Venue(source, pacer or Pacer(), credentials, **options)
    async with (
        running(venue, Address("127.0.0.1", 0), tls) as simulation,
        aiohttp.ClientSession(simulation.http) as session,
    ):
        yield simulation, session


def signature(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(payload: str, *, at_ms: int | None = None, key: str = KEY, window: str = "5000") -> dict[str, str]:
    """Return the headers of a signed request; `payload` is the query string or the body."""
    stamp = str(at_ms or time.time_ns() // 1_000_000)
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": signature(f"{stamp}{key}{window}{payload}"),
    }


async def post(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a signed POST and return the answer."""
    text = json.dumps(body)
    async with session.post(path, data=text, headers=signed(text)) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def get(session: aiohttp.ClientSession, path: str, query: str) -> dict[str, Any]:
    """Send a signed GET, its query as it is, and return the answer."""
    async with session.get(yarl.URL(f"{path}?{query}", encoded=True), headers=signed(query)) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def ask(socket: aiohttp.ClientWebSocketResponse, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request and return the next message."""
    await socket.send_json(request)
    answer: dict[str, Any] = await socket.receive_json()
    return answer


async def subscribe(socket: aiohttp.ClientWebSocketResponse, *topics: str) -> None:
    """Subscribe to Bybit topics, which must succeed."""
    answer = await ask(socket, {"req_id": "1", "op": "subscribe", "args": list(topics)})
    assert answer["success"], answer


async def private_socket(session: aiohttp.ClientSession, *topics: str) -> aiohttp.ClientWebSocketResponse:
    """Connect to the private stream, authenticate and subscribe."""
    socket = await session.ws_connect("/v5/private")
    expires = time.time_ns() // 1_000_000 + 10_000
    answer = await ask(socket, {"op": "auth", "args": [KEY, expires, signature(f"GET/realtime{expires}")]})
    assert answer["success"], answer
    await subscribe(socket, *topics)
    return socket


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; the test's own limit ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def opened(
    topics: Sequence[str] = ("order", "execution"), **options: Any
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession, Any]]:
    """Run a simulator whose book stands still at its first snapshot; yield it, a session, and a private stream."""
    source = generated(5, 1, 50, 1)
    async with simulator(source, **options) as (simulation, session):
        simulation.venue.replay.start()
        await simulation.replay
        yield simulation, session, await private_socket(session, *topics)


async def told(socket: Any, topic: str) -> list[dict[str, Any]]:
    """Return the rows of the next message of a topic."""
    while True:
        message = await socket.receive_json()
        if message["topic"] == topic:
            rows: list[dict[str, Any]] = message["data"]
            return rows


async def trade_socket(session: aiohttp.ClientSession) -> Any:
    socket = await session.ws_connect("/v5/trade")
    expires = time.time_ns() // 1_000_000 + 10_000
    answer = await ask(socket, {"op": "auth", "args": [KEY, expires, signature(f"GET/realtime{expires}")]})
    assert answer["retCode"] == 0
    return socket


def over_socket(operation: str, body: dict[str, Any], number: int = 1) -> dict[str, Any]:
    header = {"X-BAPI-TIMESTAMP": str(time.time_ns() // 1_000_000)}
    return {"reqId": str(number), "header": header, "op": operation, "args": [body]}
