"""Bybit v5 REST paths: time, instruments, order entry, orders, executions, positions, balance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.accounts import Account
from quietcore.sim.instruments import bybit_page
from quietcore.sim.order_entry import CANCEL_ALL, Answer, Delivery
from quietcore.sim.private_messages import fill_row, order_row, plain, position_row
from quietcore.sim.rate_limits import Quota
from quietcore.sim.refusal import Reject
from quietcore.sim.venue import VENUE, Venue, json_response

PAGE = 500
LARGEST_PAGE = 1000
CLOSED_SHOWN = 500
EXECUTIONS_PAGE, EXECUTIONS_MOST = 50, 100
SILENT_SECONDS = 60.0  # how long a request that is never answered is held
BEHIND_SECONDS = 0.02  # how much later than the private stream an answer comes
RESTART_SECONDS = 0.5


def reply(
    venue: Venue,
    result: object,
    code: int = 0,
    message: str = "OK",
    *,
    extra: dict[str, Any] | None = None,
    quota: Quota | None = None,
) -> web.Response:
    """Return an answer in the venue's envelope; refusals are HTTP 200 too."""
    response = json_response(
        {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": extra or {},
            "time": venue.now_ms(),
        }
    )
    if quota is not None:
        response.headers.update(quota.headers())
    return response


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


