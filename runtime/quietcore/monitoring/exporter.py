"""The exporter's HTTP server: /metrics, in the text format of Prometheus or in OpenMetrics, as asked."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from quietcore.monitoring import serving
from quietcore.monitoring.exposition import registry
from quietcore.monitoring.snapshot import Observer

COMPRESS_ABOVE = 1024


def application(observer: Observer, host: str) -> web.Application:
    """Return the server's application; ``host`` is the name that it listens on."""
    found = registry(observer)
    # One look at a time: who asks while another is answered waits.
    turn = asyncio.Lock()

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")

        def written() -> bytes:
            text: bytes = encode(found)
            return gzip.compress(text, 1) if zipped and len(text) > COMPRESS_ABOVE else text

        async with turn:
            body = await asyncio.to_thread(written)
        headers = {"Content-Type": content_type}
        if body[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def front(request: web.Request) -> web.Response:
        return web.Response(text="Quietcore's metrics are at /metrics\n")

    made = web.Application(middlewares=[serving.only_known_hosts(host)], client_max_size=serving.MOST_BYTES)
    made.add_routes([web.get("/metrics", metrics), web.get("/", front)])
    return made
