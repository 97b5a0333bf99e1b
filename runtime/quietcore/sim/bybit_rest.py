"""Bybit v5 REST paths: time, instruments, order entry, orders and positions."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.instruments import bybit_page
from quietcore.sim.matching import Reject
from quietcore.sim.private_messages import order_row, position_row
from quietcore.sim.venue import VENUE, Venue, json_response

PAGE = 500
LARGEST_PAGE = 1000
CLOSED_SHOWN = 500


def reply(venue: Venue, result: object, code: int = 0, message: str = "OK") -> web.Response:
    """Return an answer in the venue's envelope; refusals are HTTP 200 too."""
    return json_response(
        {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": venue.now_ms()}
    )


def refusal(venue: Venue, reject: Reject) -> web.Response:
    """Return a refusal."""
    return reply(venue, {}, reject.code, str(reject))


async def server_time(request: web.Request) -> web.Response:
    """Serve `/v5/market/time`."""
    now = time.time_ns()
    return reply(request.app[VENUE], {"timeSecond": str(now // 10**9), "timeNano": str(now)})


async def instruments_info(request: web.Request) -> web.Response:
    """Serve `/v5/market/instruments-info`, paged by cursor."""
    venue = request.app[VENUE]
    query = request.query
    if query.get("category") != "linear":
        return refusal(venue, Reject(10001, "params error: category only supports linear"))
    symbol = query.get("symbol") or None
    if symbol is not None and symbol not in venue.source.instruments:
        return refusal(venue, Reject(10001, "params error: symbol invalid"))
    try:
        limit = int(query.get("limit", PAGE))
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit {limit}")
        page, cursor = bybit_page(
            venue.source.instruments.values(), symbol=symbol, limit=limit, cursor=query.get("cursor", "")
        )
    except ValueError as error:
        return refusal(venue, Reject(10001, f"params error: {error}"))
    return reply(venue, {"category": "linear", "list": page, "nextPageCursor": cursor})


async def _signed_body(request: web.Request) -> dict[str, Any]:
    """Return a signed request's JSON body; raise Reject."""
    body = await request.text()
    request.app[VENUE].authenticator.check_rest(request.headers, body)
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        decoded = None
    if not isinstance(decoded, dict):
        raise Reject(10001, "params error: the body is no JSON object")
    return decoded


async def _answer_then(
    request: web.Request, response: web.Response, then: Callable[[], None]
) -> web.Response:
    """Send the acknowledgement, then let the order take effect: what follows comes on the private topics."""
    try:
        await response.prepare(request)
        await response.write_eof()
    finally:
        then()
    return response


async def create(request: web.Request) -> web.Response:
    """Serve `/v5/order/create`: an acknowledgement means accepted, all else comes on the private topics."""
    venue = request.app[VENUE]
    try:
        order = venue.exchange.create(await _signed_body(request))
    except Reject as reject:
        return refusal(venue, reject)
    response = reply(venue, {"orderId": order.order_id, "orderLinkId": order.link_id})
    return await _answer_then(request, response, lambda: venue.tell(venue.exchange.activate(order)))


async def cancel(request: web.Request) -> web.Response:
    """Serve `/v5/order/cancel`."""
    venue = request.app[VENUE]
    try:
        order = venue.exchange.cancel(await _signed_body(request))
    except Reject as reject:
        return refusal(venue, reject)
    response = reply(venue, {"orderId": order.order_id, "orderLinkId": order.link_id})
    return await _answer_then(request, response, lambda: venue.tell(venue.exchange.cancelled(order)))


def signed_query(handler: Callable[[Venue, web.Request], Awaitable[web.Response]]) -> Any:
    """Check the signature of a GET request before `handler`."""

    async def checked(request: web.Request) -> web.Response:
        venue = request.app[VENUE]
        try:
            venue.authenticator.check_rest(request.headers, request.rel_url.raw_query_string)
            return await handler(venue, request)
        except Reject as reject:
            return refusal(venue, reject)

    return checked


@signed_query
async def realtime(venue: Venue, request: web.Request) -> web.Response:
    """Serve `/v5/order/realtime`: open orders, or one order, open or done, by its id."""
    query = request.query
    if query.get("category") != "linear":
        raise Reject(10001, "params error: category only supports linear")
    if query.get("orderId") or query.get("orderLinkId"):
        order = venue.exchange.find(query)
        found = [order] if order is not None else []
    else:
        symbol = query.get("symbol")
        closed = query.get("openOnly", "0") == "1"
        found = [
            order
            for order in venue.exchange.orders.values()
            if symbol in (None, order.symbol) and order.open is not closed
        ][-CLOSED_SHOWN:]
    rows = [order_row(order) for order in found]
    return reply(venue, {"category": "linear", "list": rows, "nextPageCursor": ""})


@signed_query
async def positions(venue: Venue, request: web.Request) -> web.Response:
    """Serve `/v5/position/list`."""
    symbol = request.query.get("symbol")
    rows = [
        position_row(position, venue.now_ms())
        for position in venue.exchange.wallet.positions.values()
        if symbol in (None, position.symbol)
    ]
    return reply(venue, {"category": "linear", "list": rows, "nextPageCursor": ""})
