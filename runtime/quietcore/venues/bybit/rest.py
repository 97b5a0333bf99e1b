"""Bybit v5 REST: what a request's answer means, and above all what is not known.

A request that timed out, lost its connection, or met a failure of the server is uncertain. A code that refuses is
certain: nothing happened (`codes`). Code 10014 and 110072 (duplicate request, duplicate link id) tell that an earlier
copy did arrive; nothing here ever sends one, so they too are asked about. What a host wants no request for is not sent
to it until then, by anybody here (`pauses`): that is a refusal too, of ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec
import yarl

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues import wire
from quietcore.venues.bybit import codes, signing
from quietcore.venues.bybit.hosts import TIME_PATH
from quietcore.venues.bybit.pauses import QUESTIONS, Pauses
from quietcore.venues.interface import (
    Credentials,
    Endpoints,
    Nature,
    RefusedError,
    Trouble,
    UncertainError,
)

TIMEOUT_SECONDS = 3.0
DRAIN_SECONDS = TIMEOUT_SECONDS + 1.0
NOT_SENT = -1  # no code of the venue's: nothing was sent
KEY_CODES = frozenset({-2015, 10003, 10004, 10005, 10007, 10010, 10029, 33004, 401})
CLOCK_CODES = frozenset({10002})


class Answer(msgspec.Struct):
    """The envelope of every answer."""

    retCode: int  # noqa: N815 -- the venue's spelling
    retMsg: str | None = ""  # noqa: N815
    result: Any = None
    retExtInfo: Any = None  # noqa: N815


class Answered(msgspec.Struct):
    """When: in the envelope of answers that refuse, too."""

    time: int = 0


DECODER = msgspec.json.Decoder(Answer)
TIME_DECODER = msgspec.json.Decoder(Answered)


class RateLimit(NamedTuple):
    """What the venue last said of one path: ``remaining`` of ``limit`` requests, renewed at ``reset_ms`` (UTC)."""

    limit: int
    remaining: int
    reset_ms: int


def rate_limit(headers: object) -> RateLimit | None:
    """Return the rate limit of an answer's headers, None where they hold none."""
    if not isinstance(headers, Mapping):
        return None
    try:
        return RateLimit(
            int(headers["X-Bapi-Limit"]),
            int(headers["X-Bapi-Limit-Status"]),
            int(headers.get("X-Bapi-Limit-Reset-Timestamp") or 0),
        )
    except (KeyError, ValueError, TypeError):
        return None


class BybitRest:
    """Signed requests over one kept session. ``pauses``: what the hosts have asked for, shared by all who ask them."""

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials,
        pins: Mapping[str, str] | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.pauses = Pauses() if pauses is None else pauses
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
        fresh = BybitRest(Endpoints(url, "", self._ca), self._credentials, self._pins, self.pauses)
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
        answer = await self._ask(path, query, signed=signed)
        return answer.result

    async def post(self, path: str, body: dict[str, Any]) -> tuple[Any, int]:
        """Return the result of a POST and when it was written to the socket, UTC ns."""
        answer, written_ns = await self._post(path, body)
        return answer.result, written_ns

    async def _ask(self, path: str, query: Mapping[str, str], *, signed: bool) -> Answer:
        text = signing.query_text(query)
        answer, _ = await self._request("GET", path, text, None, signed=signed)
        return answer

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[Answer, int]:
        text = msgspec.json.encode(body).decode()
        return await self._request("POST", path, text, text.encode(), signed=True)

    async def _request(
        self, method: str, path: str, payload: str, body: bytes | None, *, signed: bool
    ) -> tuple[Answer, int]:
        base = self._base
        bucket = path if body is not None else QUESTIONS
        self._obey_pause(base, bucket)
        # As it was signed: an address that is parsed again would lose its escapes.
        address = f"{base}{path}?{payload}" if body is None and payload else base + path
        url = yarl.URL(address, encoded=True)
        now_ms = time.time_ns() // 1_000_000 + self.clock_offset_ms
        headers = signing.headers(self._credentials, now_ms, payload) if signed else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        stamp = wire.Stamp()
        token = wire.STAMP.set(stamp)
        session = self.session
        self._in_flight[session] = self._in_flight.get(session, 0) + 1
        try:
            # No redirect is followed: it would send the key elsewhere, and an order a second time.
            async with session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
                status, received = response.status, response.headers
                if (limit := rate_limit(received)) is not None:
                    self.limits[path] = limit
        except TimeoutError as error:
            raise UncertainError(f"no answer within {TIMEOUT_SECONDS:g} s", stamp.written_ns) from error
        except aiohttp.ClientConnectorError as error:
            # No connection was made, so nothing was sent.
            text = f"no connection: {error}"
            raise RefusedError(NOT_SENT, text, 0, codes.trouble(text, codes.NO_CONNECTION)) from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise UncertainError(f"connection lost: {error!r}", stamp.written_ns) from error
        finally:
            wire.STAMP.reset(token)
            if session in self._in_flight:
                self._in_flight[session] -= 1
        try:
            answer = read_answer(status, content, stamp.written_ns)
        except (RefusedError, UncertainError) as error:
            code = error.code if isinstance(error, RefusedError) else 0
            wait = self.pauses.note(
                base,
                bucket,
                status=status,
                code=code,
                headers=received,
                why=error.trouble.found,
                answered_ms=answered_ms(content),
            )
            error.trouble = error.trouble._replace(wait=wait)
            raise
        self.pauses.answered(base)
        return answer, stamp.written_ns

    def _obey_pause(self, base: str, bucket: str) -> None:
        """Refuse what the host wants no request for now."""
        seconds, why = self.pauses.left(base, bucket)
        if seconds > 0:
            raise RefusedError(NOT_SENT, f"not sent: {why}", 0, paused(seconds, why))


