"""Bybit v5 streams for programs: `BybitPublicWebSocket`, `BybitPrivateWebSocket`.

Subscriptions survive lost connections and changes of endpoint. A change is made before the break: the new
connection is open, authenticated and subscribed before anything is read from it, and only then the old one closes.
What the new one sent meanwhile (snapshots) is delivered first. Messages of both carry the connection's number.
https://bybit-exchange.github.io/docs/v5/ws/connect
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import codes, signing
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.bybit.private import AUTHENTICATION_LIFETIME_MS, lost_text, note_handshake
from quietcore.venues.interface import Credentials

PING = '{"op":"ping"}'
PING_SECONDS = 20.0
SILENCE_SECONDS = 2.5 * PING_SECONDS
OPEN_SECONDS = 10.0
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 0.1, 10.0
QUEUE_MESSAGES = 65_536
HELD_MESSAGES = 65_536
# The venue's limits: characters of all topics of a connection; topics of one request, on spot.
MOST_CHARACTERS = 21_000
TOPICS_A_REQUEST = {"spot": 10}
RECEIVE_BUFFER = 4 << 20


class Message(NamedTuple):
    """One message of a topic. ``connection``: number of the connection it came by, 1 for the first."""

    topic: str
    content: dict[str, Any]
    received_ns: int  # UTC, read after the receive call
    connection: int


class Link:
    """One connection: reads from the moment it is open, holds messages back until it is released."""

    def __init__(self, number: int, url: str) -> None:
        self.number, self.url = number, url
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.held: list[Message] | None = []
        self.last_word = time.monotonic()
        self.reading: asyncio.Task[None] | None = None
        self.pinging: asyncio.Task[None] | None = None

    async def ask(self, operation: str, arguments: Sequence[Any]) -> None:
        """Send a request and wait for its confirmation; raise QuietcoreError where it is refused."""
        assert self.socket is not None
        # The answer to auth carries no id.
        request_id = operation if operation == "auth" else f"{operation}-{len(self.answers)}-{time.time_ns()}"
        answer = asyncio.get_running_loop().create_future()
        self.answers[request_id] = answer
        try:
            words = {"req_id": request_id, "op": operation, "args": arguments}
            await self.socket.send_str(msgspec.json.encode(words).decode())
            async with asyncio.timeout(OPEN_SECONDS):
                found = await answer
        finally:
            del self.answers[request_id]
        if found.get("success") is not True:
            trouble = codes.stream_trouble(operation, found)
            raise QuietcoreError(
                f"venue refuses to {operation}",
                where=self.url,
                found=trouble._replace(remedy="").line(),
                remedy=f"check the key: {trouble.remedy}" if operation == "auth" else "check the topics",
            )

    async def close(self) -> None:
        """End it."""
        for task in (self.reading, self.pinging):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self.socket is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self.socket.close()


class BybitStream:
    """What public and private streams have in common. ``connect``, ``messages``, ``close``; or a context manager."""

    def __init__(
        self,
        url: str,
        path: str,
        *,
        category: str = "",
        tls_ca: str = "",
        pins: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        receive_buffer: int = RECEIVE_BUFFER,
    ) -> None:
        self._base, self._path = url.rstrip("/"), path
        self._category = category
        self._ca, self._pins, self._credentials = tls_ca, pins, credentials
        self._receive_buffer = receive_buffer
        self._pauses = Pauses()
        self._session: aiohttp.ClientSession | None = None
        self._topics: dict[str, None] = {}
        self._link: Link | None = None
        self._numbers = itertools.count(1)
        self._changing = asyncio.Lock()
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_MESSAGES)
        self._mending: asyncio.Task[None] | None = None
        self._closed = False
        self.overflowed = 0  # messages lost because nobody took them
        self.not_understood = 0
        self.reconnects = 0
        self.switches = 0

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # life

    async def connect(self) -> None:
        """Open the connection; raise QuietcoreError where that fails, and leave nothing open then."""
        async with self._changing:
            if self._link is not None:
                return
            try:
                self._use(await self._open(self._base))
            except BaseException:
                session, self._session = self._session, None
                if session is not None:
                    await session.close()
                raise

    async def close(self) -> None:
        """Close everything; `messages` ends."""
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._mending
        if self._link is not None:
            await self._link.close()
        if self._session is not None:
            await self._session.close()
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield messages until closed."""
        while not self._closed or not self._queue.empty():
            message = await self._queue.get()
            if message is None:
                return
            yield message

    @property
    def endpoint(self) -> str:
        """Scheme and host in use."""
        return self._base

    def socket_state(self) -> wire.SocketState | None:
        """Return what the kernel says of the connection."""
        socket = None if self._link is None else self._link.socket
        # aiohttp has no public way from a WebSocket to its transport but this one.
        return None if socket is None else wire.socket_state(_Transport(socket))

    # subscriptions

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe further topics; raise QuietcoreError where the venue refuses, or they are too many."""
        fresh = [topic for topic in dict.fromkeys(topics) if topic not in self._topics]
        characters = sum(map(len, [*self._topics, *fresh]))
        if characters > MOST_CHARACTERS:
            raise QuietcoreError(
                "too many topics for one connection",
                where=self._base,
                found=f"{characters} characters",
                expected=f"at most {MOST_CHARACTERS}",
                remedy="use several connections",
            )
        async with self._changing:
            if self._link is not None:
                await self._ask(self._link, "subscribe", fresh)
            self._topics.update(dict.fromkeys(fresh))

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Unsubscribe topics."""
        gone = [topic for topic in dict.fromkeys(topics) if topic in self._topics]
        async with self._changing:
            if self._link is not None:
                await self._ask(self._link, "unsubscribe", gone)
            for topic in gone:
                del self._topics[topic]

    async def _ask(self, link: Link, operation: str, topics: Sequence[str]) -> None:
        most = TOPICS_A_REQUEST.get(self._category, 200)
        for first in range(0, len(topics), most):
            await link.ask(operation, topics[first : first + most])

    # endpoints

    def set_endpoint(self, url: str) -> None:
        """Use ``url`` from the next connection on; the present one stays."""
        self._base = url.rstrip("/")

    async def switch_endpoint(self, url: str) -> float:
        """Go over to ``url``, make before break; return the seconds that it took.

        Where the new one cannot be opened or subscribed, nothing changes and the error is raised.
        """
        begin = time.perf_counter()
        async with self._changing:
            link = await self._open(url.rstrip("/"))
            old = self._link
            self._base = url.rstrip("/")
            self._use(link)
            self.switches += 1
        took = time.perf_counter() - begin
        if old is not None:
            await old.close()
        return took

    # connections

    async def _open(self, base: str) -> Link:
        """Return a connection that is authenticated and subscribed, holding its messages back."""
        if self._session is None:
            connector = wire.connector(self._ca, self._pins, reuse=False, receive_buffer=self._receive_buffer)
            self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "quietcore"})
        link = Link(next(self._numbers), base)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                # compress=0: no compression is offered. max_msg_size: a snapshot of 1,000 levels has 60 kB.
                link.socket = await self._session.ws_connect(
                    base + self._path, compress=0, max_msg_size=16 << 20
                )
                link.reading = asyncio.create_task(self._read(link))
                if self._credentials is not None:
                    expires = time.time_ns() // 1_000_000 + AUTHENTICATION_LIFETIME_MS
                    await link.ask("auth", signing.stream_authentication(self._credentials, expires))
                await self._ask(link, "subscribe", list(self._topics))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await link.close()
            note_handshake(error, base, self._path, self._pauses)
            raise QuietcoreError(
                "stream cannot be opened",
                where=base + self._path,
                found=lost_text(error) if str(error) else f"no answer within {OPEN_SECONDS:g} s",
                code=ExitCode.UNKNOWN,
            ) from error
        except BaseException:
            await link.close()
            raise
        link.pinging = asyncio.create_task(self._ping(link))
        return link

    def _use(self, link: Link) -> None:
        self._link = link
        held, link.held = link.held or [], None
        for message in held:
            self._deliver(message)

    async def _ping(self, link: Link) -> None:
        assert link.socket is not None
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                if time.monotonic() - link.last_word > SILENCE_SECONDS:
                    # Whatever TCP believes: nobody is there. The reader then ends.
                    await link.socket.close()
                    return
                await link.socket.send_str(PING)

    async def _read(self, link: Link) -> None:
        assert link.socket is not None
        try:
            while True:
                frame = await link.socket.receive()
                if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                link.last_word = time.monotonic()
                self._take(link, frame.data)
        finally:
            for answer in link.answers.values():
                if not answer.done():
                    answer.set_exception(aiohttp.ClientError("connection closed"))
            if link is self._link and not self._closed and self._mending is None:
                self._mending = asyncio.create_task(self._mend(link))

    def _take(self, link: Link, data: str | bytes) -> None:
        try:
            content = msgspec.json.decode(data)
            topic = content.get("topic")
        except (msgspec.DecodeError, AttributeError):
            self.not_understood += 1
            return
        if topic is None:
            answer = link.answers.get(content.get("req_id") or content.get("op") or "")
            if answer is not None and not answer.done():
                answer.set_result(content)
            return
        message = Message(topic, content, time.time_ns(), link.number)
        if link is self._link:
            self._deliver(message)
        elif link.held is not None and len(link.held) < HELD_MESSAGES:
            link.held.append(message)

    def _deliver(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.overflowed += 1

    async def _mend(self, lost: Link) -> None:
        """Connect again until it is done, or somebody else did."""
        delay = RETRY_FIRST_SECONDS
        try:
            await lost.close()
            while not self._closed:
                # Spread: after an outage all clients come back. The venue may have asked for more.
                spread = delay * (0.5 + random.random())  # noqa: S311
                await asyncio.sleep(max(spread, self._pauses.left(self._base, self._path)[0]))
                async with self._changing:
                    if self._link is not lost:
                        return
                    try:
                        link = await self._open(self._base)
                    except QuietcoreError:
                        delay = min(2 * delay, RETRY_MOST_SECONDS)
                        continue
                    self.reconnects += 1
                    self._use(link)
                    return
        finally:
            self._mending = None
            # The new one may have been lost before anybody looked after it.
            new = None if self._closed or self._link is lost else self._link
            if new is not None and new.reading is not None and new.reading.done():
                self._mending = asyncio.create_task(self._mend(new))


class _Transport:
    """A WebSocket as something that has `get_extra_info`, as transports have."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.get_extra_info = socket.get_extra_info


class BybitPublicWebSocket(BybitStream):
    """Public topics of one category: ``orderbook.50.BTCUSDT``, ``publicTrade.BTCUSDT``, ``tickers.BTCUSDT`` …"""

    def __init__(self, url: str, *, category: str = "linear", **options: Any) -> None:
        super().__init__(url, f"/v5/public/{category}", category=category, **options)


class BybitPrivateWebSocket(BybitStream):
    """Private topics: ``order``, ``execution``, ``position``, ``wallet``."""

    def __init__(self, url: str, credentials: Credentials, **options: Any) -> None:
        super().__init__(url, "/v5/private", credentials=credentials, **options)
