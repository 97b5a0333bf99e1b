"""One loop for every WebSocket path: reads messages, answers pings, forgets the client at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from quietcore.sim.hub import Client, Hub
from quietcore.sim.venue import VENUE, client_of

Handler = Callable[[Client, dict[str, Any]], Awaitable[None]]


async def serve(
    request: web.Request,
    hub: Hub,
    handle: Handler,
    *,
    bad_message: bytes,
    opened: Callable[[Client], Awaitable[None]] | None = None,
    closed: Callable[[Client], None] = lambda client: None,
) -> web.WebSocketResponse:
    """Serve one connection; a message that is no JSON object is answered with `bad_message`.

    Each message is held back as the venue's `delay_ms` says.
    """
    delay = request.app[VENUE].delay_ms / 1000
    socket = web.WebSocketResponse(compress=False, autoping=False, max_msg_size=1 << 20)
    await socket.prepare(request)
    client = client_of(request, socket)
    hub.clients.add(client)
    try:
        if opened is not None:
            await opened(client)
        async for message in socket:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                try:
                    decoded = msgspec.json.decode(message.data)
                except msgspec.MsgspecError:
                    decoded = None
                if delay:
                    await asyncio.sleep(delay)
                if isinstance(decoded, dict):
                    await handle(client, decoded)
                else:
                    await client.send(bad_message)
    except ConnectionError:
        pass  # the client went away while it was answered
    finally:
        hub.drop(client)
        closed(client)
    return socket
