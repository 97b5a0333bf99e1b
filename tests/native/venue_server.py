"""A small exchange inside the test: instruments, snapshots and streams that do exactly what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

Result = TypeVar("Result")
MakeServer = Callable[..., "VenueServer"]


def certificate(folder: Path, host: str = "localhost") -> tuple[Path, Path]:
    """Make a self-signed certificate for `host`; return certificate and key."""
    cert, key = folder / f"{host}.pem", folder / f"{host}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


class VenueServer:
    """Serves on a thread of its own; every method may be called from the test."""

    def __init__(self, symbols: list[str], tls: tuple[Path, Path] | None = None) -> None:
        self.symbols = symbols
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.snapshot_failures = 0
        self.confirm = True
        self.refused_topics: set[str] = set()
        self.ticks: dict[str, str] = {}  # tick sizes other than 0.10
        self.mute = False  # neither pongs nor answers
        self.steps: dict[str, Any] = {}  # changes of an instrument's row, by symbol
        self.intercept: Callable[[str], web.Response | None] | None = (
            None  # by path and query, as it was sent
        )
        self.asked: list[tuple[float, str]] = []  # when, and what, streams too
        self.on_subscribe: Callable[[list[str]], list[dict[str, Any]]] | None = None
        self.refusal = ""
        self.received: list[str] = []
        self.targets: list[str] = []
        self.requests: list[str] = []
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._tls = tls
        self.port = 0
        self._runner: web.AppRunner | None = None
        self.listen()

    # from the test ------------------------------------------------------------------------------------------
    def listen(self) -> None:
        """Listen, on the same port again after `stop_listening`."""
        self._call(self._listen())

    def stop_listening(self) -> None:
        """Close every connection and the port."""
        self._call(self._stop())

    def close(self) -> None:
        """End the thread."""
        self.stop_listening()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
        gc.collect()  # what asyncio left of this server is complained about in this test, not in a later one

    def send(self, *messages: str | dict[str, Any]) -> None:
        """Send to every stream, in order."""
        self._call(self._send([m if isinstance(m, str) else json.dumps(m) for m in messages]))

    def ping(self, payload: bytes) -> None:
        """Send a WebSocket ping to every stream."""
        self._call(self._ping(payload))

    def hang_up(self) -> None:
        """Close every stream; the port stays open."""
        self._call(self._hang_up())

    @property
    def clients(self) -> int:
        """Streams now open."""
        return len(self._sockets)

    def addresses(self, host: str = "127.0.0.1") -> list[str]:
        """The feed handler's options for this server."""
        s = "s" if self._tls else ""
        return ["--websocket", f"ws{s}://{host}:{self.port}", "--rest", f"http{s}://{host}:{self.port}"]

    # on the thread ------------------------------------------------------------------------------------------
    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=20)

    async def _listen(self) -> None:
        application = web.Application(middlewares=[self._first_look])
        application.router.add_get("/v5/market/instruments-info", self._bybit_instruments)
        for api in ("/fapi/v1", "/api/v3"):
            application.router.add_get(f"{api}/exchangeInfo", self._binance_instruments)
            application.router.add_get(f"{api}/depth", self._binance_depth)
        for product in ("linear", "inverse", "spot"):
            application.router.add_get(f"/v5/public/{product}", self._stream)
        application.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._hang_up()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _hang_up(self) -> None:
        for socket in list(self._sockets):
            await socket.close()

    async def _send(self, messages: list[str]) -> None:
        for message in messages:
            for socket in list(self._sockets):
                with contextlib.suppress(ConnectionError):  # it is just being closed
                    await socket.send_str(message)

    async def _ping(self, payload: bytes) -> None:
        for socket in list(self._sockets):
            await socket.ping(payload)

    @web.middleware
    async def _first_look(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append((time.monotonic(), request.raw_path))
        answer = self.intercept(request.raw_path) if self.intercept else None
        return answer if answer is not None else await handler(request)

    async def _bybit_instruments(self, request: web.Request) -> web.Response:
        """Half of them a page, so that the cursor is needed."""
        self.requests.append(request.path_qs)
        at = int(request.query.get("cursor") or 0)
        page = max(1, len(self.symbols) // 2)
        step = "basePrecision" if request.query["category"] == "spot" else "qtyStep"
        rows = [
            {
                "symbol": symbol,
                "status": "Trading",
                "priceFilter": {"tickSize": self.ticks.get(symbol, "0.10")},
                "lotSizeFilter": {step: "0.001"},
                **self.steps.get(symbol, {}),
            }
            for symbol in self.symbols[at : at + page]
        ]
        cursor = str(at + page) if at + page < len(self.symbols) else ""
        return web.json_response({"retCode": 0, "result": {"list": rows, "nextPageCursor": cursor}})

    async def _binance_instruments(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001"},
        ]
        rows = [
            {"symbol": symbol, "status": "TRADING", "filters": filters, **self.steps.get(symbol, {})}
            for symbol in self.symbols
        ]
        return web.json_response({"symbols": rows})

    async def _binance_depth(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        if self.snapshot_failures:
            self.snapshot_failures -= 1
            return web.json_response({"code": -1003, "msg": "Too many requests"}, status=429)
        return web.json_response(self.snapshots[request.query["symbol"]])

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        self.targets.append(request.path_qs)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type == WSMsgType.PONG:
                    self.received.append(f"pong {bytes(message.data).decode()}")
                elif message.type == WSMsgType.PING:
                    if not self.mute:
                        await socket.pong(message.data)
                elif message.type == WSMsgType.TEXT:
                    self.received.append(message.data)
                    await self._answer(socket, json.loads(message.data))
        finally:
            self._sockets.discard(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, request: dict[str, Any]) -> None:
        if request.get("op") != "subscribe" or not self.confirm or self.mute:
            return
        bad = self.refused_topics.intersection(request["args"])
        refusal = self.refusal or (f"error:handler not found,topic:{min(bad)}" if bad else "")
        answer = {"success": not refusal, "ret_msg": refusal, "op": "subscribe"}
        await socket.send_json({**answer, "req_id": request.get("req_id", "")})
        if self.on_subscribe and not refusal:
            for message in self.on_subscribe(request["args"]):
                await socket.send_json(message)
