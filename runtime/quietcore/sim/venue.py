"""The simulated venue: what the HTTP and WebSocket handlers share."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.accounts import Authenticator, Credentials
from quietcore.sim.hub import Client, Hub
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.pacing import Pacer
from quietcore.sim.private_messages import messages
from quietcore.sim.replay import Replay
from quietcore.sim.source import Source


def wall_ms() -> int:
    """Return the venue's clock: UTC in ms."""
    return time.time_ns() // 1_000_000


class Venue:
    """A replay, its market-data clients, an order book of the account's orders and its private clients."""

    def __init__(
        self,
        source: Source,
        pacer: Pacer,
        credentials: Credentials,
        *,
        hold: bool = False,
        restamp: bool = True,
        loops: int | None = 1,
        now_ms: Callable[[], int] = wall_ms,
        stall_limit: float = 30.0,
    ) -> None:
        self.source = source
        self.now_ms = now_ms
        self.hub = Hub(stall_limit=stall_limit)
        self.private = Hub(stall_limit=stall_limit)
        self.replay = Replay(
            source,
            self.hub,
            pacer,
            hold=hold,
            restamp=restamp,
            loops=loops,
            on_book=self._on_book,
            wall_ms=now_ms,
        )
        self.exchange = Exchange(source.instruments, self.replay.reader.book, now_ms)
        self.authenticator = Authenticator(credentials, now_ms)
        self._outgoing: asyncio.Queue[tuple[str, list[dict[str, Any]]]] = asyncio.Queue()

    def _on_book(self, symbol: str) -> None:
        report = self.exchange.on_book(symbol)
        if report:
            self.tell(report)

    def tell(self, report: Report) -> None:
        """Send what happened to the private topics, in the order of the calls."""
        for message in messages(report, self.now_ms()):
            self._outgoing.put_nowait(message)

    async def run_private(self) -> None:
        """Deliver private messages until cancelled."""
        while True:
            topic, rows = await self._outgoing.get()
            message = {"id": uuid.uuid4().hex, "topic": topic, "creationTime": self.now_ms(), "data": rows}
            await self.private.publish(topic, msgspec.json.encode(message))

    def state(self) -> dict[str, Any]:
        """Return everything worth seeing from outside."""
        exchange = self.exchange
        return {
            **self.replay.state(),
            "orders": {
                "accepted": exchange.accepted,
                "rejected": exchange.rejected,
                "open": sum(len(orders) for orders in exchange.open_orders.values()),
                "fills": exchange.fills,
            },
            "positions": {symbol: f"{one.size:f}" for symbol, one in exchange.wallet.positions.items()},
        }


VENUE: web.AppKey[Venue] = web.AppKey("venue", Venue)


def json_response(payload: object, *, status: int = 200) -> web.Response:
    """Return `payload` as JSON without spaces."""
    return web.Response(body=msgspec.json.encode(payload), status=status, content_type="application/json")


async def drive(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel background tasks and wait until they are gone."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def client_of(request: web.Request, socket: web.WebSocketResponse) -> Client:
    """Return the client behind a WebSocket request."""
    transport = request.transport

    def abort() -> None:
        if transport is not None:
            transport.abort()

    return Client(socket, abort)
