"""One listener for everything: routes, TLS, begin and end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import WSCloseCode, web

from quietcore.errors import QuietcoreError
from quietcore.sim import binance_routes, bybit_rest, bybit_stream, bybit_trade, control
from quietcore.sim.order_entry import OPERATIONS
from quietcore.sim.parameters import QUERIES
from quietcore.sim.refusal import HttpRefusal, Reject
from quietcore.sim.refusals import PAGE
from quietcore.sim.venue import VENUE, Venue, drive

BINANCE = ("/fapi/", "/api/", "/dapi/", "/eapi/")


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8760

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse HOST:PORT or [V6]:PORT; raise QuietcoreError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535 or not host:
            raise QuietcoreError("not an address", where="--listen", found=text, expected="HOST:PORT")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def bound_socket(address: Address) -> socket.socket:
    """Return a socket bound to `address`; raise QuietcoreError (exit 2) where it cannot be."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        # Listening here, not later: a second simulator must be refused before this one says that it is ready.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise QuietcoreError(
            "cannot listen",
            where=str(address),
            found=error.strerror or error,
            remedy="end the program that holds the port, or choose another one with --listen HOST:PORT",
        ) from error
    listener.setblocking(False)
    return listener


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return a server context of a certificate chain and its key; None without both; raise QuietcoreError."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise QuietcoreError("TLS needs both files", expected="--tls-cert FILE --tls-key FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise QuietcoreError(
            "cannot use the TLS certificate",
            where=f"{certificate}, {key}",
            found=error,
            expected="a PEM certificate chain and its private key",
        ) from error
    return context


@web.middleware
async def gate(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse, before anything else, an address that asks too often, and everybody while a restart goes on.

    Refusals on command come next; a path that is not served is answered as its venue does, and counted.
    """
    venue = request.app[VENUE]
    if request.path.startswith("/sim/"):
        return await handler(request)
    if venue.away:
        return web.Response(status=503, text="restarting\n")
    address = request.remote or ""
    if not venue.address_limits.allows(address):
        venue.statistics.refusal("HTTP 403")
        return web.Response(
            status=403, text=PAGE.format(403, "access too frequent"), content_type="text/html"
        )
    try:
        venue.refusals.check_visitor(
            address,
            query=request.method == "GET",
            handshake=request.headers.get("Upgrade", "").lower() == "websocket",
        )
        if request.method == "GET" and request.can_read_body and await request.read():
            # The venue's front refuses a GET with a body, an empty JSON object included.
            raise HttpRefusal(403, PAGE.format(403, "Forbidden"), "text/html", {})
        return await handler(request)
    except HttpRefusal as refusal:
        venue.statistics.refusal(f"HTTP {refusal.status}")
        return web.Response(
            status=refusal.status,
            text=refusal.body,
            content_type=refusal.content_type,
            headers=refusal.headers,
        )
    except Reject as reject:
        return bybit_rest.refusal(venue, reject)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        venue.statistics.missing_route(request.method, request.path)
        if request.path.startswith("/v5/"):
            return bybit_rest.missing(venue, request)
        if request.path.startswith(BINANCE):
            return binance_routes.missing(request)
        return web.Response(status=404, text="404: no such path\n")


def application(venue: Venue) -> web.Application:
    """Return the application with every path of both venues and the control paths."""
    app = web.Application(middlewares=[gate])
    app[VENUE] = venue
    app.add_routes(
        [
            web.get("/v5/public/linear", bybit_stream.public),
            web.get("/v5/private", bybit_stream.private),
            web.get("/v5/market/time", bybit_rest.server_time),
            web.get(bybit_rest.INSTRUMENTS, bybit_rest.instruments_info),
            web.get(bybit_rest.TICKERS, bybit_rest.tickers),
            web.get("/v5/trade", bybit_trade.trade),
            *(
                web.post(f"/v5/order/{operation}", bybit_rest.order_operation(operation))
                for operation in OPERATIONS
            ),
            web.post("/v5/order/disconnected-cancel-all", bybit_rest.disconnected_cancel_all),
            web.post("/v5/position/switch-mode", bybit_rest.switch_mode),
            *(web.get(path, bybit_rest.signed_query) for path in QUERIES),
            *(web.get(f"{prefix}/stream", binance_routes.stream) for prefix in ("", "/public", "/market")),
            web.get("/fapi/v1/depth", binance_routes.depth),
            web.get("/fapi/v1/exchangeInfo", binance_routes.exchange_info),
            web.get("/fapi/v1/time", binance_routes.server_time),
            web.post("/sim/start", control.start),
            web.get("/sim/state", control.state),
            web.post("/sim/faults", control.faults),
            web.post("/sim/restart", control.restart),
            web.post("/sim/executions", control.executions),
            web.post("/sim/position-mode", control.position_mode),
        ]
    )
    app.on_shutdown.append(_close_sockets)
    return app


async def _close_sockets(app: web.Application) -> None:
    venue = app[VENUE]
    for client in [*venue.hub.clients, *venue.guests.clients]:
        with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
            await asyncio.wait_for(
                client.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the simulator ends"), 0.5
            )
        client.abort()


@dataclass
class Running:
    """A simulator that listens. `replay` ends when the source does; it fails where a recording breaks off."""

    venue: Venue
    address: Address
    scheme: str
    replay: asyncio.Task[None]

    @property
    def http(self) -> str:
        """Base URL of REST."""
        return f"http{self.scheme}://{self.address}"

    @property
    def websocket(self) -> str:
        """Base URL of the streams."""
        return f"ws{self.scheme}://{self.address}"


@contextlib.asynccontextmanager
async def running(
    venue: Venue, address: Address, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Running]:
    """Listen, replay, and clean up at the end; raise QuietcoreError where the port is taken."""
    listener = bound_socket(address)
    runner = web.AppRunner(
        application(venue),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1.0,
        handler_cancellation=True,
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        host, port = listener.getsockname()[:2]
        replay = asyncio.create_task(venue.replay.run())
        tasks = [
            replay,
            *(asyncio.create_task(account.run()) for account in venue.accounts),
            asyncio.create_task(venue.hub.watch_for_stalls()),
            asyncio.create_task(venue.guests.watch_for_stalls()),
            asyncio.create_task(binance_routes.ping_clients(venue)),
            asyncio.create_task(venue.tickers.run()),
        ]
        yield Running(venue, Address(host, port), "s" if tls else "", replay)
    finally:
        await drive([task for task in tasks if not task.done()])
        await runner.cleanup()
        listener.close()
        for account in venue.accounts:
            account.close()
