"""The page's server: three files, and a WebSocket on which every client gets each look at the host. It takes nothing.

The host is looked at only while somebody watches. A client that does not take a look in time is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from importlib import resources

from aiohttp import WSMsgType, web

from quietcore.histogram import BOUNDS_NS
from quietcore.monitoring import serving
from quietcore.monitoring.snapshot import Observer

MOST_CLIENTS = 16
SEND_SECONDS = 2.0
HEARTBEAT_SECONDS = 20.0
FILES = {"/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css")} | {
    "/page.js": ("page.js", "text/javascript")
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Watchers:
    """The clients, and the one task that looks for all of them."""

    def __init__(self, observer: Observer, interval: float) -> None:
        self._observer, self._interval = observer, interval
        self._clients: dict[web.WebSocketResponse, web.Request] = {}
        self._somebody = asyncio.Event()
        self._constant = {"host": socket.gethostname(), "bounds_ns": BOUNDS_NS}

    async def look(self) -> str:
        """Return one look as JSON."""
        look = await asyncio.to_thread(self._observer.look)
        if look["runtime"] is not None:
            # The strategy's own ladders, of every symbol: the page shows the books of the feeds.
            look["runtime"] = {name: part for name, part in look["runtime"].items() if name != "symbols"}
        return json.dumps({**self._constant, **look})

    async def watch(self) -> None:
        """Look and tell, again and again, while there are clients."""
        while True:
            await self._somebody.wait()
            text = await self.look()
            await asyncio.gather(*(self._tell(client, text) for client in tuple(self._clients)))
            await asyncio.sleep(self._interval)

    async def _tell(self, client: web.WebSocketResponse, text: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await client.send_str(text)
        except (TimeoutError, ConnectionError, RuntimeError):
            # A polite farewell would wait behind what it does not take.
            transport = self._clients[client].transport
            self._leave(client)
            if transport is not None:
                transport.abort()

    def _leave(self, client: web.WebSocketResponse) -> None:
        self._clients.pop(client, None)
        if not self._clients:
            self._somebody.clear()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer one client until it goes."""
        # A page of another origin may open a WebSocket to us and read it; its browser says where it is from.
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(text="only for this server's own page\n")
        if len(self._clients) >= MOST_CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_CLIENTS} watch already\n")
        client = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, max_msg_size=serving.MOST_BYTES, compress=False
        )
        await client.prepare(request)
        self._clients[client] = request
        self._somebody.set()
        try:
            async for message in client:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break  # nobody has anything to say here
        finally:
            self._leave(client)
        return client

    async def close(self) -> None:
        """Say good-bye to all."""
        clients = tuple(self._clients)
        await asyncio.gather(*(client.close(code=1001) for client in clients), return_exceptions=True)


def application(observer: Observer, host: str, interval: float) -> web.Application:
    """Return the server's application; ``host`` is the name that it listens on, ``interval`` seconds between looks."""
    watchers = Watchers(observer, interval)
    folder = resources.files("quietcore.monitoring") / "page"
    texts = {path: (folder / name).read_text(encoding="utf-8") for path, (name, _) in FILES.items()}

    async def file(request: web.Request) -> web.Response:
        return web.Response(
            text=texts[request.path], content_type=FILES[request.path][1], charset="utf-8", headers=HEADERS
        )

    async def state(request: web.Request) -> web.Response:
        return web.Response(text=await watchers.look(), content_type="application/json", headers=HEADERS)

    async def watching(application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(watchers.watch())
        application[serving.BACKGROUND].append(task)
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def closing(application: web.Application) -> None:
        await watchers.close()

    made = web.Application(middlewares=[serving.only_known_hosts(host)], client_max_size=serving.MOST_BYTES)
    made.add_routes([web.get(path, file) for path in FILES])
    made.add_routes([web.get("/live", watchers.serve), web.get("/state.json", state)])
    made[serving.BACKGROUND] = []
    made.cleanup_ctx.append(watching)
    made.on_shutdown.append(closing)
    return made
