"""HTTP that knows when a request's bytes had been handed to the socket.

uvloop gathers writes and sends them at the end of a round of its loop, unless a transport's write buffer is
full. With a limit of 0 every write goes to the socket at once, so the time after `write` returns is the time
of sending (under TLS: of handing over to the encryption, which the same call then flushes).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

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


class PinnedResolver(AbstractResolver):
    """Resolves hosts to the addresses that ``pins`` has for them now, others as the system does."""

    def __init__(self, pins: Mapping[str, str]) -> None:
        self._pins = pins
        self._system: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where to connect to."""
        address = self._pins.get(host)
        if address is None:
            if self._system is None:
                self._system = aiohttp.ThreadedResolver()
            return await self._system.resolve(host, port, family)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = ResolveResult(
            hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
        )
        return [found]

    async def close(self) -> None:
        """Close the system's."""
        if self._system is not None:
            await self._system.close()


def buffered_socket(receive: int, send: int) -> Callable[[Any], socket.socket]:
    """Return a maker of sockets with buffers of so many bytes: set before they connect, so that TCP's window fits."""

    def make(info: Any) -> socket.socket:
        made = socket.socket(*info[:3])
        for option, size in ((socket.SO_RCVBUF, receive), (socket.SO_SNDBUF, send)):
            if size:
                made.setsockopt(socket.SOL_SOCKET, option, size)
        return made

    return make


class SocketState(NamedTuple):
    """What the kernel says of a connected socket; buffers in bytes, as it counts them: twice what was asked for."""

    peer: str
    nodelay: bool
    receive_buffer: int
    send_buffer: int


def socket_state(transport: Any) -> SocketState | None:
    """Read a transport's socket options back; None where it has no socket any more."""
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None:
        return None
    try:
        return SocketState(
            found.getpeername()[0],
            bool(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
            found.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
            found.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
        )
    except OSError:
        return None


def connector(
    ca_file: str,
    pins: Mapping[str, str] | None = None,
    *,
    reuse: bool = True,
    receive_buffer: int = 0,
    send_buffer: int = 0,
) -> aiohttp.TCPConnector:
    """Return a connector with TLS, pinned addresses, and buffers where sizes are given; aiohttp sets TCP_NODELAY.

    ``reuse``: connections are kept for further requests. They are kept by host, whatever its pin is by then: streams,
    which connect anew to go elsewhere, use none again, not even that of a refused handshake.
    """
    context = tls_context(ca_file)
    buffers = receive_buffer or send_buffer
    return aiohttp.TCPConnector(
        ssl=True if context is None else context,
        limit=16,
        keepalive_timeout=300.0 if reuse else None,
        force_close=not reuse,
        # Pins may change at any time; without any, the system's answers are kept for five minutes.
        use_dns_cache=pins is None,
        ttl_dns_cache=300,
        resolver=None if pins is None else PinnedResolver(pins),
        socket_factory=buffered_socket(receive_buffer, send_buffer) if buffers else None,
    )


def open_session(
    ca_file: str, timeout: float, pins: Mapping[str, str] | None = None
) -> aiohttp.ClientSession:
    """Return a session with kept connections, without compression; aiohttp sets TCP_NODELAY itself."""
    return aiohttp.ClientSession(
        connector=connector(ca_file, pins),
        request_class=StampingRequest,
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"Accept-Encoding": "identity", "User-Agent": "quietcore"},
        auto_decompress=False,
    )
