"""Bybit v5 order entry over WebSocket, `/v5/trade`.

Source: bybit-exchange.github.io/docs/v5/websocket/trade/guideline.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim import order_entry
from quietcore.sim.accounts import Account
from quietcore.sim.authentication import AHEAD_MS, DEFAULT_WINDOW_MS
from quietcore.sim.bybit_rest import BEHIND_SECONDS, RESTART_SECONDS
from quietcore.sim.hub import Client
from quietcore.sim.order_entry import Answer, Delivery
from quietcore.sim.parameters import CATEGORY
from quietcore.sim.refusal import Reject
from quietcore.sim.sockets import serve
from quietcore.sim.venue import VENUE

OPERATIONS = {
    f"order.{operation}": operation
    for operation in order_entry.OPERATIONS
    if operation != order_entry.CANCEL_ALL
}
KEPT_REQUESTS = 1000  # ids whose repetition is refused
BAD_REQUEST, NOT_KNOWN, REPEATED, RESTARTING, NOT_AUTHENTICATED = 10001, 10404, 20006, 10019, 10403
REPEATED_AUTH = 20001


def check_time(header: object, now_ms: int) -> None:
    """Check a request's own time stamp; raise Reject 10002."""
    fields: Mapping[str, Any] = header if isinstance(header, dict) else {}
    try:
        sent = int(fields.get("X-BAPI-TIMESTAMP", ""))
        window = int(fields.get("X-BAPI-RECV-WINDOW") or DEFAULT_WINDOW_MS)
    except ValueError:
        raise Reject(BAD_REQUEST, "params error: X-BAPI-TIMESTAMP or X-BAPI-RECV-WINDOW invalid") from None
    if not now_ms - window <= sent < now_ms + AHEAD_MS:
        raise Reject(10002, f"invalid request, req_timestamp[{sent}],server_timestamp[{now_ms}]")


async def trade(request: web.Request) -> web.WebSocketResponse:
    """Serve one order-entry connection: auth, ping, order operations."""
    venue = request.app[VENUE]
    connection = uuid.uuid4().hex
    account: Account | None = None
    seen: deque[str] = deque(maxlen=KEPT_REQUESTS)

    def encode(message: dict[str, Any], answer: Answer) -> bytes:
        headers = {"Timenow": str(venue.now_ms()), "Traceid": uuid.uuid4().hex}
        if answer.quota is not None:
            headers |= answer.quota.headers()
        # Who gives no reqId gets none back.
        named = {"reqId": str(message["reqId"])} if message.get("reqId") is not None else {}
        return msgspec.json.encode(
            {
                **named,
                "retCode": answer.code,
                "retMsg": answer.message,
                "op": str(message.get("op", "")),
                "data": answer.result,
                "retExtInfo": answer.extra,
                "header": headers,
                "connId": connection,
            }
        )

    def perform(message: dict[str, Any]) -> Answer:
        operation = OPERATIONS.get(str(message.get("op")))
        arguments = message.get("args")
        request_id = str(message.get("reqId") or "")
        try:
            if operation is None:
                raise Reject(NOT_KNOWN, "op type is not found or category is not correct")
            if account is None:
                raise Reject(NOT_AUTHENTICATED, "request is not authorized")
            if request_id and request_id in seen:
                raise Reject(REPEATED, "reqId is duplicated")
            seen.append(request_id)
            if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], dict):
                raise Reject(BAD_REQUEST, "params error: args must hold one object")
            if arguments[0].get("category") != CATEGORY:
                raise Reject(
                    NOT_KNOWN,
                    f"category {arguments[0].get('category')} is not correct or not supported by this simulator",
                )
            check_time(message.get("header"), venue.now_ms())
            venue.accounts.check_request(account)
            return account.entry.perform(operation, arguments[0])
        except Reject as reject:
            venue.statistics.refusal(reject.code)
            return Answer(reject.code, str(reject))

    async def authenticate(client: Client, message: dict[str, Any]) -> None:
        nonlocal account
        answer = Answer()
        try:
            if account is not None:
                raise Reject(REPEATED_AUTH, "Repeat auth")
            account = venue.accounts.check_socket(message.get("args"))
        except Reject as reject:
            venue.statistics.refusal(reject.code)
            answer = Answer(reject.code, str(reject))
        await client.send(encode(message, answer))

    async def handle(client: Client, message: dict[str, Any]) -> None:
        if message.get("op") == "ping":
            pong = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(venue.now_ms())]}
            await client.send(msgspec.json.encode({**pong, "connId": connection}))
            return
        if message.get("op") == "auth":
            await authenticate(client, message)
            return
        answer = perform(message)
        delivery = answer.delivery
        if delivery in (Delivery.RESTART, Delivery.EMPTY_RESTART):
            await client.send(encode(message, Answer(RESTARTING, "service is restarting, please reconnect")))
            venue.restart(RESTART_SECONDS, empty=delivery is Delivery.EMPTY_RESTART)
        elif delivery is Delivery.LOST:
            client.abort()
        elif account is None or delivery is Delivery.NORMAL:
            await client.send(encode(message, answer))
            if account is not None:
                account.entry.effects(answer)
        else:
            account.entry.effects(answer)
            if delivery is Delivery.DISCONNECT:
                account.drop_streams()
                client.abort()
            elif delivery is Delivery.EFFECTS_FIRST:
                await asyncio.sleep(BEHIND_SECONDS)
                await client.send(encode(message, answer))

    bad = encode({}, Answer(BAD_REQUEST, "request is not JSON"))
    return await serve(request, venue.guests, handle, bad_message=bad)
