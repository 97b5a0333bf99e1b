"""Bybit v5 REST: what a request's answer means, and above all what is not known.

A request that timed out, lost its connection, or met a failure of the server is uncertain. A code that
refuses is certain: nothing happened. Code 10014 and 110072 (duplicate request, duplicate link id) tell that
an earlier copy did arrive; nothing here ever sends one, so they too are asked about.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import signing
from quietcore.venues.bybit.hosts import TIME_PATH
from quietcore.venues.interface import Credentials, Endpoints, RefusedError, UncertainError

TIMEOUT_SECONDS = 3.0
DRAIN_SECONDS = TIMEOUT_SECONDS + 1.0

# https://bybit-exchange.github.io/docs/v5/error
SERVER_ERROR = 10016
DUPLICATE_REQUEST = 10014
DUPLICATE_LINK_ID = 110072
UNCERTAIN_CODES = frozenset({10000, SERVER_ERROR, DUPLICATE_REQUEST, DUPLICATE_LINK_ID})
CREDENTIAL_CODES = {
    10003: "check key and domain: a key is bound to its region and to testnet or mainnet",
    10004: "check the secret",
    10005: "allow the key to trade",
    10010: "allow this host's address for the key",
}


class Answer(msgspec.Struct):
    """The envelope of every answer."""

    retCode: int  # noqa: N815 -- the venue's spelling
    retMsg: str = ""  # noqa: N815
    result: Any = None


DECODER = msgspec.json.Decoder(Answer)


class RateLimit(NamedTuple):
    """What the venue last said of one path: ``remaining`` of ``limit`` requests, renewed at ``reset_ms`` (UTC)."""

    limit: int
    remaining: int
    reset_ms: int


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Return the rate limit of an answer's headers, None where they hold none."""
    try:
        return RateLimit(
            int(headers["X-Bapi-Limit"]),
            int(headers["X-Bapi-Limit-Status"]),
            int(headers.get("X-Bapi-Limit-Reset-Timestamp") or 0),
        )
    except (KeyError, ValueError):
        return None


class BybitRest:
    """Signed requests over one kept session."""

    def __init__(
        self, endpoints: Endpoints, credentials: Credentials, pins: Mapping[str, str] | None = None
    ) -> None:
        self._base = endpoints.rest.rstrip("/")
        self._ca = endpoints.tls_ca
        self._credentials = credentials
        self._pins = pins
        self._session: aiohttp.ClientSession | None = None
        self._in_flight: dict[aiohttp.ClientSession, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.limits: dict[str, RateLimit] = {}  # by path
        self.clock_offset_ms = 0  # the venue's clock minus ours

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; made at the first use, within the running loop."""
        if self._session is None:
            self._session = wire.open_session(self._ca, TIMEOUT_SECONDS, self._pins)
        return self._session

    async def close(self) -> None:
        """Close all connections; what is in flight is lost."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for session in self._in_flight:
            await session.close()
        if self._session is not None:
            await self._session.close()

    # endpoints

    @property
    def endpoint(self) -> str:
        """Scheme and host in use."""
        return self._base

    def set_endpoint(self, url: str) -> None:
        """Send what comes next to ``url``; requests in flight end where they began."""
        old, self._session = self._session, None
        self._base = url.rstrip("/")
        if old is not None:
            task = asyncio.get_running_loop().create_task(self._close_when_idle(old))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def switch_endpoint(self, url: str) -> float:
        """Connect to ``url`` first and only then go over to it; return the seconds that this took.

        Where it does not answer, nothing changes and the error is raised.
        """
        begin = time.perf_counter()
        fresh = BybitRest(Endpoints(url, "", self._ca), self._credentials, self._pins)
        try:
            await fresh.get(TIME_PATH, {}, signed=False)
        except BaseException:
            await fresh.close()
            raise
        self.set_endpoint(url)
        self._session = fresh.session
        return time.perf_counter() - begin

    async def _close_when_idle(self, session: aiohttp.ClientSession) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        try:
            while self._in_flight.get(session) and time.monotonic() < end:  # noqa: ASYNC110 -- counted, not signalled
                await asyncio.sleep(0.01)
        finally:
            self._in_flight.pop(session, None)
            await session.close()

    # requests

    async def get(self, path: str, query: dict[str, str], *, signed: bool = True) -> Any:
        """Return the result of a GET."""
        text = "&".join(f"{name}={value}" for name, value in query.items())
        url = f"{self._base}{path}" + (f"?{text}" if text else "")
        result, _ = await self._request("GET", url, text, None, signed=signed)
        return result

    async def post(self, path: str, body: dict[str, Any]) -> tuple[Any, int]:
        """Return the result of a POST and when it was written to the socket, UTC ns."""
        text = msgspec.json.encode(body).decode()
        return await self._request("POST", self._base + path, text, text.encode(), signed=True)

    async def _request(
        self, method: str, url: str, payload: str, body: bytes | None, *, signed: bool
    ) -> tuple[Any, int]:
        now_ms = time.time_ns() // 1_000_000 + self.clock_offset_ms
        headers = signing.headers(self._credentials, now_ms, payload) if signed else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        stamp = wire.Stamp()
        token = wire.STAMP.set(stamp)
        session = self.session
        self._in_flight[session] = self._in_flight.get(session, 0) + 1
        try:
            async with session.request(method, url, data=body, headers=headers) as response:
                content = await response.read()
                status = response.status
                if (limit := rate_limit(response.headers)) is not None:
                    self.limits[response.url.path] = limit
        except TimeoutError as error:
            raise UncertainError(f"no answer within {TIMEOUT_SECONDS:g} s", stamp.written_ns) from error
        except aiohttp.ClientConnectorError as error:
            # No connection was made, so nothing was sent.
            raise RefusedError(-1, f"no connection: {error}") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise UncertainError(f"connection lost: {error!r}", stamp.written_ns) from error
        finally:
            wire.STAMP.reset(token)
            if session in self._in_flight:
                self._in_flight[session] -= 1
        return judge(status, content, stamp.written_ns)


def judge(status: int, content: bytes, written_ns: int) -> tuple[Any, int]:
    """Return an answer's result, or raise what it means for the request."""
    try:
        answer = DECODER.decode(content)
    except msgspec.DecodeError as error:
        if 400 <= status < 500:
            # Refused before it reached the service (403: rate limit per address).
            raise RefusedError(status, f"HTTP {status}", written_ns) from error
        raise UncertainError(f"HTTP {status} without a readable answer", written_ns) from error
    if answer.retCode == 0:
        return answer.result, written_ns
    if answer.retCode in UNCERTAIN_CODES or status >= 500:
        raise UncertainError(f"{answer.retCode} {answer.retMsg}", written_ns)
    raise RefusedError(answer.retCode, answer.retMsg, written_ns)


def explain(error: RefusedError | UncertainError, where: str) -> QuietcoreError:
    """Return what a user can mend about an error met while starting."""
    code = error.code if isinstance(error, RefusedError) else 0
    if code in CREDENTIAL_CODES:
        return QuietcoreError(
            "venue refuses the key", where=where, found=str(error), remedy=CREDENTIAL_CODES[code]
        )
    if code == 10002:
        remedy = "synchronise this host's clock (chrony)"
        return QuietcoreError("venue refuses the time", where=where, found=str(error), remedy=remedy)
    return QuietcoreError(
        "venue does not answer as expected",
        where=where,
        found=str(error),
        remedy="check venue.rest and the network; start the simulator where that is meant",
        code=ExitCode.UNKNOWN,
    )
