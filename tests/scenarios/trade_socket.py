"""Order entry by WebSocket over the scenarios' network: the runtime's own client, and sockets that are none."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import aiohttp
import msgspec
from tests.scenarios.network import RESTARTS, TIMEOUT, LinkedRest
from tests.scenarios.server import SimulatedVenue
from tests.scenarios.venue import CREDENTIALS, LinkedVenue

from quietcore.errors import QuietcoreError
from quietcore.sim.order_entry import Delivery
from quietcore.venues.bybit.account import BybitAccount
from quietcore.venues.bybit.trade_stream import BybitOrderEntry, BybitTradeWebSocket

RESTARTING = 10019
NUMBERS = itertools.count()


class LinkedSocket:
    """One connection: in order both ways; what was on its way at a break is lost. As aiohttp's, as far as is needed."""

    def __init__(self, server: SimulatedVenue) -> None:
        self.server = server
        self.up = True
        self.number = next(NUMBERS)
        self._inbox: asyncio.Queue[aiohttp.WSMessage] = asyncio.Queue()
        self._there = self._back = 0.0
        server.sockets.add(self)

    # the client's end

    async def send_str(self, data: str) -> None:
        if not self.up:
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        server, chance = self.server, self.server.chance
        # Now and then the network hangs for longer than its user waits, and all that follows with it.
        travel = (
            chance.uniform(2.5, 5.5) if chance.random() < server.late / 2 else chance.uniform(0.001, 0.02)
        )
        self._there = max(self._there, server.loop.time() + travel)
        words = msgspec.json.decode(data)
        server.loop.call_at(self._there, lambda: self._arrive(words))

    async def receive(self) -> aiohttp.WSMessage:
        return await self._inbox.get()

    async def close(self) -> None:
        self.drop()

    # the server's end

    def drop(self) -> None:
        if self.up:
            self.up = False
            self.server.sockets.discard(self)
            self._inbox.put_nowait(aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None))

    def _say(self, words: dict[str, Any], behind: float = 0.0) -> None:
        server = self.server
        travel = server.chance.uniform(0.001, 0.02) + behind
        self._back = max(self._back, server.loop.time() + travel)
        message = aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, msgspec.json.encode(words).decode(), None)
        server.loop.call_at(self._back, lambda: self._inbox.put_nowait(message) if self.up else None)

    def _arrive(self, words: dict[str, Any]) -> None:
        if not self.up:
            return
        server = self.server
        operation, request = words["op"], words.get("reqId", "")
        if operation == "auth":
            self._say({"op": "auth", "retCode": 0, "retMsg": ""})
            return
        if operation == "ping":
            self._say({"op": "pong", "retCode": 0})
            return
        sent_ms = int(words["header"]["X-BAPI-TIMESTAMP"])
        made = server.perform(operation.removeprefix("order."), words["args"][0], sent_ms)
        answer = {
            **{"reqId": request, "op": operation, "retCode": made.code, "retMsg": made.message},
            "data": made.result,
        }
        if made.delivery in RESTARTS:
            self._say({**answer, "retCode": RESTARTING, "data": {}})
            server.restart(empty=RESTARTS[made.delivery])
        elif made.delivery is Delivery.LOST:
            self.drop()
        else:
            server.entry.effects(made)
            if made.delivery is Delivery.DISCONNECT:
                server.break_streams()
                self.drop()
            elif made.delivery is not Delivery.NEVER:
                self._say(answer, 0.05 if made.delivery is Delivery.EFFECTS_FIRST else 0.0)


class LinkedDial:
    """Opens them, but none for a process that is dead."""

    def __init__(self, server: SimulatedVenue) -> None:
        self.server = server
        self.dead = False

    async def open(self, url: str) -> LinkedSocket:
        await asyncio.sleep(self.server.chance.uniform(0.002, 0.05))
        if self.server.away or self.dead:
            raise aiohttp.ClientConnectionError(f"{url}: refused")
        return LinkedSocket(self.server)

    async def close(self) -> None: ...


class SocketVenue(LinkedVenue):
    """The client's side with order entry by WebSocket, and REST where none is up; ``entry``: whose rule says which."""

    def __init__(
        self,
        server: SimulatedVenue,
        account: type[BybitAccount] = BybitAccount,
        rest: type[LinkedRest] = LinkedRest,
        entry: type[BybitOrderEntry] = BybitOrderEntry,
    ) -> None:
        super().__init__(server, account, rest)
        self.dial = LinkedDial(server)
        self.trade = BybitTradeWebSocket(
            "ws://one",
            CREDENTIALS,
            timeout=TIMEOUT,
            dial=self.dial,
            now_ms=server.now_ms,
            pauses=self._rest.pauses,
        )
        self._trade = self.trade
        self._entry = self.entry = entry(self.trade, self._rest)
        self._switching: asyncio.Task[float] | None = None

    async def open(self) -> None:
        with contextlib.suppress(QuietcoreError):
            await self.trade.connect()

    def cut(self) -> None:
        super().cut()
        self.dial.dead = True
        link = self.trade._link
        own = [
            self.trade._task,
            self._switching,
            *self.trade._retiring,
            *([] if link is None else link._tasks),
        ]
        for task in own:
            if task is not None:
                task.cancel()

    def switch(self) -> None:
        """Begin to go over to the other host, whatever is on its way."""
        other = "ws://two" if self.trade.endpoint == "ws://one" else "ws://one"
        if self._switching is None or self._switching.done():
            self._switching = asyncio.create_task(self.trade.switch_endpoint(other))
            self._switching.add_done_callback(lambda task: task.cancelled() or task.exception())
