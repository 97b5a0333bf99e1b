"""One authenticated order-entry connection of Bybit, from its handshake to its end.

https://bybit-exchange.github.io/docs/v5/websocket/trade/guideline
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import aiohttp
import msgspec

from quietcore.errors import QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import codes, signing
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.bybit.private import AUTHENTICATION_LIFETIME_MS, LOST, lost_text
from quietcore.venues.bybit.rest import RateLimit, rate_limit
from quietcore.venues.interface import Credentials, UncertainError

PING_SECONDS = 4.0
SILENCE_SECONDS = 2 * PING_SECONDS
ANSWER_SECONDS = 10.0


class NotSentError(Exception):
    """The request was not handed to any socket: it may be sent by another way."""


class Answer(NamedTuple):
    """``data`` as the venue's; ``written_ns``: UTC ns when the request had been handed to the socket."""

    data: dict[str, Any]
    written_ns: int


class Socket(Protocol):
    """What is needed of a WebSocket; aiohttp's has it."""

    async def send_str(self, data: str) -> None:
        """Send a text frame."""

    async def receive(self) -> aiohttp.WSMessage:
        """Return the next message, one of another type than text at the end."""

    async def close(self) -> object:
        """Close it."""


class Dial(Protocol):
    """Opens WebSockets."""

    async def open(self, url: str) -> Socket:
        """Return an open one; raises one of `LOST`."""

    async def close(self) -> None:
        """Let go of what all of them share."""


class NetworkDial:
    """Opens them over the network, uncompressed; writes leave at once, and are stamped."""

    def __init__(self, tls_ca: str = "", pins: Mapping[str, str] | None = None) -> None:
        self._ca, self._pins = tls_ca, pins
        self._session: aiohttp.ClientSession | None = None

    async def open(self, url: str) -> Socket:
        """Return an open one."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=wire.connector(self._ca, self._pins, reuse=False),
                request_class=wire.StampingRequest,
                headers={"User-Agent": "quietcore"},
            )
        return await self._session.ws_connect(url, compress=0)

    async def close(self) -> None:
        """Close the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class TradeLink:
    """Made by `open`. ``limits``: where the venue's rate limits are noted; ``pauses``: what the hosts asked for."""

    def __init__(self, socket: Socket, url: str, limits: dict[str, RateLimit], pauses: Pauses) -> None:
        self.url, self._pauses = url, pauses
        self.ended = asyncio.Event()
        self.problem = ""
        self._socket = socket
        self._limits = limits
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        dial: Dial,
        url: str,
        credentials: Credentials,
        limits: dict[str, RateLimit],
        pauses: Pauses,
        now_ms: Callable[[], int],
    ) -> TradeLink:
        """Connect and authenticate; raises QuietcoreError where the key is refused, else one of `LOST`."""
        link = cls(await dial.open(url), url, limits, pauses)
        try:
            await link._authenticate(credentials, now_ms() + AUTHENTICATION_LIFETIME_MS)
        except BaseException:
            await link.close()
            raise
        link._tasks = [asyncio.create_task(link._read()), asyncio.create_task(link._ping())]
        return link

    @property
    def idle(self) -> bool:
        """Whether no request waits for its answer."""
        return not self._waiting

    async def request(self, request_id: str, words: dict[str, Any], seconds: float) -> Answer:
        """Send once and return the answer; raises NotSentError, RefusedError or UncertainError."""
        if self.ended.is_set():
            raise NotSentError(self.problem)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        stamp = wire.Stamp()
        token = wire.STAMP.set(stamp)
        try:
            await self._socket.send_str(msgspec.json.encode({"reqId": request_id, **words}).decode())
            async with asyncio.timeout(seconds):
                found = await answer
        except TimeoutError as error:
            raise UncertainError(f"no answer within {seconds:g} s", stamp.written_ns) from error
        except (aiohttp.ClientError, OSError) as error:
            # Even a write that failed may have sent a part, or all.
            raise UncertainError(f"connection lost: {error!r}", stamp.written_ns) from error
        finally:
            wire.STAMP.reset(token)
            del self._waiting[request_id]
        code, text, data = found.get("retCode"), str(found.get("retMsg") or ""), found.get("data")
        if code == 0 and not isinstance(code, bool):
            return Answer(data if isinstance(data, dict) else {}, stamp.written_ns)
        if not isinstance(code, int) or isinstance(code, bool):
            raise UncertainError(
                f"answer without a code: {code!r} {codes.plain_text(text)}", stamp.written_ns
            )
        refusal = codes.failure(code, text, codes.meaning_of(code), stamp.written_ns)
        wait = self._pauses.note(
            self.url,
            str(words.get("op")),
            status=200,
            code=code,
            headers=header_of(found),
            why=refusal.trouble.found,
        )
        refusal.trouble = refusal.trouble._replace(wait=wait)
        raise refusal

    async def drain(self, seconds: float) -> None:
        """Wait for the answers that are still to come, and close."""
        end = asyncio.get_running_loop().time() + seconds
        while not self.idle and not self.ended.is_set() and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self.close()

    async def close(self) -> None:
        """End it; what waits for an answer is uncertain."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end("closed")
        with contextlib.suppress(*LOST):
            async with asyncio.timeout(1.0):
                await self._socket.close()

    def _end(self, problem: str) -> None:
        self.problem = self.problem or problem
        self.ended.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(aiohttp.ClientError("connection closed"))

    async def _authenticate(self, credentials: Credentials, expires_ms: int) -> None:
        arguments = signing.stream_authentication(credentials, expires_ms)
        await self._socket.send_str(msgspec.json.encode({"op": "auth", "args": arguments}).decode())
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                message = await self._socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    raise aiohttp.ClientError("closed during auth")
                found = msgspec.json.decode(message.data)
                if isinstance(found, dict) and found.get("op") == "auth":
                    if found.get("retCode") != 0:
                        trouble = codes.stream_trouble("auth", found)
                        raise QuietcoreError(
                            "venue refuses the key",
                            where=self.url,
                            found=trouble._replace(remedy="").line(),
                            remedy=trouble.remedy,
                        )
                    return

    async def _ping(self) -> None:
        with contextlib.suppress(*LOST):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self._socket.send_str('{"op":"ping"}')

    async def _read(self) -> None:
        problem = "closed by the venue"
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    message = await self._socket.receive()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    return
                found = msgspec.json.decode(message.data)
                if not isinstance(found, dict):
                    continue
                if (limit := rate_limit(found.get("header"))) is not None:
                    self._limits[str(found.get("op"))] = limit
                answer = self._waiting.get(str(found.get("reqId")))
                if answer is not None and not answer.done():
                    answer.set_result(found)
        except TimeoutError:
            problem = f"mute: no word for {SILENCE_SECONDS:g} s, not even an answer to a ping"
        except LOST as error:
            problem = lost_text(error)
        except Exception as error:  # what nobody foresaw: it must not leave requests without an answer
            problem = repr(error)
        finally:
            self._end(problem)


def header_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return an answer's header, its texts alone."""
    header = answer.get("header")
    entries = header.items() if isinstance(header, dict) else ()
    return {name: value for name, value in entries if isinstance(value, str)}


def wall_ms() -> int:
    """Return UTC in ms."""
    return time.time_ns() // 1_000_000
