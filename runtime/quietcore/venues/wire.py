"""HTTP that knows when a request's bytes had been handed to the socket.

uvloop gathers writes and sends them at the end of a round of its loop, unless a transport's write buffer is
full. With a limit of 0 every write goes to the socket at once, so the time after `write` returns is the time
of sending (under TLS: of handing over to the encryption, which the same call then flushes).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextvars import ContextVar
from typing import Any

import aiohttp

from quietcore.errors import QuietcoreError


class Stamp:
    """The time of the last write made on behalf of one request, UTC ns; 0: none yet."""

    __slots__ = ("written_ns",)

    def __init__(self) -> None:
        self.written_ns = 0


# aiohttp writes a body in a task of its own; that task inherits the context of the request.
STAMP: ContextVar[Stamp | None] = ContextVar("stamp", default=None)


class StampingTransport:
    """A transport that notes in the current request's stamp when it wrote."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        """Write and note the time."""
        self._transport.write(data)
        self._note()

    def writelines(self, parts: Any) -> None:
        """Write and note the time."""
        self._transport.writelines(parts)
        self._note()

    def _note(self) -> None:
        stamp = STAMP.get()
        if stamp is not None:
            stamp.written_ns = time.time_ns()


class StampingRequest(aiohttp.ClientRequest):
    """A request whose connection notes when it writes."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Send over ``conn``."""
        protocol = conn.protocol
        if protocol is not None and not isinstance(protocol.transport, StampingTransport):
            protocol.transport = StampingTransport(protocol.transport)
        return await super().send(conn)


def tls_context(ca_file: str) -> ssl.SSLContext | None:
    """Return a context that also trusts ``ca_file``; None: aiohttp's own default."""
    if not ca_file:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise QuietcoreError(
            "certificate authority cannot be loaded",
            where=ca_file,
            found=error.strerror or str(error),
            expected="a PEM file",
            remedy="correct venue.tls_ca",
        ) from error
    return context


def open_session(ca_file: str, timeout: float) -> aiohttp.ClientSession:
    """Return a session with kept connections, without compression; aiohttp sets TCP_NODELAY itself."""
    context = tls_context(ca_file)
    connector = aiohttp.TCPConnector(
        ssl=True if context is None else context, limit=16, keepalive_timeout=300.0, ttl_dns_cache=300
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=StampingRequest,
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"Accept-Encoding": "identity", "User-Agent": "quietcore"},
        auto_decompress=False,
    )
