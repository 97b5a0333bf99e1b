"""A Bybit-like venue at several loopback addresses behind one name, each with a delay that a test sets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import WSMsgType, web

from quietcore.venues.interface import Credentials

HOST = "venue.test"
KEY, SECRET = "test-key", b"test-secret"
CREDENTIALS = Credentials(KEY, SECRET)
ADDRESSES = ("127.0.0.2", "127.0.0.3")
ORDER = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "1"}


def run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def certificates(folder: Path, host: str = HOST) -> tuple[Path, ssl.SSLContext]:
    """Return the authority's file and a server's context."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
        *("-keyout", str(key), "-out", str(cert)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return cert, context


class Site:
    """One address."""

    def __init__(self, address: str, delay: float) -> None:
        self.address, self.delay = address, delay
        self.broken = False
        self.sockets: list[web.WebSocketResponse] = []
        self.subscribed: list[list[str]] = []
        self.handshakes = 0
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, Any], dict[str, str]]] = []  # next ones of REST, else OK
        self.trades: list[dict[str, Any]] = []
        self.silent = False  # takes trade requests and says nothing
        self.extensions: list[str] = []
        self.sequence = 0

    async def publish(self, topic: str) -> None:
        """Send one message of a topic to all."""
        self.sequence += 1
        text = json.dumps({"topic": topic, "type": "delta", "data": {"n": self.sequence, "at": self.address}})
        for socket in list(self.sockets):
            if not socket.closed:
                await socket.send_str(text)


SITE = web.AppKey("site", Site)


class DelayedVenue:
    """Async context manager."""

    def __init__(
        self, folder: Path, addresses: Iterable[str], delay: float = 0.0, *, tls: bool = True
    ) -> None:
        self.ca, self._context = certificates(folder)
        self.tls = tls
        self.sites = {address: Site(address, delay) for address in addresses}
        self.port = 0
        self.resolved = list(self.sites)
        self._runners: list[web.AppRunner] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        """Stand in for the resolver."""
        if host != HOST:
            raise OSError(f"{host}: name not known")
        return self.resolved

    async def __aenter__(self) -> DelayedVenue:
        for site in self.sites.values():
            app = web.Application()
            app[SITE] = site
            app.router.add_get("/v5/public/linear", self._public)
            app.router.add_get("/v5/private", self._private)
            app.router.add_get("/v5/trade", self._trade)
            app.router.add_route("*", "/v5/{rest:.*}", self._rest)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            context = self._context if self.tls else None
            listener = web.TCPSite(runner, site.address, self.port, ssl_context=context)
            await listener.start()
            assert listener._server is not None
            self.port = listener._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
            self._runners.append(runner)
        return self

    async def __aexit__(self, *_: object) -> None:
        for site in self.sites.values():
            for socket in site.sockets:
                await socket.close()
        for runner in self._runners:
            await runner.cleanup()

    def url(self, scheme: str, host: str = HOST) -> str:
        """Return ws or http, with the s of TLS."""
        return f"{scheme}{'s' if self.tls else ''}://{host}:{self.port}"

    async def _opened(self, request: web.Request) -> tuple[Site, web.WebSocketResponse]:
        site: Site = request.app[SITE]
        site.handshakes += 1
        site.extensions.append(request.headers.get("Sec-WebSocket-Extensions", ""))
        await asyncio.sleep(site.delay)
        if site.broken:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return site, socket

    async def _public(self, request: web.Request) -> web.WebSocketResponse:
        site, socket = await self._opened(request)
        site.sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            await asyncio.sleep(site.delay)
            order = json.loads(message.data)
            if order["op"] == "ping":
                await socket.send_json({"success": True, "ret_msg": "pong", "op": "ping"})
            elif order["op"] in ("subscribe", "unsubscribe"):
                site.subscribed.append(order["args"])
                good = not any("BAD" in topic for topic in order["args"])
                answer = {"success": good, "ret_msg": "" if good else "Invalid symbol", "op": order["op"]}
                await socket.send_json({**answer, "req_id": order.get("req_id", "")})
        site.sockets.remove(socket)
        return socket

    async def _private(self, request: web.Request) -> web.WebSocketResponse:
        site, socket = await self._opened(request)
        site.sockets.append(socket)
        async for message in socket:
            order = json.loads(message.data)
            good = order["op"] != "auth" or signed(order["args"])
            if order["op"] == "subscribe":
                site.subscribed.append(order["args"])
            await socket.send_json(
                {"success": good, "op": order["op"], "ret_msg": "", "req_id": order.get("req_id", "")}
            )
        site.sockets.remove(socket)
        return socket

    async def _trade(self, request: web.Request) -> web.WebSocketResponse:
        site, socket = await self._opened(request)
        site.sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            order = json.loads(message.data)
            if order["op"] == "auth":
                code = 0 if signed(order["args"]) else 10004
                await socket.send_json({"retCode": code, "retMsg": "", "op": "auth", "connId": "1"})
                continue
            if order["op"] == "ping":
                await socket.send_json({"retCode": 0, "op": "pong"})
                continue
            site.trades.append(order)
            if site.silent:
                continue
            await asyncio.sleep(site.delay)
            link = order["args"][0].get("orderLinkId", "")
            code = 110007 if link == "poor" else 0
            await socket.send_json(
                {
                    "reqId": order["reqId"],
                    "retCode": code,
                    "retMsg": "ab not enough" if code else "OK",
                    "op": order["op"],
                    "data": {} if code else {"orderId": f"id-{link}", "orderLinkId": link},
                    "header": {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "Timenow": "1"},
                }
            )
        site.sockets.remove(socket)
        return socket

    async def _rest(self, request: web.Request) -> web.Response:
        site: Site = request.app[SITE]
        body = await request.text()
        payload = body if request.method == "POST" else request.raw_path.partition("?")[2]
        site.requests.append(
            (request.method, request.path, json.loads(body) if body else dict(request.query))
        )
        await asyncio.sleep(site.delay)
        if site.broken:
            raise web.HTTPServiceUnavailable
        if site.answers:
            status, content, headers = site.answers.pop(0)
            return web.json_response(content, status=status, headers=headers)
        if "X-BAPI-SIGN" in request.headers:
            text = "".join(
                request.headers[f"X-BAPI-{name}"] for name in ("TIMESTAMP", "API-KEY", "RECV-WINDOW")
            )
            wanted = hmac.new(SECRET, (text + payload).encode(), hashlib.sha256).hexdigest()
            if wanted != request.headers["X-BAPI-SIGN"]:
                return web.json_response({"retCode": 10004, "retMsg": "error sign!", "result": {}})
        result = (
            {"orderId": f"rest-{json.loads(body).get('orderLinkId', '')}"}
            if body
            else {"timeSecond": str(int(time.time())), "timeNano": str(time.time_ns())}
        )
        headers = {
            "X-Bapi-Limit": "10",
            "X-Bapi-Limit-Status": "7",
            "X-Bapi-Limit-Reset-Timestamp": "1700000000000",
        }
        return web.json_response({"retCode": 0, "retMsg": "OK", "result": result}, headers=headers)


def signed(arguments: list[Any]) -> bool:
    """Return whether the arguments of an ``auth`` are right."""
    key, expires, signature = arguments
    wanted = hmac.new(SECRET, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    return key == KEY and wanted == signature and int(expires) > time.time() * 1000
