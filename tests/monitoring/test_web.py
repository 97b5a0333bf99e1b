"""`quietcore web` in a real browser: figures equal the exporter's, a restart is survived, nothing complains."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from tests.monitoring.browser import Page, browser
from tests.monitoring.scene import Scene, fetch, server
from tests.monitoring.test_exporter import parsed
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import Market, Run

from quietcore.monitoring import page_server, serving

FIGURES = """Object.fromEntries([...document.querySelectorAll('[data-metric]')].map(
  (one) => [one.dataset.metric, Number(one.dataset.value)]))"""
TICKS = "Number(document.querySelector('[data-metric^=quietcore_ring_published]').dataset.value)"
CHIPS = "document.getElementById('chips').innerText"
DRAWN = """(() => {
  const drawn = document.getElementById('%s');
  const dots = drawn.getContext('2d').getImageData(0, 0, drawn.width, drawn.height).data;
  return new Set(new Uint32Array(dots.buffer)).size;
})()"""


def exported(address: str) -> dict[str, float]:
    """Return the exporter's samples by the name that the page gives them."""
    samples = parsed(fetch(f"{address}/metrics")[2].decode())
    return {
        name + "{" + ",".join(f"{key}={json.dumps(label)}" for key, label in labels) + "}": value
        for (name, labels), value in samples.items()
    }


def differing(figures: dict[str, float], samples: dict[str, float]) -> dict[str, Any]:
    return {name: (value, samples.get(name)) for name, value in figures.items() if samples.get(name) != value}


async def keep(page: Page, name: str, tmp_path: Path) -> Path:
    """Take a picture; QUIETCORE_SCREENSHOTS names a folder where it is to stay."""
    path = Path(os.environ.get("QUIETCORE_SCREENSHOTS", tmp_path), f"{name}.png")
    picture = await page.picture()
    await asyncio.to_thread(path.write_bytes, picture)
    return path


