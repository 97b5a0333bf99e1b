"""Bybit's private stream: authentication, the order and execution topics, pings, connecting again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import msgspec

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import codes, rows, signing
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Event,
    Fill,
    NotUnderstood,
    OrderUpdate,
    StreamDown,
    StreamUp,
    Trouble,
)

PATH = "/v5/private"
TOPICS = ["order", "execution"]
# The venue's cancel at disconnection counts those connections alone that have this topic, which never sends anything
# (/docs/v5/order/dcp, /docs/v5/websocket/private/dcp).
DISCONNECT_TOPIC = "dcp.future"
# The venue wants a ping every 20 s at least. Without any word after two of ours the connection is dead, whatever TCP
# believes.
PING_SECONDS = 4.0
SILENCE_SECONDS = 2 * PING_SECONDS
ANSWER_SECONDS = 10.0
RETRY_FIRST_SECONDS = 0.2
RETRY_MOST_SECONDS = 10.0
AUTHENTICATION_LIFETIME_MS = 10_000
# How long a connection that was replaced is still read: what was sent by it alone is on its way.
OVERLAP_SECONDS = 1.0
QUEUE_EVENTS = 10_000  # then the connection is not read until they are taken
LOST = (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError)
# Fields by which a row that cannot be read still tells whose it is.
_IDS = ("orderLinkId", "orderId", "symbol")


class RefusedStreamError(Exception):
    """The venue refused authentication or subscription."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.found)
        self.trouble = trouble


def order_update(order: Any) -> OrderUpdate | None:
    """Return an order of the ``order`` topic or of /v5/order/realtime; None where it cannot be understood."""
    try:
        return rows.order(order)
    except rows.RowError:
        return None


def fill(execution: Any) -> Fill | None:
    """Return an execution of the ``execution`` topic; None where it moves no position or cannot be understood."""
    try:
        return rows.execution(execution)
    except rows.RowError:
        return None


def parse(text: str | bytes) -> tuple[list[Event], int]:
    """Return the events of one message, `NotUnderstood` among them, and how many of them are.

    One row that cannot be read does not keep the others from being taken. Messages of other topics, and answers to
    requests, have no events.
    """
    try:
        message = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return [NotUnderstood("a message that is no JSON")], 1
    if not isinstance(message, dict):
        return [NotUnderstood("a message that is no object")], 1
    topic = message.get("topic")
    if topic is None:
        return [], 0
    name = topic.split(".")[0] if isinstance(topic, str) else ""
    if name not in TOPICS:
        return ([], 0) if name else ([NotUnderstood("topic that is no text")], 1)
    data = message.get("data")
    if not isinstance(data, list):
        return [NotUnderstood(f"{name} message without a list")], 1
    events: list[Event] = [event for row in data if (event := read_row(name, row)) is not None]
    return events, sum(isinstance(event, NotUnderstood) for event in events)


def read_row(name: str, row: Any) -> OrderUpdate | Fill | NotUnderstood | None:
    """Return what one row of a topic says, None where it is of no concern here."""
    try:
        return rows.order(row) if name == "order" else rows.execution(row)
    except rows.RowError as error:
        found = [row.get(field) if isinstance(row, dict) else None for field in _IDS]
        client_id, order_id, symbol = (one if isinstance(one, str) else "" for one in found)
        named = name == "order" and bool(client_id or order_id)
        return NotUnderstood(str(error), client_id, order_id, symbol, harmless=named)


def handshake_trouble(error: BaseException) -> Trouble | None:
    """Return why a WebSocket handshake was answered with an HTTP status, None where it was not."""
    if not isinstance(error, aiohttp.WSServerHandshakeError):
        return None
    meaning = codes.meaning_of_status(error.status)
    return codes.trouble(f"handshake answered HTTP {error.status}", meaning)


