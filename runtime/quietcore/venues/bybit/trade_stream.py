"""Order entry by WebSocket, `BybitTradeWebSocket`, and `BybitOrderEntry`, which falls back to REST.

A request over the socket is sent once. Where its answer does not come in time, or the connection is lost with it,
nobody knows what became of it: UncertainError, and never a second one. REST takes over only for requests that were
not handed to a socket at all.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.venues.bybit import signing
from quietcore.venues.bybit.pauses import Pauses
from quietcore.venues.bybit.private import LOST, lost_text, note_handshake
from quietcore.venues.bybit.rest import NOT_SENT, TIMEOUT_SECONDS, RateLimit, paused
from quietcore.venues.bybit.trade_link import (
    Answer,
    Dial,
    NetworkDial,
    NotSentError,
    TradeLink,
    wall_ms,
)
from quietcore.venues.interface import Credentials, RefusedError

PATH = "/v5/trade"
OPEN_SECONDS = 10.0
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 0.1, 10.0
REST_PATHS = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
}


class BybitTradeWebSocket:
    """One authenticated connection, connected again whenever it is lost.

    ``dial``: opens the connections, over the network unless given; ``now_ms``: UTC, for what is signed; ``pauses``:
    what the hosts have asked for, shared by all who ask them.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        tls_ca: str = "",
        pins: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        dial: Dial | None = None,
        now_ms: Callable[[], int] = wall_ms,
        pauses: Pauses | None = None,
    ) -> None:
        self._pauses = Pauses() if pauses is None else pauses
        self._base = url.rstrip("/")
        self._credentials = credentials
        self._timeout = timeout
        self._dial: Dial = dial or NetworkDial(tls_ca, pins)
        self._now_ms = now_ms
        self._link: TradeLink | None = None
        self._prefix, self._numbers = secrets.token_hex(6), itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()  # set at each new connection
        self._changing = asyncio.Lock()
        self._problem = ""
        self.limits: dict[str, RateLimit] = {}  # by operation
        self.clock_offset_ms = 0
        self.switches = 0

    @property
    def ready(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None and not self._link.ended.is_set()

    @property
    def problem(self) -> str:
        """Why it is not ready, "" where it is."""
        return "" if self.ready else self._problem or "not connected"

    @property
    def endpoint(self) -> str:
        """Scheme and host in use."""
        return self._base

    # life

    async def connect(self) -> None:
        """Connect and authenticate; raise QuietcoreError where that does not come about. Goes on trying."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_up())
        if self.ready:
            return
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._up.wait()
        except TimeoutError:
            raise QuietcoreError(
                "order entry by WebSocket does not come up",
                where=self._base + PATH,
                found=self._problem or f"nothing within {OPEN_SECONDS:g} s",
                remedy="check venue.order_websocket and the key",
                code=ExitCode.UNKNOWN,
            ) from None

    async def close(self) -> None:
        """Close it; what waits for an answer is uncertain."""
        tasks = [*self._retiring, *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
        self._problem = "closed"
        await self._dial.close()

    # endpoints

    def set_endpoint(self, url: str) -> None:
        """Use ``url`` from the next connection on; the present one stays."""
        self._base = url.rstrip("/")

    async def switch_endpoint(self, url: str) -> float:
        """Go over to ``url``, make before break; return the seconds that it took.

        What was sent before is answered by the old connection, which closes when nothing waits for it any more.
        Where the new one does not come up, nothing changes and QuietcoreError is raised.
        """
        begin = time.perf_counter()
        base = url.rstrip("/")
        async with self._changing:
            if self._task is None:
                self._base = base
                return 0.0
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    link = await self._open(base)
            except LOST as error:
                raise QuietcoreError(
                    "order entry by WebSocket cannot go over",
                    where=base + PATH,
                    found=lost_text(error) if str(error) else f"no answer within {OPEN_SECONDS:g} s",
                    code=ExitCode.UNKNOWN,
                ) from error
            old, self._base = self._link, base
            self._use(link)
            self.switches += 1
        if old is not None:
            task = asyncio.create_task(old.drain(self._timeout))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return time.perf_counter() - begin

    # requests

    async def request(self, operation: str, arguments: dict[str, Any]) -> Answer:
        """Send ``order.create``, ``order.amend`` or ``order.cancel`` once.

        Raises:
            NotSentError: no connection; nothing was sent.
            RefusedError: the venue refused it, for certain, or wants no such request now.
            UncertainError: no answer, or one that tells nothing.
        """
        link = self._link
        if link is None:
            raise NotSentError(self.problem)
        seconds, why = self._pauses.left(link.url, operation)
        if seconds > 0:
            raise RefusedError(NOT_SENT, f"not sent: {why}", 0, paused(seconds, why))
        stamp = str(self._now_ms() + self.clock_offset_ms)
        words = {
            "header": {"X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": str(signing.RECV_WINDOW_MS)},
            "op": operation,
            "args": [arguments],
        }
        return await link.request(f"{self._prefix}-{next(self._numbers)}", words, self._timeout)

    # connections

    async def _open(self, base: str) -> TradeLink:
        try:
            return await TradeLink.open(
                self._dial, base + PATH, self._credentials, self.limits, self._pauses, self._signing_ms
            )
        except LOST as error:
            note_handshake(error, base, PATH, self._pauses)
            raise

    def _signing_ms(self) -> int:
        return self._now_ms() + self.clock_offset_ms

    def _use(self, link: TradeLink) -> None:
        self._link, self._problem = link, ""
        self._up.set()

    async def _keep_up(self) -> None:
        delay = RETRY_FIRST_SECONDS
        while True:
            try:
                async with self._changing:
                    if not self.ready:
                        async with asyncio.timeout(OPEN_SECONDS):
                            self._use(await self._open(self._base))
                delay = RETRY_FIRST_SECONDS
                while (link := self._link) is not None and self.ready:
                    # Another one may have taken its place when it ends.
                    await link.ended.wait()
                self._problem = "" if link is None else link.problem
            except QuietcoreError as error:
                self._problem, delay = str(error), RETRY_MOST_SECONDS
            except LOST as error:
                self._problem = lost_text(error)
            self._up.clear()
            await asyncio.sleep(max(delay, self._pauses.left(self._base, PATH)[0]))
            delay = min(2 * delay, RETRY_MOST_SECONDS)


class Posting(Protocol):
    """What order entry needs of REST."""

    async def post(self, path: str, body: dict[str, Any]) -> tuple[Any, int]:
        """Return the result of a POST, sent once, and when it was written, UTC ns."""


class BybitOrderEntry:
    """Orders by the socket where it is up, else by REST. Both are opened and closed by the caller."""

    def __init__(self, stream: BybitTradeWebSocket, http: Posting, category: str = "linear") -> None:
        self.stream, self.http, self.category = stream, http, category
        self.by_socket = 0  # requests that the socket took
        self.by_rest = 0  # requests that REST took over

    async def place(self, **order: Any) -> dict[str, Any]:
        """Send an order once; it needs an ``orderLinkId``."""
        if not order.get("orderLinkId"):
            raise ValueError("an order without orderLinkId could never be asked for")
        return (await self.send("order.create", order)).data

    async def amend(self, **order: Any) -> dict[str, Any]:
        """Send an amendment once."""
        return (await self.send("order.amend", order)).data

    async def cancel(self, **order: Any) -> dict[str, Any]:
        """Send a cancel once."""
        return (await self.send("order.cancel", order)).data

    async def send(self, operation: str, order: dict[str, Any]) -> Answer:
        """Send one request, by one way. Raises RefusedError or UncertainError."""
        words = {"category": self.category, **order}
        self.by_socket += 1
        try:
            return await self.stream.request(operation, words)
        except NotSentError:
            self.by_socket -= 1
            self.by_rest += 1
        result, written_ns = await self.http.post(REST_PATHS[operation], words)
        return Answer(dict(result or {}), written_ns)
