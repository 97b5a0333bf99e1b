"""The client's side: the runtime's own venue, account, paging and REST client, over the scenarios' network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tests.scenarios.network import LinkedRest
from tests.scenarios.server import KEY, LIFETIME, SECRET, SimulatedVenue, Stream

from quietcore.venues.bybit import private
from quietcore.venues.bybit.account import BybitAccount
from quietcore.venues.bybit.venue import BybitVenue
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Event,
    OrderRequest,
    Sent,
    StreamDown,
    StreamUp,
)

UP, DOWN = StreamUp(), StreamDown("broken")
CREDENTIALS = Credentials(KEY, SECRET.encode())


class LinkedVenue(BybitVenue):
    """By REST. ``cut`` is the death of the client's process; ``account``: the runtime's, or one with a bug."""

    request_lifetime = LIFETIME

    def __init__(
        self,
        server: SimulatedVenue,
        account: type[BybitAccount] = BybitAccount,
        rest: type[LinkedRest] = LinkedRest,
    ) -> None:
        super().__init__("simulated", "linear", Endpoints("http://venue", "ws://venue"), CREDENTIALS)
        self.server = server
        self.dead = False
        self.sent: list[tuple[float, OrderRequest]] = []
        self._rest: LinkedRest = rest(server, CREDENTIALS)
        own = self.account = account(self._rest, "linear", server.now_ms)
        self.open_orders, self.executions = own.open_orders, own.executions
        self.position, self.cancel_all = own.position, own.cancel_all
        self.arm_disconnect_cancel, self.query = own.arm_disconnect_cancel, own.find

    def cut(self) -> None:
        self.dead = self._rest.link.dead = True

    async def open(self) -> None: ...

    async def place(self, order: OrderRequest) -> Sent:
        self.sent.append((self.server.loop.time(), order))
        return await super().place(order)

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        return 0.0

    def understand(self, text: bytes) -> list[Event]:
        """Return the events of one message of the private stream."""
        events, skipped = private.parse(text)
        assert skipped == 0, events
        return events

    async def events(self) -> AsyncGenerator[Event, None]:
        chance = self.server.chance
        while True:
            await asyncio.sleep(chance.uniform(0.002, 0.02))
            if self.server.away:
                continue
            stream = Stream(self.server)
            try:
                yield UP
                while (text := await stream.queue.get()) is not None:
                    for event in self.understand(text):
                        yield event
            finally:
                stream.drop()
            yield DOWN
            await asyncio.sleep(chance.uniform(0.05, 0.3))
