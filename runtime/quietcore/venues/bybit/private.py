"""Bybit's private stream: authentication, the order and execution topics, pings, connecting again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal, InvalidOperation
from typing import Any

import aiohttp
import msgspec

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


class BybitPrivateStream:
    """The private stream, as events, connected again whenever it is lost."""

    def __init__(self, endpoints: Endpoints, credentials: Credentials) -> None:
        self._url = endpoints.private_websocket.rstrip("/") + PATH
        self._ca = endpoints.tls_ca
        self._credentials = credentials
        self.not_understood = 0

    async def events(self) -> AsyncIterator[Event]:
        """Yield events until the consumer stops."""
        delay = RETRY_FIRST_SECONDS
        context = wire.tls_context(self._ca)
        connector = aiohttp.TCPConnector(ssl=True if context is None else context)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                try:
                    # compress=0: no compression is offered. Pings are the venue's own, see _ping.
                    async with session.ws_connect(self._url, compress=0, autoclose=True) as socket:
                        await self._enter(socket)
                        delay = RETRY_FIRST_SECONDS
                        yield StreamUp()
                        pinging = asyncio.create_task(self._ping(socket))
                        try:
                            async for event in self._read(socket):
                                yield event
                        finally:
                            pinging.cancel()
                    yield StreamDown("closed by the venue")
                except RefusedStreamError as error:
                    yield StreamDown(str(error), refused=True)
                except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                    yield StreamDown(str(error) or type(error).__name__)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_MOST_SECONDS)

    async def _enter(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        expires = time.time_ns() // 1_000_000 + AUTHENTICATION_LIFETIME_MS
        arguments = signing.stream_authentication(self._credentials, expires)
        for operation, words in (("auth", arguments), ("subscribe", TOPICS)):
            # Text frames: the venue reads no binary ones.
            await socket.send_str(msgspec.json.encode({"op": operation, "args": words}).decode())
            await self._answer(socket, operation)

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, operation: str) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                message = await socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise aiohttp.ClientError(f"closed during {operation}")
                answer = msgspec.json.decode(message.data)
                if isinstance(answer, dict) and answer.get("op") == operation:
                    if answer.get("success") is not True:
                        raise RefusedStreamError(f"{operation} refused: {answer.get('ret_msg', '')}")
                    return

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            await socket.send_str('{"op":"ping"}')

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Event]:
        while True:
            message = await socket.receive(timeout=SILENCE_SECONDS)
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            events, skipped = parse(message.data)
            self.not_understood += skipped
            for event in events:
                yield event
