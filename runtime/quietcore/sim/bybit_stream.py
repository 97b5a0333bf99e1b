"""Bybit v5 WebSocket paths: the public linear stream and the private one.

Sources: bybit-exchange.github.io/docs/v5/ws/connect (subscribe, ping, auth) and the topic pages.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.accounts import DISCONNECT_TOPIC, Account
from quietcore.sim.faults import Fault
from quietcore.sim.hub import Client
from quietcore.sim.refusal import Reject
from quietcore.sim.sockets import serve
from quietcore.sim.venue import VENUE

ARGUMENTS_LIMIT = 21_000  # characters of `args` per connection
# Of each listed symbol; trades that a recording does not have are those of a quiet market.
PUBLIC_WITHOUT_DEPTH = ("publicTrade", "tickers")
EVERYTHING = ("order", "execution", "position", "execution.fast")
PRIVATE_TOPICS = {"wallet", DISCONNECT_TOPIC, *EVERYTHING, *(f"{topic}.linear" for topic in EVERYTHING)}


def answer(
    operation: str, connection: str, request: dict[str, Any], *, error: str = "", message: str = ""
) -> bytes:
    """Return the answer to a public request."""
    return msgspec.json.encode(
        {
            "success": not error,
            "ret_msg": error or message,
            "conn_id": connection,
            "req_id": str(request.get("req_id", "")),
            "op": operation,
        }
    )


def arguments_of(request: dict[str, Any]) -> list[str] | None:
    """Return the topics of a request, None where they are no list of strings."""
    found = request.get("args")
    if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
        return found
    return None


async def public(request: web.Request) -> web.WebSocketResponse:
    """Serve `/v5/public/linear`."""
    venue = request.app[VENUE]
    connection = str(uuid.uuid4())
    used = 0

    def unknown(topic: str) -> bool:
        """Tell whether the venue has no such topic: another depth, or a symbol that is not listed."""
        kind, _, symbol = topic.partition(".")
        if topic in venue.source.topics:
            return False
        return kind not in PUBLIC_WITHOUT_DEPTH or symbol not in venue.source.instruments

    async def subscribe(client: Client, message: dict[str, Any]) -> None:
        nonlocal used
        topics = arguments_of(message)
        if topics is None:
            await client.send(answer("subscribe", connection, message, error="Params Error"))
            return
        error = ""
        if used + sum(map(len, topics)) > ARGUMENTS_LIMIT:
            error = f"error:args exceed {ARGUMENTS_LIMIT} characters per connection"
        elif missing := [topic for topic in topics if unknown(topic)]:
            venue.statistics.refused_topic(missing[0])
            error = f"error:handler not found,topic:{missing[0]}"
        elif again := [topic for topic in topics if topic in client.topics]:
            error = f"error:already subscribed,topic:{again[0]}"
        if error:
            await client.send(answer("subscribe", connection, message, error=error))
            return
        used += sum(map(len, topics))
        await client.send(answer("subscribe", connection, message))
        for topic in topics:
            snapshot = venue.replay.stream_snapshot(topic) or venue.tickers.snapshot(topic)
            # No wait between taking the book and joining its topic: the next delta must follow the snapshot.
            venue.hub.subscribe(client, [topic])
            if snapshot is not None:
                await client.send(snapshot)
        venue.replay.subscribed(client, topics)

    async def handle(client: Client, message: dict[str, Any]) -> None:
        operation = message.get("op")
        if operation == "ping":
            await client.send(answer("ping", connection, message, message="pong"))
        elif operation == "subscribe":
            await subscribe(client, message)
        elif operation == "unsubscribe":
            venue.hub.unsubscribe(client, arguments_of(message) or [])
            await client.send(answer("unsubscribe", connection, message))
        else:
            await client.send(answer(str(operation), connection, message, error="error:unknown op"))

    return await serve(
        request, venue.hub, handle, bad_message=answer("", connection, {}, error="error:request is not JSON")
    )


async def private(request: web.Request) -> web.WebSocketResponse:
    """Serve `/v5/private`: auth first, then order, execution and position."""
    venue = request.app[VENUE]
    connection = uuid.uuid4().hex
    account: Account | None = None

    async def authenticate(client: Client, message: dict[str, Any]) -> None:
        nonlocal account
        try:
            account = venue.accounts.check_socket(message.get("args"))
        except Reject as reject:
            venue.statistics.refusal(reject.code)
            await client.send(answer("auth", connection, message, error=f"error:{reject.code} {reject}"))
            return
        account.hub.clients.add(client)
        await client.send(answer("auth", connection, message))

    async def handle(client: Client, message: dict[str, Any]) -> None:
        operation = message.get("op")
        topics = arguments_of(message)
        if account is not None and venue.faults.strikes(Fault.MUTE, account.key):
            account.mute()
        if operation == "ping":
            pong = {"req_id": str(message.get("req_id", "")), "op": "pong", "args": [str(venue.now_ms())]}
            await client.send(msgspec.json.encode({**pong, "conn_id": connection}))
        elif operation == "auth":
            await authenticate(client, message)
        elif operation not in ("subscribe", "unsubscribe"):
            await client.send(answer(str(operation), connection, message, error="error:unknown op"))
        elif account is None:
            await client.send(answer(operation, connection, message, error="error:request is not authorized"))
        elif error := _refused(topics):
            venue.statistics.refused_topic(", ".join(topics or []))
            await client.send(answer(operation, connection, message, error=error))
        else:
            assert topics is not None
            change = account.hub.subscribe if operation == "subscribe" else account.hub.unsubscribe
            change(client, topics)
            account.subscribed(client)
            await client.send(answer(operation, connection, message))

    def closed(client: Client) -> None:
        if account is not None:
            account.disconnected(client)
            account.hub.drop(client)

    return await serve(
        request,
        venue.guests,
        handle,
        bad_message=answer("", connection, {}, error="error:request is not JSON"),
        closed=closed,
    )


def _refused(topics: list[str] | None) -> str:
    """Return why private topics cannot be subscribed, "" where they can."""
    if topics is None:
        return "Params Error"
    if wrong := [topic for topic in topics if topic not in PRIVATE_TOPICS]:
        return f"error:handler not found,topic:{wrong[0]}"
    # A topic of everything, and the same of one category, exclude each other.
    if both := [topic for topic in topics if f"{topic}.linear" in topics]:
        return f"error:subscription conflict,topic:{both[0]}"
    return ""
