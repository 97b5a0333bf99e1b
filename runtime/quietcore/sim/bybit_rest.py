"""Bybit v5 REST paths: time, instruments, order entry, position mode, and the account's queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp import web

from quietcore.sim import parameters
from quietcore.sim.accounts import Account
from quietcore.sim.instruments import bybit_page
from quietcore.sim.order_entry import CANCEL_ALL, Answer, Delivery
from quietcore.sim.parameters import check_category, integer
from quietcore.sim.rate_limits import Quota
from quietcore.sim.refusal import Reject
from quietcore.sim.venue import VENUE, Venue, json_response

INSTRUMENTS = "/v5/market/instruments-info"
TICKERS = "/v5/market/tickers"
PAGE = 500
LARGEST_PAGE = 1000
SILENT_SECONDS = 60.0  # how long a request that is never answered is held
BEHIND_SECONDS = 0.02  # how much later than the private stream an answer comes
RESTART_SECONDS = 0.5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reply(
    venue: Venue,
    result: object,
    code: int = 0,
    message: str = "OK",
    *,
    extra: dict[str, Any] | None = None,
    quota: Quota | None = None,
    status: int = 200,
) -> web.Response:
    """Return an answer in the venue's envelope; refusals are HTTP 200 too, but for a path that is not known."""
    response = json_response(
        {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": extra or {},
            "time": venue.now_ms(),
        },
        status=status,
    )
    if quota is not None:
        response.headers.update(quota.headers())
    return response


def refusal(venue: Venue, reject: Reject) -> web.Response:
    """Return a refusal."""
    venue.statistics.refusal(reject.code)
    response = reply(venue, {}, reject.code, str(reject))
    response.headers.update(reject.headers)
    return response


def missing(venue: Venue, request: web.Request) -> web.Response:
    """Return the venue's answer to a path that it does not have."""
    return reply(venue, {}, 10017, f"Route not found. {request.method} {request.path}", status=404)


# what was asked


def raw_query(request: web.Request) -> bytes:
    """Return the query string, byte for byte as it was received."""
    return request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape")


def query_of(request: web.Request) -> dict[str, str]:
    """Return the parameters of a query, decoded once."""
    text = raw_query(request).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        decoded = None
    if not isinstance(decoded, dict):
        raise Reject(10001, "params error: the body is no JSON object")
    return decoded


# the market


