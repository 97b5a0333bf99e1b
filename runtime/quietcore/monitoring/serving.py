"""What the exporter and the page share as servers: where they listen, whom they answer, how they begin and end."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from quietcore import loop_errors, stop_signals
from quietcore.errors import QuietcoreError
from quietcore.execution.process import notify

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MOST_BYTES = 1024  # of a request's body; nobody has a reason to send one
CLOSE_SECONDS = 1.0
# Tasks without which the server is of no use: it ends when one does.
BACKGROUND = web.AppKey("background", list[asyncio.Task[None]])


def listen_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` (IPv6 in brackets); raise QuietcoreError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise QuietcoreError(
            "not an address to listen on",
            where="--listen",
            found=repr(text),
            expected="HOST:PORT, such as 127.0.0.1:9420",
        )
    return host, int(port)


def only_known_hosts(own: str) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return a middleware that answers only who asked for an address, for localhost, or for ``own``.

    A web page elsewhere can let its own name lead to the loopback address, and would be served as if it were us.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.url.host or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if host not in ("localhost", own):
                raise web.HTTPForbidden(text="ask by address, or by the name that --listen gives\n") from None
        return await handler(request)

    return check


async def serve(application: web.Application, host: str, port: int, what: str) -> None:
    """Listen until SIGTERM or SIGINT; raise QuietcoreError where that address cannot be had.

    ``what`` is said on standard error with the address, once it listens; READY=1 goes to the service manager.
    """
    stop = asyncio.Event()
    loop_errors.tell(asyncio.get_running_loop(), lambda line: print(line, file=sys.stderr, flush=True))
    with stop_signals.heard(stop.set):
        await _serve_until(stop, application, host, port, what)


async def _serve_until(
    stop: asyncio.Event, application: web.Application, host: str, port: int, what: str
) -> None:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise QuietcoreError(
                "cannot listen",
                where=f"{host}:{port}",
                found=error.strerror,
                remedy="end what listens there, or choose another address with --listen",
            ) from error
        name, number = runner.addresses[0][:2]
        shown = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"
        print(f"{what} http://{shown}", file=sys.stderr, flush=True)
        notify("READY=1")
        background = application.get(BACKGROUND, [])
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, *background), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in background:
            if task.done():
                task.result()  # raises what ended it
    finally:
        notify("STOPPING=1")
        await runner.cleanup()
