"""A headless Chromium, driven over its own debugging protocol: one page, its console, pictures of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 60.0
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--disable-dev-shm-usage"),
)


class Page:
    """One tab. ``complaints`` are errors and warnings of its console, and exceptions; ``asked`` every address."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._session = ""
        self._reading = asyncio.create_task(self._read())

    async def begin(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            await self.call(f"{domain}.enable")

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def call(self, method: str, **parameters: Any) -> Any:
        number = len(self._answers) + 1
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json({**message, **({"sessionId": self._session} if self._session else {})})
        async with asyncio.timeout(30):
            return await self._answers[number]

    async def _read(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                answer = self._answers[event["id"]]
                if "error" in event:
                    answer.set_exception(RuntimeError(event["error"]))
                elif not answer.done():
                    answer.set_result(event["result"])
                continue
            self._note(event["method"], event["params"])

    def _note(self, method: str, found: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(found["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(found["args"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.complaints.append(found["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(found["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.asked.append(found["url"])

    async def open(self, address: str) -> None:
        await self.call("Page.navigate", url=address)

    async def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str, seconds: float = 30.0) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := await self.ask(expression)):  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.05)
        return found

    async def look(self, width: int, height: int, scheme: str) -> None:
        """Give the window a size and the user a liking."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """Return the window as a PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])


@asynccontextmanager
async def browser(program: Path) -> AsyncIterator[Page]:
    """Run a browser with a profile of its own; yield its one page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(program),
            *OPTIONS,
            f"--user-data-dir={profile}",
            "about:blank",
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            address = None
            async with asyncio.timeout(START_SECONDS):
                while address is None:
                    line = await process.stderr.readline()
                    assert line, "the browser ended"
                    address = re.search(rb"DevTools listening on (ws://\S+)", line)
            drain = asyncio.create_task(process.stderr.read())
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address[1].decode(), max_msg_size=0) as socket,
            ):
                page = Page(socket)
                await page.begin()
                yield page
                await page.end()
            drain.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
