"""Order entry by WebSocket, `BybitTradeWebSocket`, and `BybitOrderEntry`, which falls back to REST.

A request over the socket is sent once. Where its answer does not come in time, or the connection is lost with it,
nobody knows what became of it: UncertainError, and never a second one. REST takes over only for requests that were
not handed to a socket at all. https://bybit-exchange.github.io/docs/v5/websocket/trade/guideline
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import signing
from quietcore.venues.bybit.http_client import BybitHTTPClient
from quietcore.venues.bybit.private import AUTHENTICATION_LIFETIME_MS
from quietcore.venues.bybit.rest import TIMEOUT_SECONDS, UNCERTAIN_CODES, RateLimit, rate_limit
from quietcore.venues.interface import Credentials, RefusedError, UncertainError

PATH = "/v5/trade"
PING_SECONDS = 20.0
OPEN_SECONDS = 10.0
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 0.1, 10.0
# 10019: restarting; 20006: this reqId was used, which ours never are.
UNCERTAIN = UNCERTAIN_CODES | {10019, 20006}


class NotSentError(Exception):
    """The request was not handed to any socket: it may be sent by another way."""


class Answer(NamedTuple):
    """``data`` as the venue's; ``written_ns``: UTC ns when the request had been handed to the socket."""

    data: dict[str, Any]
    written_ns: int


class BybitTradeWebSocket:
    """One authenticated connection, connected again whenever it is lost."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        tls_ca: str = "",
        pins: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._url = url.rstrip("/") + PATH
        self._credentials = credentials
        self._ca, self._pins, self._timeout = tls_ca, pins, timeout
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._problem = ""
        self.limits: dict[str, RateLimit] = {}  # by operation
        self.clock_offset_ms = 0

    @property
    def ready(self) -> bool:
        """Whether requests can be sent now."""
        return self._up.is_set()

    async def connect(self) -> None:
        """Connect and authenticate; raise QuietcoreError where that does not come about. Goes on trying."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._up.wait()
        except TimeoutError:
            raise QuietcoreError(
                "order entry by WebSocket does not come up",
                where=self._url,
                found=self._problem or f"nothing within {OPEN_SECONDS:g} s",
                code=ExitCode.UNKNOWN,
            ) from None

    async def close(self) -> None:
        """Close it; what waits for an answer is uncertain."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._session is not None:
            await self._session.close()

    async def request(self, operation: str, arguments: dict[str, Any]) -> Answer:
        """Send ``order.create``, ``order.amend`` or ``order.cancel`` once.

        Raises:
            NotSentError: no connection; nothing was sent.
            RefusedError: the venue refused it, for certain.
            UncertainError: no answer, or one that tells nothing.
        """
        socket = self._socket
        if socket is None or not self.ready:
            raise NotSentError(self._problem or "not connected")
        request_id = f"{self._prefix}-{next(self._numbers)}"
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        stamp = str(time.time_ns() // 1_000_000 + self.clock_offset_ms)
        words = {
            "reqId": request_id,
            "header": {"X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": str(signing.RECV_WINDOW_MS)},
            "op": operation,
            "args": [arguments],
        }
        written_ns = 0
        try:
            await socket.send_str(msgspec.json.encode(words).decode())
            written_ns = time.time_ns()
            async with asyncio.timeout(self._timeout):
                found = await answer
        except TimeoutError as error:
            raise UncertainError(f"no answer within {self._timeout:g} s", written_ns) from error
        except (aiohttp.ClientError, OSError) as error:
            # Even a write that failed may have sent a part, or all.
            raise UncertainError(f"connection lost: {error!r}", written_ns) from error
        finally:
            del self._waiting[request_id]
        code, text = found.get("retCode"), str(found.get("retMsg", ""))
        if code == 0:
            return Answer(dict(found.get("data") or {}), written_ns)
        if not isinstance(code, int) or code in UNCERTAIN:
            raise UncertainError(f"{code} {text}", written_ns)
        raise RefusedError(code, text, written_ns)

    async def _run(self) -> None:
        delay = RETRY_FIRST_SECONDS
        self._session = aiohttp.ClientSession(connector=wire.connector(self._ca, self._pins))
        while True:
            try:
                async with self._session.ws_connect(self._url, compress=0) as socket:
                    await self._authenticate(socket)
                    self._socket, self._problem = socket, ""
                    self._up.set()
                    delay = RETRY_FIRST_SECONDS
                    pinging = asyncio.create_task(self._ping(socket))
                    try:
                        await self._read(socket)
                    finally:
                        pinging.cancel()
                self._problem = "closed by the venue"
            except QuietcoreError as error:
                self._problem, delay = str(error), RETRY_MOST_SECONDS
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                self._problem = str(error) or type(error).__name__
            finally:
                self._up.clear()
                self._socket = None
                for answer in self._waiting.values():
                    if not answer.done():
                        answer.set_exception(aiohttp.ClientError("connection closed"))
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_MOST_SECONDS)

    async def _authenticate(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        expires = time.time_ns() // 1_000_000 + self.clock_offset_ms + AUTHENTICATION_LIFETIME_MS
        arguments = signing.stream_authentication(self._credentials, expires)
        await socket.send_str(msgspec.json.encode({"op": "auth", "args": arguments}).decode())
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                message = await socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise aiohttp.ClientError("closed during auth")
                found = msgspec.json.decode(message.data)
                if isinstance(found, dict) and found.get("op") == "auth":
                    if found.get("retCode") != 0:
                        reason = f"{found.get('retCode')} {found.get('retMsg', '')}".strip()
                        raise QuietcoreError("venue refuses the key", where=self._url, found=reason)
                    return

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await socket.send_str('{"op":"ping"}')

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await socket.receive(timeout=3 * PING_SECONDS)
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            found = msgspec.json.decode(message.data)
            if not isinstance(found, dict):
                continue
            if (limit := rate_limit(found.get("header") or {})) is not None:
                self.limits[str(found.get("op"))] = limit
            answer = self._waiting.get(str(found.get("reqId")))
            if answer is not None and not answer.done():
                answer.set_result(found)


class BybitOrderEntry:
    """Orders by the socket where it is up, else by REST. Both are opened and closed by the caller."""

    def __init__(self, stream: BybitTradeWebSocket, http: BybitHTTPClient) -> None:
        self.stream, self.http = stream, http
        self.by_rest = 0  # requests that REST took over

    async def place(self, **order: Any) -> dict[str, Any]:
        """Send an order once; it needs an ``orderLinkId``."""
        if not order.get("orderLinkId"):
            raise ValueError("an order without orderLinkId could never be asked for")
        return await self._send("order.create", "/v5/order/create", order)

    async def amend(self, **order: Any) -> dict[str, Any]:
        """Send an amendment once."""
        return await self._send("order.amend", "/v5/order/amend", order)

    async def cancel(self, **order: Any) -> dict[str, Any]:
        """Send a cancel once."""
        return await self._send("order.cancel", "/v5/order/cancel", order)

    async def _send(self, operation: str, path: str, order: dict[str, Any]) -> dict[str, Any]:
        words = {"category": self.http.category, **order}
        try:
            return (await self.stream.request(operation, words)).data
        except NotSentError:
            self.by_rest += 1
        result, _ = await self.http.post(path, words)
        return dict(result or {})
