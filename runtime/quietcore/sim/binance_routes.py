"""Binance USD-M futures paths: combined streams, depth snapshot, exchange information, time.

Source: developers.binance.com, USD-M futures, "Websocket market streams" and "Market data".
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.faults import Fault
from quietcore.sim.frames.binance import BinanceFrames
from quietcore.sim.hub import Client
from quietcore.sim.instruments import binance_exchange_info
from quietcore.sim.replay import binance_topics
from quietcore.sim.sockets import serve
from quietcore.sim.venue import VENUE, Venue, json_response

LIMITS = (5, 10, 20, 50, 100, 500, 1000)
PING_SECONDS = 180.0


def error(code: int, message: str, *, status: int = 400) -> web.Response:
    """Return a refusal as the venue words it."""
    return json_response({"code": code, "msg": message}, status=status)


def missing(request: web.Request) -> web.Response:
    """Return the venue's answer to a path that it does not have."""
    return error(-5000, f"Path {request.path}, Method {request.method} is invalid", status=404)


def _join(venue: Venue, client: Client, streams: list[str]) -> None:
    topics = binance_topics(streams)
    fresh = [topic for topic in topics if topic not in client.topics]
    venue.hub.subscribe(client, fresh)
    venue.replay.subscribed(client, fresh)


async def stream(request: web.Request) -> web.WebSocketResponse:
    """Serve `/stream?streams=a/b`, with SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS on the connection."""
    venue = request.app[VENUE]

    async def opened(client: Client) -> None:
        _join(venue, client, request.query.get("streams", "").split("/"))

    async def handle(client: Client, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", [])
        result: object = None
        if not isinstance(parameters, list) or not all(isinstance(one, str) for one in parameters):
            failure = {"code": 2, "msg": "Invalid request: params must be a list of streams"}
            await client.send(msgspec.json.encode({"error": failure, "id": message.get("id")}))
            return
        if method == "SUBSCRIBE" and venue.faults.strikes(Fault.STREAM_ERROR):
            failure = {"code": 2, "msg": "Invalid request: unavailable at the moment"}
            await client.send(msgspec.json.encode({"error": failure, "id": message.get("id")}))
            return
        if method == "SUBSCRIBE":
            _join(venue, client, parameters)
        elif method == "UNSUBSCRIBE":
            venue.hub.unsubscribe(client, binance_topics(parameters))
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(client.topics)
        else:
            failure = {"code": 2, "msg": "Invalid request: unknown method"}
            await client.send(msgspec.json.encode({"error": failure, "id": message.get("id")}))
            return
        await client.send(msgspec.json.encode({"result": result, "id": message.get("id")}))

    bad = msgspec.json.encode({"error": {"code": 3, "msg": "Invalid JSON"}})
    return await serve(request, venue.hub, handle, bad_message=bad, opened=opened)


async def ping_clients(venue: Venue) -> None:
    """Ping every market-data client every three minutes, as the venue does; runs until cancelled."""
    while True:
        await asyncio.sleep(PING_SECONDS)
        for client in list(venue.hub.clients):
            try:
                await client.socket.ping(str(venue.now_ms()).encode())
            except (ConnectionError, RuntimeError):
                venue.hub.drop(client)


async def depth(request: web.Request) -> web.Response:
    """Serve `/fapi/v1/depth`."""
    venue = request.app[VENUE]
    symbol = request.query.get("symbol", "").upper()
    if symbol not in venue.source.instruments or not isinstance(venue.replay.reader, BinanceFrames):
        return error(-1121, "Invalid symbol.")
    try:
        limit = int(request.query.get("limit", "500"))
    except ValueError:
        return error(-1100, "Illegal characters found in parameter 'limit'.")
    if limit not in LIMITS:
        return error(-4021, f"'{limit}' is not valid depth limit.")
    snapshot = await venue.replay.rest_snapshot(symbol, limit)
    if snapshot is None:
        return error(-1000, f"no depth snapshot of {symbol}: the recording has none up to here", status=503)
    return web.Response(body=snapshot, content_type="application/json")


async def exchange_info(request: web.Request) -> web.Response:
    """Serve `/fapi/v1/exchangeInfo`."""
    venue = request.app[VENUE]
    return json_response(binance_exchange_info(venue.source.instruments.values(), venue.now_ms()))


async def server_time(request: web.Request) -> web.Response:
    """Serve `/fapi/v1/time`."""
    return json_response({"serverTime": request.app[VENUE].now_ms()})
