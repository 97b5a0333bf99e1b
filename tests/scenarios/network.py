"""HTTP between the runtime's own client and the simulated venue: it delays, loses and breaks.

`LinkedSession` stands where the client has aiohttp's session, and treats an address as aiohttp does: one that is a text
is parsed and written anew, one that is a `yarl.URL` goes out as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import aiohttp
import yarl
from multidict import CIMultiDict
from tests.scenarios.server import Served, SimulatedVenue

from quietcore.sim.order_entry import Delivery
from quietcore.venues import wire
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.bybit.rest import BybitRest
from quietcore.venues.interface import Credentials, Endpoints

TIMEOUT = 3.0
RESTARTS = {Delivery.RESTART: False, Delivery.EMPTY_RESTART: True}


class Response:
    """As much of aiohttp's as the client needs."""

    def __init__(self, served: Served) -> None:
        self.status, self._content = served.status, served.content
        self.headers = CIMultiDict(served.headers)

    async def read(self) -> bytes:
        return self._content


class Request:
    """One request on its way: an asynchronous context, as aiohttp's."""

    def __init__(self, session: LinkedSession, method: str, target: str, headers: Any, body: bytes) -> None:
        self._session, self._words = session, (method, target, headers, body)

    async def __aenter__(self) -> Response:
        return Response(await self._session.send(*self._words))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LinkedSession:
    """The client's session; ``dead``: its process is no more."""

    def __init__(self, server: SimulatedVenue) -> None:
        self.server = server
        self.dead = False

    def request(
        self,
        method: str,
        url: str | yarl.URL,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
    ) -> Request:
        target = yarl.URL(url).raw_path_qs
        return Request(self, method, target, headers or {}, data or b"")

    async def close(self) -> None: ...

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Served:
        """Send a request; it goes on even where the one who sent it is no more."""
        if self.dead:
            raise asyncio.CancelledError
        server, chance = self.server, self.server.chance
        loop = server.loop
        answered: asyncio.Future[Served] = loop.create_future()
        # Now and then a request hangs in the network for longer than its sender waits.
        order = method == "POST"
        late = order and chance.random() < server.late
        travel = chance.uniform(2.5, 5.5) if late else chance.uniform(0.001, 0.02)

        def answer(value: Served | Exception, delay: float) -> None:
            def settle() -> None:
                if not answered.done():
                    if isinstance(value, Exception):
                        answered.set_exception(value)
                    else:
                        answered.set_result(value)

            loop.call_later(delay, settle)

        def arrive() -> None:
            if server.away:
                answer(aiohttp.ServerDisconnectedError(), 0.001)
                return
            served = server.serve(method, target, headers, body)
            back = chance.uniform(0.001, 0.02)
            made = served.answer
            if made is None:
                answer(served, back)
                return
            delivery = made.delivery
            if delivery is Delivery.LOST or delivery in RESTARTS:
                if delivery in RESTARTS:
                    server.restart(empty=RESTARTS[delivery])
                answer(aiohttp.ServerDisconnectedError(), 0.001)
                return
            server.entry.effects(made)
            if delivery is Delivery.DISCONNECT:
                server.break_streams()
                answer(aiohttp.ServerDisconnectedError(), 0.001)
            elif delivery is not Delivery.NEVER:
                answer(served, back + (0.05 if delivery is Delivery.EFFECTS_FIRST else 0.0))

        loop.call_later(travel, arrive)
        stamp = wire.STAMP.get()
        if stamp is not None:
            stamp.written_ns = 1
        async with asyncio.timeout(TIMEOUT):
            return await answered


class LinkedRest(BybitRest):
    """The runtime's own REST client over that session, by the scenario's clock."""

    def __init__(self, server: SimulatedVenue, credentials: Credentials) -> None:
        self._server = server
        # The client's clock is this machine's, and as far from the venue's as `clock_offset_ms` says.
        pauses = Pauses(server.loop.time)
        super().__init__(Endpoints("http://venue", "ws://venue"), credentials, pauses=pauses)
        self.link: Any = LinkedSession(server)

    @property
    def session(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = self.link
        return session

    @property
    def clock_offset_ms(self) -> int:
        return self._server.now_ms() - time.time_ns() // 1_000_000

    @clock_offset_ms.setter
    def clock_offset_ms(self, value: int) -> None: ...