def paused(seconds: float, why: str) -> Trouble:
    """Return why a request was not sent: the venue has asked for a pause."""
    meaning = f"the venue wants no request for another {seconds:.1f} s"
    return Trouble(why, meaning, Nature.PASSING, codes.LATER, seconds)


def answered_ms(content: bytes) -> int:
    """Return the venue's clock in an answer, UTC ms; 0 where it does not tell."""
    try:
        return TIME_DECODER.decode(content).time
    except msgspec.DecodeError:
        return 0


def judge(status: int, content: bytes, written_ns: int) -> tuple[Any, int]:
    """Return an answer's result, or raise what it means for the request."""
    return read_answer(status, content, written_ns).result, written_ns


def read_answer(status: int, content: bytes, written_ns: int) -> Answer:
    """Return the envelope of an answer that is a success; raises RefusedError or UncertainError with its trouble.

    An answer is a JSON object with an integer `retCode`, and a success where that is 0. What is none (a web page, an
    empty body) is judged by its HTTP status, and quoted.
    """
    try:
        answer = DECODER.decode(content)
    except msgspec.DecodeError as error:
        text = codes.plain_text(content[:65536].decode(errors="replace"))
        found = f"HTTP {status}" + (f": {text}" if text else " without a readable answer")
        if not (300 <= status < 500):
            found = f"HTTP {status} without a readable answer" + (f": {text}" if text else "")
        meaning = codes.meaning_of_status(status)
        trouble = codes.trouble(found, meaning)
        if meaning.uncertain:
            raise UncertainError(found, written_ns, trouble) from error
        # Refused before it reached the service.
        raise RefusedError(status, found, written_ns, trouble) from error
    if answer.retCode == 0 and status < 300:
        return answer
    meaning = codes.meaning_of(answer.retCode) if answer.retCode else codes.meaning_of_status(status)
    if status >= 500:
        meaning = meaning._replace(uncertain=True)
    raise codes.failure(answer.retCode or status, answer.retMsg or "", meaning, written_ns)


def explain(error: RefusedError | UncertainError, where: str) -> QuietcoreError:
    """Return what a user can mend about an error met while starting."""
    trouble = error.trouble
    named = trouble.nature is Nature.ACCESS
    what = "venue refuses access" if named else "venue does not answer as expected"
    code = error.code if isinstance(error, RefusedError) else 0
    cause = error.__cause__
    if isinstance(cause, RefusedError):
        code = cause.code
    if code in KEY_CODES:
        what = "venue refuses the key"
    elif code in CLOCK_CODES:
        what = "venue refuses the time"
    meaning = f" ({trouble.meaning})" if trouble.meaning else ""
    return QuietcoreError(
        what,
        where=where,
        found=f"{trouble.found}{meaning}",
        remedy=trouble.remedy or "check venue.rest and the network; start the simulator where that is meant",
        code=ExitCode.USAGE if named else ExitCode.UNKNOWN,
    )
