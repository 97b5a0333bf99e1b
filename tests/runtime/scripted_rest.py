"""A REST server whose answers a test writes, and which checks signatures over the bytes that arrived."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import uvloop
from aiohttp import web

from quietcore.venues.interface import Credentials

KEY, SECRET = "scripted-key", b"scripted-secret"
CREDENTIALS = Credentials(KEY, SECRET)
Answer = tuple[int, Any, dict[str, str]]


class Asked(NamedTuple):
    """One request as it arrived: ``payload`` is the raw query of a GET, the body of a POST."""

    at: float
    method: str
    path: str
    payload: str
    headers: dict[str, str]


def good(result: Any) -> Answer:
    return 200, {"retCode": 0, "retMsg": "OK", "result": result}, {}


def listed(*rows: Any, cursor: str = "") -> Answer:
    return good({"category": "linear", "list": list(rows), "nextPageCursor": cursor})


def refused(code: int, text: str = "no", **headers: str) -> Answer:
    return 200, {"retCode": code, "retMsg": text, "result": {}}, headers


class ScriptedRest:
    """Async context manager. ``script`` answers a request, None for an empty list; a text is sent as a web page."""

    def __init__(self, script: Callable[[Asked], Answer | None] = lambda asked: None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.bad_signatures: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    async def __aenter__(self) -> ScriptedRest:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.text()
        payload = body if request.method == "POST" else request.raw_path.partition("?")[2]
        asked = Asked(time.monotonic(), request.method, request.path, payload, dict(request.headers))
        self.asked.append(asked)
        if "X-BAPI-SIGN" in request.headers:
            names = ("TIMESTAMP", "API-KEY", "RECV-WINDOW")
            text = "".join(request.headers[f"X-BAPI-{name}"] for name in names) + payload
            if hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest() != request.headers["X-BAPI-SIGN"]:
                self.bad_signatures.append(asked)
                return web.json_response({"retCode": 10004, "retMsg": "error sign!", "result": {}})
        status, content, headers = self.script(asked) or listed()
        if isinstance(content, str):
            return web.Response(text=content, status=status, headers=headers, content_type="text/html")
        return web.json_response(content, status=status, headers=headers, dumps=json.dumps)


def run(work: Coroutine[Any, Any, None], seconds: float = 60.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await work

    uvloop.run(bounded())