async def server_time(request: web.Request) -> web.Response:
    """Serve `/v5/market/time`."""
    now = time.time_ns()
    return reply(request.app[VENUE], {"timeSecond": str(now // 10**9), "timeNano": str(now)})


async def instruments_info(request: web.Request) -> web.Response:
    """Serve `/v5/market/instruments-info`, paged by cursor."""
    venue = request.app[VENUE]
    try:
        result = _instruments(venue, query_of(request))
    except Reject as reject:
        return refusal(venue, reject)
    return reply(venue, result)


async def tickers(request: web.Request) -> web.Response:
    """Serve `/v5/market/tickers`."""
    venue, query = request.app[VENUE], query_of(request)
    try:
        parameters.TICKERS.check(TICKERS, query, venue.statistics)
        check_category(query)
        symbol = query.get("symbol") or None
        if symbol is not None and symbol not in venue.source.instruments:
            raise Reject(10001, "params error: symbol invalid")
    except Reject as reject:
        return refusal(venue, reject)
    return reply(venue, {"category": parameters.CATEGORY, "list": venue.tickers.rows(symbol)})


def _instruments(venue: Venue, query: Mapping[str, str]) -> dict[str, Any]:
    parameters.INSTRUMENTS.check(INSTRUMENTS, query, venue.statistics)
    check_category(query)
    symbol = query.get("symbol") or None
    if symbol is not None and symbol not in venue.source.instruments:
        raise Reject(10001, "params error: symbol invalid")
    limit = integer(query, "limit", PAGE, 1, LARGEST_PAGE)
    listed = venue.source.instruments.values() if query.get("status") in (None, "", "Trading") else []
    cursor = query.get("cursor") or ""
    for _ in range(2):
        cursor = unquote(cursor)
    try:
        page, following = bybit_page(
            listed,
            symbol=symbol,
            limit=limit,
            cursor=cursor.removeprefix("first="),
            base_coin=query.get("baseCoin") or None,
        )
    except ValueError as error:
        raise Reject(10001, f"params error: {error}") from None
    return {
        "category": parameters.CATEGORY,
        "list": page,
        "nextPageCursor": following and f"first%3D{following}",
    }


# orders


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def deliver(request: web.Request, account: Account, answer: Answer) -> web.StreamResponse:
    """Send an acknowledgement, then let it take effect, unless a fault wants another order of things."""
    venue = request.app[VENUE]
    delivery = answer.delivery
    if delivery in (Delivery.LOST, Delivery.RESTART, Delivery.EMPTY_RESTART):
        if delivery is not Delivery.LOST:
            venue.restart(RESTART_SECONDS, empty=delivery is Delivery.EMPTY_RESTART)
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


def order_operation(operation: str) -> Handler:
    """Return the handler of one order operation's path."""

    async def serve(request: web.Request) -> web.StreamResponse:
        venue = request.app[VENUE]
        body = await request.read()
        try:
            account = venue.accounts.check_rest(request.headers, body)
            answer = account.entry.perform(operation, _json_object(body))
        except Reject as reject:
            return refusal(venue, reject)
        return await deliver(request, account, answer)

    return serve


cancel_all = order_operation(CANCEL_ALL)


def setting(perform: Callable[[Venue, Account, dict[str, Any]], None]) -> Handler:
    """Return the handler of a signed POST that sets something and answers with an empty result."""

    async def serve(request: web.Request) -> web.StreamResponse:
        venue = request.app[VENUE]
        body = await request.read()
        try:
            account = venue.accounts.check_rest(request.headers, body)
            perform(venue, account, _json_object(body))
        except Reject as reject:
            return refusal(venue, reject)
        return reply(venue, {})

    return serve


def _arm_disconnect(venue: Venue, account: Account, words: dict[str, Any]) -> None:
    parameters.DISCONNECT.check("/v5/order/disconnected-cancel-all", words, venue.statistics)
    account.arm_disconnect(words.get("product"), words.get("timeWindow"))


def _switch_mode(venue: Venue, account: Account, words: dict[str, Any]) -> None:
    parameters.SWITCH_MODE.check("/v5/position/switch-mode", words, venue.statistics)
    check_category(words)
    mode = str(words.get("mode"))
    if mode not in ("0", "3"):
        raise Reject(10001, "params error: mode invalid")
    exchange, hedge = account.exchange, mode == "3"
    symbol, coin = words.get("symbol") or None, words.get("coin") or None
    if symbol is None and coin is None:
        raise Reject(10001, "params error: symbol or coin is required")
    symbols = [
        one.symbol
        for one in exchange.instruments.values()
        if (one.symbol == symbol if symbol is not None else one.coins[1] == coin)
    ]
    if not symbols:
        raise Reject(
            10001, "params error: symbol invalid" if symbol is not None else "params error: coin invalid"
        )
    if hedge and any(exchange.instruments[one].coins[1] != "USDT" for one in symbols):
        raise Reject(110029, "Hedge mode is not supported for this symbol.")
    if symbol is not None and (symbol in exchange.hedged) is hedge:
        raise Reject(110025, "Position mode has not been modified.")
    if symbol is None:  # by coin, what holds a position or an order keeps its mode
        busy = {one.symbol for one in exchange.wallet.positions.values() if one.size}
        busy |= {order.symbol for order in exchange.cancel_all()}
        symbols = [one for one in symbols if one not in busy]
    exchange.switch_mode(symbols, hedge=hedge)


disconnected_cancel_all = setting(_arm_disconnect)
switch_mode = setting(_switch_mode)


# queries


async def signed_query(request: web.Request) -> web.StreamResponse:
    """Serve a signed GET: the account's rate first, then the answer."""
    venue = request.app[VENUE]
    quota = None
    try:
        account = venue.accounts.check_rest(request.headers, raw_query(request))
        quota = account.limits.charge(request.path)
        result = account.queries.answer(request.path, query_of(request))
    except Reject as reject:
        response = refusal(venue, reject)
        if quota is not None:
            response.headers.update(quota.headers())
        return response
    return reply(venue, result, quota=quota)
