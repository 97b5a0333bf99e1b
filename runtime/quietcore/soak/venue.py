"""The invented venue as a process: `python -m quietcore.soak.venue --symbols N`; loopback only.

Speaks as much of Bybit v5 as the feed handler needs: instruments, and one public stream with subscriptions to
order books. `POST /load/begin` with {"rate": messages a second, null: as fast as they are taken} begins to send,
`POST /load/pause` ends it; both answer as `GET /load/state` does. A connection that does not take what it is sent
holds the sending up, not its schedule: messages then go out late, with the times at which they were due.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from typing import Any, Final, cast

import uvloop
from aiohttp import WSMsgType, web

from quietcore import stop_signals
from quietcore.errors import ExitCode
from quietcore.histogram import summary
from quietcore.sim.instruments import Instrument, bybit_page
from quietcore.sim.notify import notify
from quietcore.soak.frames import (
    DEPTH,
    LARGEST,
    NEXT,
    SENT,
    market,
    seed,
    snapshot,
    symbol_name,
    text_frame,
    write_due,
)

MOST: Final = 512  # messages a turn
CONNECTIONS: Final = 16
UNSENT_BYTES: Final = 1 << 20  # above it a connection is waited for
NAP_SECONDS: Final = 0.001
SPIN_NS: Final = 3_000_000  # timers are coarse: what is due sooner is waited for awake


class LoadVenue:
    """The market, its connections, and the pump that sends."""

    def __init__(self, symbols: int) -> None:
        self.instruments = [Instrument(symbol_name(number), 0, 0) for number in range(symbols)]
        self.topics = {f"orderbook.{DEPTH}.{one.symbol}": n for n, one in enumerate(self.instruments)}
        self.market = market(symbols, CONNECTIONS, MOST)
        self.transports: list[asyncio.WriteTransport | None] = [None] * CONNECTIONS
        self.going = asyncio.Event()
        seed(1)
        write_due(self.market, -1, 0)  # compiles

    def begin(self, rate: float | None) -> None:
        """Send from now on; lateness and count begin anew."""
        self.market.gap[0] = 0.0 if rate is None else 1e9 / rate
        self.market.schedule[NEXT] = time.time_ns()
        self.market.schedule[SENT] = 0
        self.market.buckets[:] = 0
        self.market.marks[:] = 0
        self.going.set()

    def state(self) -> dict[str, Any]:
        """Return what was sent since `begin`, and how late it was written."""
        late = summary(self.market.buckets[0], self.market.marks[0])
        del late["buckets"]
        return {
            "sent": int(self.market.schedule[SENT]),
            "unsent_bytes": sum(one.get_write_buffer_size() for one in self.transports if one),
            "subscribed": int((self.market.owner >= 0).sum()),
            "late": late,
        }

    async def pump(self) -> None:
        """Send what is due, for ever."""
        while True:
            await self.going.wait()
            if any(one and one.get_write_buffer_size() > UNSENT_BYTES for one in self.transports):
                await asyncio.sleep(NAP_SECONDS)
                continue
            now = time.time_ns()
            if write_due(self.market, now, MOST):
                self.flush()
                await asyncio.sleep(0)
                continue
            ahead = int(self.market.schedule[NEXT]) - now - SPIN_NS
            await asyncio.sleep(max(0.0, ahead / 1e9))

    def flush(self) -> None:
        """Hand what was written to the connections."""
        for number, transport in enumerate(self.transports):
            filled = int(self.market.filled[number])
            if filled and transport is not None:
                transport.write(self.market.out[number, :filled].tobytes())
            self.market.filled[number] = 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection of the public stream."""
        free = [number for number, one in enumerate(self.transports) if one is None]
        if not free:
            return web.Response(status=503, text=f"{CONNECTIONS} connections are there already\n")
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        # Of uvloop, whose transports are no subclass of asyncio's.
        transport = cast(asyncio.WriteTransport, request.transport)
        self.transports[free[0]] = transport
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self.take(free[0], transport, json.loads(message.data))
        finally:
            self.market.owner[self.market.owner == free[0]] = -1
            self.market.filled[free[0]] = 0
            self.transports[free[0]] = None
        return socket

    def take(self, number: int, transport: asyncio.WriteTransport, request: dict[str, Any]) -> None:
        """Answer a request. Frames are written past aiohttp, as those of the pump are: they cannot overtake."""
        operation, topics = request.get("op"), request.get("args", [])
        unknown = [topic for topic in topics if topic not in self.topics]
        said = "pong" if operation == "ping" else ""
        answer = {
            "success": not unknown,
            "ret_msg": f"error:handler not found,topic:{unknown[0]}" if unknown else said,
            "conn_id": str(number),
            "req_id": str(request.get("req_id", "")),
            "op": operation,
        }
        transport.write(text_frame(json.dumps(answer).encode()))
        if operation == "subscribe" and not unknown:
            for topic in topics:
                symbol = self.topics[topic]
                transport.write(snapshot(symbol, int(self.market.updates[symbol]), time.time_ns()))
                self.market.owner[symbol] = number

    async def list_instruments(self, request: web.Request) -> web.Response:
        """Serve `/v5/market/instruments-info`."""
        query = request.query
        page, cursor = bybit_page(
            self.instruments,
            symbol=query.get("symbol"),
            limit=int(query.get("limit", 500)),
            cursor=query.get("cursor", ""),
        )
        result = {"category": "linear", "list": page, "nextPageCursor": cursor}
        return web.json_response(
            {
                "retCode": 0,
                "retMsg": "OK",
                "result": result,
                "retExtInfo": {},
                "time": time.time_ns() // 10**6,
            }
        )

    async def begin_load(self, request: web.Request) -> web.Response:
        """Serve `/load/begin`."""
        self.begin((await request.json())["rate"])
        return web.json_response(self.state())

    async def pause_load(self, request: web.Request) -> web.Response:
        """Serve `/load/pause`."""
        self.going.clear()
        return web.json_response(self.state())

    async def show_state(self, request: web.Request) -> web.Response:
        """Serve `/load/state`."""
        return web.json_response(self.state())


async def serve(symbols: int) -> None:
    """Serve until cancelled; say where on standard output."""
    venue = LoadVenue(symbols)
    app = web.Application()
    app.add_routes(
        [
            web.get("/v5/public/linear", venue.stream),
            web.get("/v5/market/instruments-info", venue.list_instruments),
            web.post("/load/begin", venue.begin_load),
            web.post("/load/pause", venue.pause_load),
            web.get("/load/state", venue.show_state),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        print(json.dumps({"rest": f"http://{host}:{port}", "websocket": f"ws://{host}:{port}"}), flush=True)
        notify("READY=1")
        await venue.pump()
    finally:
        await runner.cleanup()


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, required=True, choices=range(1, LARGEST + 1), metavar="N")
    parser.add_argument("--cpu", type=int, default=-1, help="to run on; -1: any")
    arguments = parser.parse_args()
    if arguments.cpu >= 0:
        os.sched_setaffinity(0, {arguments.cpu})

    async def until_told() -> None:
        task = asyncio.ensure_future(serve(arguments.symbols))
        with stop_signals.heard(task.cancel), contextlib.suppress(asyncio.CancelledError):
            await task

    uvloop.run(until_told())
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