def _json_object(text: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        decoded = None
    if not isinstance(decoded, dict):
        raise Reject(10001, "params error: the body is no JSON object")
    return decoded


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def deliver(request: web.Request, account: Account, answer: Answer) -> web.StreamResponse:
    """Send an acknowledgement, then let it take effect, unless a fault wants another order of things."""
    venue = request.app[VENUE]
    delivery = answer.delivery
    if delivery in (Delivery.LOST, Delivery.RESTART):
        if delivery is Delivery.RESTART:
            venue.restart(RESTART_SECONDS)
        _abort(request)
        return web.Response()
    if delivery is not Delivery.NORMAL:
        account.entry.effects(answer)
        answer.then = []
        if delivery is Delivery.NEVER:
            await asyncio.sleep(SILENT_SECONDS)
        elif delivery is Delivery.DISCONNECT:
            account.drop_streams()
            _abort(request)
        else:
            await asyncio.sleep(BEHIND_SECONDS)
    response = reply(
        venue, answer.result, answer.code, answer.message, extra=answer.extra, quota=answer.quota
    )
    try:
        await response.prepare(request)
        await response.write_eof()
    finally:
        account.entry.effects(answer)
    return response


def order_operation(operation: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler of one order operation's path."""

    async def serve(request: web.Request) -> web.StreamResponse:
        venue = request.app[VENUE]
        body = await request.text()
        try:
            account = venue.accounts.check_rest(request.headers, body)
            answer = account.entry.perform(operation, _json_object(body))
        except Reject as reject:
            return refusal(venue, reject)
        return await deliver(request, account, answer)

    return serve


cancel_all = order_operation(CANCEL_ALL)


async def disconnected_cancel_all(request: web.Request) -> web.Response:
    """Serve `/v5/order/disconnected-cancel-all`: arm it for the account's private connections."""
    venue = request.app[VENUE]
    body = await request.text()
    try:
        account = venue.accounts.check_rest(request.headers, body)
        account.arm_disconnect(_json_object(body).get("timeWindow"))
    except Reject as reject:
        return refusal(venue, reject)
    return reply(venue, {})


def signed_query(handler: Callable[[Venue, Account, web.Request], Awaitable[web.Response]]) -> Any:
    """Check signature and rate of a GET request before `handler`."""

    async def checked(request: web.Request) -> web.Response:
        venue = request.app[VENUE]
        try:
            account = venue.accounts.check_rest(request.headers, request.rel_url.raw_query_string)
            quota = account.limits.charge(request.path)
            response = await handler(venue, account, request)
        except Reject as reject:
            return refusal(venue, reject)
        if quota is not None:
            response.headers.update(quota.headers())
        return response

    return checked


def _linear(request: web.Request) -> None:
    if request.query.get("category") != "linear":
        raise Reject(10001, "params error: category only supports linear")


@signed_query
async def realtime(venue: Venue, account: Account, request: web.Request) -> web.Response:
    """Serve `/v5/order/realtime`: open orders, or one order, open or done, by its id."""
    _linear(request)
    query, exchange = request.query, account.exchange
    if query.get("orderId") or query.get("orderLinkId"):
        order = exchange.find(query)
        found = [order] if order is not None else []
    else:
        symbol = query.get("symbol")
        closed = query.get("openOnly", "0") == "1"
        found = [
            order
            for order in exchange.orders.values()
            if symbol in (None, order.symbol) and order.open is not closed
        ][-CLOSED_SHOWN:]
    rows = [order_row(order) for order in found]
    return reply(venue, {"category": "linear", "list": rows, "nextPageCursor": ""})


@signed_query
async def history(venue: Venue, account: Account, request: web.Request) -> web.Response:
    """Serve `/v5/order/history`: orders that are done, the newest first."""
    _linear(request)
    query = request.query
    rows = [
        order_row(order)
        for order in reversed(account.exchange.orders.values())
        if not order.open
        and query.get("symbol") in (None, order.symbol)
        and query.get("orderId") in (None, order.order_id)
        and query.get("orderLinkId") in (None, order.link_id)
    ]
    page, cursor = _page(rows, query.get("limit"), query.get("cursor"), 20, 50)
    return reply(venue, {"category": "linear", "list": page, "nextPageCursor": cursor})


@signed_query
async def executions(venue: Venue, account: Account, request: web.Request) -> web.Response:
    """Serve `/v5/execution/list`: fills, the newest first, paged by cursor."""
    _linear(request)
    query = request.query
    try:
        since = int(query.get("startTime") or 0)
    except ValueError:
        raise Reject(10001, "params error: startTime invalid") from None
    rows = [
        fill_row(fill)
        for fill in reversed(account.exchange.executions)
        if fill.time_ms >= since
        and query.get("symbol") in (None, fill.order.symbol)
        and query.get("orderId") in (None, "", fill.order.order_id)
        and query.get("orderLinkId") in (None, "", fill.order.link_id)
    ]
    page, cursor = _page(rows, query.get("limit"), query.get("cursor"), EXECUTIONS_PAGE, EXECUTIONS_MOST)
    return reply(venue, {"category": "linear", "list": page, "nextPageCursor": cursor})


def _page(
    rows: list[dict[str, Any]], limit: str | None, cursor: str | None, usual: int, most: int
) -> tuple[list[dict[str, Any]], str]:
    """Return one page and the next cursor, "" on the last."""
    try:
        count, start = int(limit or usual), int(cursor or 0)
    except ValueError:
        raise Reject(10001, "params error: limit or cursor invalid") from None
    if not 1 <= count <= most or start < 0:
        raise Reject(10001, f"params error: limit must be 1 to {most}")
    return rows[start : start + count], str(start + count) if start + count < len(rows) else ""


@signed_query
async def positions(venue: Venue, account: Account, request: web.Request) -> web.Response:
    """Serve `/v5/position/list`."""
    symbol = request.query.get("symbol")
    rows = [
        position_row(position, venue.now_ms())
        for position in account.exchange.wallet.positions.values()
        if symbol in (None, position.symbol)
    ]
    return reply(venue, {"category": "linear", "list": rows, "nextPageCursor": ""})


@signed_query
async def balance(venue: Venue, account: Account, request: web.Request) -> web.Response:
    """Serve `/v5/account/wallet-balance` of the settlement coin."""
    wallet = account.exchange.wallet
    equity = plain(wallet.equity())
    coin = {
        "coin": "USDT",
        "equity": equity,
        "walletBalance": equity,
        "totalPositionIM": plain(wallet.margin()),
    }
    entry = {"accountType": "UNIFIED", "totalEquity": equity, "totalWalletBalance": equity, "coin": [coin]}
    return reply(venue, {"list": [entry]})