def note_handshake(error: BaseException, base: str, path: str, pauses: Pauses) -> float:
    """Take the pause that the refusal of a handshake dictates; return it in seconds."""
    found = handshake_trouble(error)
    if found is None or not isinstance(error, aiohttp.WSServerHandshakeError):
        return 0.0
    received: Mapping[str, str] = error.headers or {}
    return pauses.note(base, path, status=error.status, code=0, headers=received, why=found.found)


def lost_text(error: BaseException) -> str:
    """Return why a connection was lost or did not come up."""
    found = handshake_trouble(error)
    return found.line() if found is not None else str(error) or type(error).__name__


class PrivateLink:
    """One connection, authenticated and subscribed; its events go to ``told``, itself at its end."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, told: Told) -> None:
        self.reason = "closed by the venue"
        self._socket, self._told = socket, told
        self._tasks: list[asyncio.Task[None]] = []

    async def enter(self, credentials: Credentials, *, disconnect_cancel: bool) -> None:
        """Authenticate, subscribe, and begin to read; raises RefusedStreamError."""
        expires = time.time_ns() // 1_000_000 + AUTHENTICATION_LIFETIME_MS
        arguments = signing.stream_authentication(credentials, expires)
        steps = [("auth", arguments), ("subscribe", TOPICS)]
        if disconnect_cancel:
            # By itself: a refusal of it is known for what it is.
            steps.append(("subscribe", [DISCONNECT_TOPIC]))
        for operation, words in steps:
            # Text frames: the venue reads no binary ones.
            await self._socket.send_str(msgspec.json.encode({"op": operation, "args": words}).decode())
            try:
                await self._answer(operation)
            except RefusedStreamError as error:
                if words != [DISCONNECT_TOPIC]:
                    raise
                remedy = "have the account manager enable it, or set guard.disconnect_cancel = 0"
                found = f"the venue's cancel at disconnection ({DISCONNECT_TOPIC}): {error.trouble.found}"
                raise RefusedStreamError(error.trouble._replace(found=found, remedy=remedy)) from error
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
                        raise RefusedStreamError(codes.stream_trouble(operation, answer))
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
                events, _ = parse(message.data)
                for event in events:
                    await self._told.put(event)
        except TimeoutError:
            self.reason = f"mute: no word for {SILENCE_SECONDS:g} s, not even an answer to a ping"
        except LOST as error:
            self.reason = lost_text(error)
        except (
            Exception
        ) as error:  # what nobody foresaw: a stream that is not read must not pass for a quiet one
            self.reason = repr(error)
        await self._told.put(self)


Told = asyncio.Queue[Event | PrivateLink]


class BybitPrivateStream:
    """The private stream, as events, connected again whenever it is lost."""

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials,
        pins: Mapping[str, str] | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self._pauses = Pauses() if pauses is None else pauses
        self._base = endpoints.private_websocket.rstrip("/")
        self._ca, self._pins = endpoints.tls_ca, pins
        self._disconnect_cancel = endpoints.disconnect_cancel
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
        while not self._told.empty():
            self._told.get_nowait()  # of a connection that an earlier consumer gave up
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
                        found = error.trouble
                        yield StreamDown(found._replace(remedy="").line(), True, found.remedy)
                    except LOST as error:
                        note_handshake(error, self._base, PATH, self._pauses)
                        yield StreamDown(lost_text(error))
                    else:
                        delay = RETRY_FIRST_SECONDS
                        yield StreamUp()
                        while True:
                            told = await self._told.get()
                            if not isinstance(told, PrivateLink):
                                yield told
                            elif told is self._link:
                                break
                        link, self._link = told, None
                        await link.close()
                        yield StreamDown(link.reason)
                    await asyncio.sleep(max(delay, self._pauses.left(self._base, PATH)[0]))
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
                note_handshake(error, base, PATH, self._pauses)
                raise QuietcoreError(
                    "private stream cannot go over",
                    where=base + PATH,
                    found=lost_text(error),
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
            await link.enter(self._credentials, disconnect_cancel=self._disconnect_cancel)
        except BaseException:
            await link.close()
            raise
        return link