def ground(picture: Path) -> int:
    """Return how bright a picture's corner is."""
    with Image.open(picture) as image:
        return int(image.convert("L").getpixel((2, image.height // 2)))  # type: ignore[arg-type]


@pytest.mark.timeout(240)
def test_the_page_lives_with_a_real_runtime(
    chromium: Path, make_writer: MakeWriter, feed: str, tmp_path: Path
) -> None:
    writer = make_writer(capacity=4096)
    sources = ["--feed", feed, "--kill-file", str(tmp_path / "kill"), "--audit", str(tmp_path / "none")]
    sources += ["--guard", str(tmp_path / "guard.json"), "--status", str(tmp_path / "runtime.json")]

    async def end(run: Run, page: Page) -> None:
        code, _, errors, _ = await asyncio.to_thread(run.end)
        run.notifications.close()
        assert code == 0, errors
        await page.until(f"{CHIPS}.includes('runtime ended')")

    async def restart(run: Run, page: Page, venue: FakeVenue) -> Run:
        await end(run, page)
        (tmp_path / "notify").unlink()
        again = Run(tmp_path, feed, venue)
        runs.append(again)
        await asyncio.to_thread(again.ready)
        return again

    async def story(market: Market, address: str, exporter: str, run: Run, venue: FakeVenue) -> None:
        async with browser(chromium) as page:
            await page.look(1280, 900, "light")
            await page.open(address)
            await page.until(f"document.readyState == 'complete' && {CHIPS}.includes('runtime alive')")
            # It moves.
            first = await page.ask(TICKS)
            await page.until(f"{TICKS} > {first}")
            run = await restart(run, page, venue)
            await page.until(f"{CHIPS}.includes('runtime alive')")
            began = await page.ask("statuses.length && statuses[0].started")
            await page.until("document.querySelector('#hop-published_read').dataset.value > 50")
            await page.until("document.getElementById('messages-now').innerText !== ''")
            for name in ("messages", "ticks"):
                assert await page.ask(DRAWN % name) > 3, f"nothing is drawn in {name}"
            wide = await keep(page, "page-wide-light", tmp_path)
            assert ground(wide) > 200
            # Where nothing moves, the page's figures are the exporter's.
            market.stop()
            await end(run, page)
            looks = int(await page.ask("document.body.dataset.looks"))
            await page.until(f"+document.body.dataset.looks > {looks + 1}")
            figures = await page.ask(FIGURES)
            assert len(figures) > 15
            assert differing(figures, exported(exporter)) == {}
            assert figures[f'quietcore_ring_published_ticks_total{{feed="{feed}"}}'] == writer.next
            assert figures['quietcore_orders_total{event="sent"}'] == run_orders(tmp_path) >= 0
            assert began
            # Narrow and dark, nothing sticks out.
            await page.look(390, 800, "dark")
            looks = int(await page.ask("document.body.dataset.looks"))
            await page.until(f"+document.body.dataset.looks > {looks}")
            assert await page.ask("document.documentElement.scrollWidth") <= 390
            narrow = await keep(page, "page-narrow-dark", tmp_path)
            assert ground(narrow) < 60
            assert page.complaints == []
            own = address.removeprefix("http://")
            assert all(asked.partition("://")[2].startswith(own) for asked in page.asked), page.asked

    with ExitStack() as stack:
        venue = stack.enter_context(FakeVenue(default="fill"))
        market = stack.enter_context(Market(writer))
        runs = [Run(tmp_path, feed, venue)]
        stack.callback(kill, runs)
        _, address = stack.enter_context(server("web", *sources, "--interval", "0.1"))
        _, exporter = stack.enter_context(server("metrics", *sources))
        runs[0].ready()
        asyncio.run(story(market, address, exporter, runs[0], venue))


def kill(runs: list[Run]) -> None:
    """Leave nothing of a test that failed on the way."""
    for run in runs:
        run.notifications.close()
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def run_orders(folder: Path) -> int:
    return int(json.loads((folder / "runtime.json").read_text())["orders"]["sent"])


@pytest.fixture
def scene(tmp_path: Path, feed: str) -> Scene:
    return Scene(tmp_path, feed)


@pytest.fixture
def address(scene: Scene, make_writer: MakeWriter) -> Iterator[str]:
    make_writer().message([(100, 5)], [(101, 7)])
    with server("web", *scene.options(), "--interval", "0.1") as (process, address):
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, "it ends though somebody watches"


def test_server_gives_looks_and_takes_nothing(address: str, scene: Scene) -> None:
    status, headers, body = fetch(address + "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"http" not in body, "nothing comes from elsewhere"
    assert fetch(address + "/../../etc/passwd")[0] == 404
    assert fetch(address + "/", Host="rebound.example")[0] == 403
    look = json.loads(fetch(address + "/state.json")[2])
    assert look["feeds"][scene.feed]["book_list"]["BTCUSDT"]["bid"] == ["10.0", "0.005"]
    assert "symbols" not in look["runtime"]

    async def story() -> None:
        async with aiohttp.ClientSession() as session:
            for method in ("POST", "PUT", "DELETE"):
                async with session.request(method, address + "/state.json") as answer:
                    assert answer.status == 405
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(address + "/live", origin="http://elsewhere.example")
            async with session.ws_connect(address + "/live", origin=address) as watcher:
                times = [json.loads(await watcher.receive_str(timeout=30))["time"] for _ in range(3)]
                assert times == sorted(set(times))
                await watcher.send_str("x")
                async with asyncio.timeout(30):
                    while (await watcher.receive()).type is aiohttp.WSMsgType.TEXT:
                        pass
                assert watcher.closed, "who speaks is shown the door"
            crowd = [await session.ws_connect(address + "/live") for _ in range(page_server.MOST_CLIENTS)]
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await session.ws_connect(address + "/live")
            for client in crowd[1:]:
                await client.close()

    asyncio.run(story())


def test_the_server_ends_where_nobody_looks_any_more() -> None:
    class Broken:
        def look(self) -> dict[str, Any]:
            raise ValueError("a look that fails")

    async def story() -> None:
        served = serving.serve(page_server.application(Broken(), "h", 0.1), "127.0.0.1", 0, "at")  # type: ignore[arg-type]
        task = asyncio.create_task(served)
        async with asyncio.timeout(30):
            while not page_address:  # noqa: ASYNC110 -- told by print, which cannot wake anybody
                await asyncio.sleep(0.01)
            async with aiohttp.ClientSession() as session:
                await session.ws_connect(page_address[0] + "/live")
                await task

    page_address: list[str] = []

    def said(*words: str, **_: object) -> None:
        page_address.append(words[0].split()[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", said)
        with pytest.raises(ValueError, match="a look that fails"):
            asyncio.run(story())


def test_a_client_that_reads_nothing_is_let_go(address: str, scene: Scene) -> None:
    """Others get their looks all the same, and its place is free again."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    scene.status["warnings"] = ["w" * 1000] * 300  # looks that no buffer holds many of
    scene.beat()

    async def story() -> None:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            lazy.connect((host, int(port)))
            words = (
                f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            )
            key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            lazy.sendall((words + key).encode())
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address + "/live", max_msg_size=0) as watcher,
            ):
                async with asyncio.timeout(60):
                    for _ in range(30):
                        json.loads(await watcher.receive_str())

    asyncio.run(story())
