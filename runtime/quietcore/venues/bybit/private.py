"""Bybit's private stream: authentication, the order and execution topics, pings, connecting again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import aiohttp
import msgspec

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import signing
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Event,
    Fate,
    Fill,
    OrderUpdate,
    StreamDown,
    StreamUp,
)

PATH = "/v5/private"
TOPICS = ["order", "execution"]
PING_SECONDS = 20.0
ANSWER_SECONDS = 10.0
# Three pings without any word from the venue: the connection is dead, whatever TCP believes.
SILENCE_SECONDS = 3 * PING_SECONDS
RETRY_FIRST_SECONDS = 0.2
RETRY_MOST_SECONDS = 10.0
AUTHENTICATION_LIFETIME_MS = 10_000
# How long a connection that was replaced is still read: what was sent by it alone is on its way.
OVERLAP_SECONDS = 1.0
QUEUE_EVENTS = 10_000  # then the connection is not read until they are taken
LOST = (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError)

FATES = {
    "New": Fate.OPEN,
    "PartiallyFilled": Fate.PARTIALLY_FILLED,
    "Untriggered": Fate.OPEN,
    "Triggered": Fate.OPEN,
    "Filled": Fate.FILLED,
    "Cancelled": Fate.CANCELLED,
    "PartiallyFilledCanceled": Fate.CANCELLED,
    "Deactivated": Fate.CANCELLED,
    "Rejected": Fate.REJECTED,
}


SIDES = {"Buy": True, "Sell": False}


class RefusedStreamError(Exception):
    """The venue refused authentication or subscription."""


def order_update(order: Any) -> OrderUpdate | None:
    """Return an order of the ``order`` topic or of /v5/order/realtime; None where it cannot be understood."""
    try:
        fate = FATES[order["orderStatus"]]
        filled = Decimal(order.get("cumExecQty") or "0")
        reason = order.get("rejectReason") or ""
        if reason == "EC_NoError":
            reason = ""
        return OrderUpdate(order.get("orderLinkId") or "", order["orderId"], fate, filled, reason)
    except (KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def fill(execution: Any) -> Fill | None:
    """Return an execution of the ``execution`` topic; None where it is no trade or cannot be understood."""
    try:
        if execution.get("execType", "Trade") != "Trade":
            return None
        return Fill(
            execution.get("orderLinkId") or "",
            execution["orderId"],
            execution["execId"],
            Decimal(execution["execQty"]),
            Decimal(execution["execPrice"]),
            execution.get("symbol") or "",
            SIDES.get(execution.get("side")),
            Decimal(execution.get("execFee") or "0"),
        )
    except (KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def parse(text: str | bytes) -> tuple[list[Event], int]:
    """Return the events of one message and how many of its entries could not be understood."""
    try:
        message = msgspec.json.decode(text)
        topic, data = message.get("topic", ""), message.get("data", [])
    except (msgspec.DecodeError, AttributeError):
        return [], 1
    if topic.split(".")[0] not in ("order", "execution") or not isinstance(data, list):
        return [], 0
    make: Any = order_update if topic.startswith("order") else fill
    made = [make(entry) for entry in data]
    events = [event for event in made if event is not None]
    skipped = sum(
        event is None and not (isinstance(entry, dict) and entry.get("execType", "Trade") != "Trade")
        for event, entry in zip(made, data, strict=True)
    )
    return events, skipped


class PrivateLink:
    """One connection, authenticated and subscribed; its events go to ``told``, itself at its end."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, told: Told) -> None:
        self.reason = "closed by the venue"
        self.not_understood = 0
        self._socket, self._told = socket, told
        self._tasks: list[asyncio.Task[None]] = []

    async def enter(self, credentials: Credentials) -> None:
        """Authenticate, subscribe, and begin to read; raises RefusedStreamError."""
        expires = time.time_ns() // 1_000_000 + AUTHENTICATION_LIFETIME_MS
        arguments = signing.stream_authentication(credentials, expires)
        for operation, words in (("auth", arguments), ("subscribe", TOPICS)):
            # Text frames: the venue reads no binary ones.
            await self._socket.send_str(msgspec.json.encode({"op": operation, "args": words}).decode())
            await self._answer(operation)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._ping())]

    async def close(self) -> None:
        """End it, without a word of its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*LOST):
            async with asyncio.timeout(1.0):
                await self._socket.close()

    async def _answer(self, operation: str) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                message = await self._socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise aiohttp.ClientError(f"closed during {operation}")
                answer = msgspec.json.decode(message.data)
                if isinstance(answer, dict) and answer.get("op") == operation:
                    if answer.get("success") is not True:
                        raise RefusedStreamError(f"{operation} refused: {answer.get('ret_msg', '')}")
                    return

    async def _ping(self) -> None:
        with contextlib.suppress(*LOST):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self._socket.send_str('{"op":"ping"}')

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.receive(timeout=SILENCE_SECONDS)
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                events, skipped = parse(message.data)
                self.not_understood += skipped
                for event in events:
                    await self._told.put(event)
        except LOST as error:
            self.reason = str(error) or type(error).__name__
        await self._told.put(self)


Told = asyncio.Queue[Event | PrivateLink]


class BybitPrivateStream:
    """The private stream, as events, connected again whenever it is lost."""

    def __init__(
        self, endpoints: Endpoints, credentials: Credentials, pins: Mapping[str, str] | None = None
    ) -> None:
        self._base = endpoints.private_websocket.rstrip("/")
        self._ca, self._pins = endpoints.tls_ca, pins
        self._credentials = credentials
        self._told: Told = asyncio.Queue(QUEUE_EVENTS)
        self._session: aiohttp.ClientSession | None = None
        self._link: PrivateLink | None = None
        self._changing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self.switches = 0

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield events until the consumer stops."""
        delay = RETRY_FIRST_SECONDS
        async with aiohttp.ClientSession(
            connector=wire.connector(self._ca, self._pins, reuse=False)
        ) as session:
            self._session = session
            try:
                while True:
                    try:
                        async with self._changing:
                            link = self._link = await self._open(self._base)
                    except RefusedStreamError as error:
                        yield StreamDown(str(error), refused=True)
                    except LOST as error:
                        yield StreamDown(str(error) or type(error).__name__)
                    else:
                        delay = RETRY_FIRST_SECONDS
                        yield StreamUp()
                        while True:
                            found = await self._told.get()
                            if not isinstance(found, PrivateLink):
                                yield found
                            elif found is self._link:
                                break
                        link, self._link = found, None
                        await link.close()
                        yield StreamDown(link.reason)
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, RETRY_MOST_SECONDS)
            finally:
                self._session = None
                for task in self._retiring:
                    task.cancel()
                await asyncio.gather(*self._retiring, return_exceptions=True)
                if self._link is not None:
                    await self._link.close()

    async def switch_endpoint(self, url: str) -> float:
        """Go over to ``url``, make before break; return the seconds that it took.

        For a moment events come from both, so some come twice; none is missed. Where the new one does not come up,
        nothing changes and QuietcoreError is raised. Without a connection, the next one is made there.
        """
        begin = time.perf_counter()
        base = url.rstrip("/")
        async with self._changing:
            old = self._link
            if old is None:
                self._base = base
                return 0.0
            try:
                link = await self._open(base)
            except (RefusedStreamError, *LOST) as error:
                raise QuietcoreError(
                    "private stream cannot go over",
                    where=base + PATH,
                    found=str(error) or type(error).__name__,
                    code=ExitCode.UNKNOWN,
                ) from error
            self._base = base
            if self._link is not old:
                # The old one was lost meanwhile: what it would have told must be asked for, by a new beginning.
                await link.close()
                return time.perf_counter() - begin
            self._link = link
            self.switches += 1
        task = asyncio.create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return time.perf_counter() - begin

    async def _retire(self, link: PrivateLink) -> None:
        """Close a connection when what was on its way has come."""
        try:
            await asyncio.sleep(OVERLAP_SECONDS)
        finally:
            await link.close()

    async def _open(self, base: str) -> PrivateLink:
        assert self._session is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            # compress=0: no compression is offered. Pings are the venue's own, see _ping.
            socket = await self._session.ws_connect(base + PATH, compress=0, autoclose=True)
        link = PrivateLink(socket, self._told)
        try:
            await link.enter(self._credentials)
        except BaseException:
            await link.close()
            raise
        return link
