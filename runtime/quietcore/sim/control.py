"""The simulator's own paths, for tests and scripts on this machine only."""

from __future__ import annotations

import ipaddress
from decimal import Decimal, InvalidOperation

import msgspec
from aiohttp import web

from quietcore.sim.accounts import Account
from quietcore.sim.externals import External
from quietcore.sim.faults import Fault
from quietcore.sim.orders import Side
from quietcore.sim.refusal import Reject
from quietcore.sim.refusals import HANDSHAKES, PAGES, RESET, RETRY_AFTER
from quietcore.sim.venue import VENUE, Venue, json_response

MOST_RESTART_SECONDS = 600.0
MOST_FAULT_SECONDS = 3600.0
OF_VISITORS = {*RESET, *PAGES, *RETRY_AFTER, *HANDSHAKES, Fault.STREAM_ERROR}


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A fault that is wanted; `seconds`: for so long, instead of `count` times."""

    fault: str = ""
    count: int = 1
    seconds: float = 0.0
    account: str = ""
    clear: bool = False


class Execution(msgspec.Struct, forbid_unknown_fields=True):
    """An execution that the venue makes by itself; `account`: the first one where it is not said."""

    type: str
    symbol: str
    side: str
    qty: str
    price: str
    fee: str = "0"
    positionIdx: int = 0  # noqa: N815 - the venue's spelling
    account: str = ""


class Mode(msgspec.Struct, forbid_unknown_fields=True):
    """A position mode, of one symbol or of all."""

    hedge: bool
    symbol: str = ""
    account: str = ""


def _from_this_machine(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


async def start(request: web.Request) -> web.Response:
    """Serve `POST /sim/start`: begin replaying now; harmless when it has begun."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    venue = request.app[VENUE]
    venue.replay.start()
    return json_response({"phase": venue.replay.phase.name.lower()})


async def state(request: web.Request) -> web.Response:
    """Serve `GET /sim/state`."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    return json_response(request.app[VENUE].state())


async def faults(request: web.Request) -> web.Response:
    """Serve `POST /sim/faults`: {"fault": NAME, "count": N or "seconds": S, "account": KEY}, or {"clear": true}."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    venue = request.app[VENUE]
    try:
        wish = msgspec.json.decode(await request.text(), type=Wish)
        if wish.clear:
            venue.faults.clear()
        if wish.fault:
            if not 0 <= wish.seconds <= MOST_FAULT_SECONDS or wish.count < 1:
                raise ValueError(f"count: 1 or more; seconds: 0 to {MOST_FAULT_SECONDS:g}")
            fault = Fault(wish.fault)
            if wish.account and fault in OF_VISITORS:
                raise ValueError(f"account: {fault.value} happens to whoever asks")
            if wish.account:
                _account(venue, wish.account)
            venue.faults.arm(fault, wish.count, wish.account, seconds=wish.seconds)
    except (msgspec.MsgspecError, ValueError) as error:
        names = ", ".join(fault.value for fault in Fault)
        return json_response({"error": f"{error}; faults: {names}"}, status=400)
    return json_response(venue.faults.state())


async def restart(request: web.Request) -> web.Response:
    """Serve `POST /sim/restart?seconds=S`: break everything, serve nothing for S seconds (0.5).

    With `&empty=true` the venue comes back without any order, fill or position.
    """
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    try:
        seconds = float(request.query.get("seconds", "0.5"))
    except ValueError:
        return json_response({"error": "seconds is no number"}, status=400)
    if not 0 <= seconds <= MOST_RESTART_SECONDS:
        return json_response({"error": f"seconds: 0 to {MOST_RESTART_SECONDS:g}"}, status=400)
    empty = request.query.get("empty", "false")
    if empty not in ("true", "false"):
        return json_response({"error": "empty: true or false"}, status=400)
    request.app[VENUE].restart(seconds, empty=empty == "true")
    return json_response({"away_seconds": seconds, "empty": empty == "true"})


def _account(venue: Venue, key: str) -> Account:
    for account in venue.accounts:
        if key in ("", account.key):
            return account
    raise ValueError(f"account {key}: there is none")


async def executions(request: web.Request) -> web.Response:
    """Serve `POST /sim/executions`: execute what no order caused, e.g. {"type": "AdlTrade", "symbol": …}."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    try:
        wish = msgspec.json.decode(await request.text(), type=Execution)
        account = _account(request.app[VENUE], wish.account)
        report = account.exchange.external(
            External(
                *(wish.type, wish.symbol, Side(wish.side), Decimal(wish.qty), Decimal(wish.price)),
                *(Decimal(wish.fee), wish.positionIdx),
            )
        )
    except (msgspec.MsgspecError, ValueError, InvalidOperation, Reject) as error:
        return json_response({"error": str(error) or repr(error)}, status=400)
    account.tell(report)
    return json_response({"execId": report.fills[0].execution_id})


async def position_mode(request: web.Request) -> web.Response:
    """Serve `POST /sim/position-mode`: {"hedge": true, "symbol": S}; without a symbol all of them."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    try:
        wish = msgspec.json.decode(await request.text(), type=Mode)
        exchange = _account(request.app[VENUE], wish.account).exchange
        if wish.symbol and wish.symbol not in exchange.instruments:
            raise ValueError(f"symbol {wish.symbol}: not listed")
        exchange.switch_mode([wish.symbol] if wish.symbol else list(exchange.instruments), hedge=wish.hedge)
    except (msgspec.MsgspecError, ValueError, Reject) as error:
        return json_response({"error": str(error)}, status=400)
    return json_response({"hedged": sorted(exchange.hedged)})
