"""The simulator's own paths, for tests and scripts on this machine only."""

from __future__ import annotations

import ipaddress

import msgspec
from aiohttp import web

from quietcore.sim.faults import Fault
from quietcore.sim.venue import VENUE, json_response

MOST_RESTART_SECONDS = 600.0


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A fault that is wanted."""

    fault: str = ""
    count: int = 1
    account: str = ""
    clear: bool = False


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
    """Serve `POST /sim/faults`: {"fault": NAME, "count": N, "account": KEY}, or {"clear": true}."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    venue = request.app[VENUE]
    try:
        wish = msgspec.json.decode(await request.text(), type=Wish)
        if wish.clear:
            venue.faults.clear()
        if wish.fault:
            venue.faults.arm(Fault(wish.fault), wish.count, wish.account)
    except (msgspec.MsgspecError, ValueError) as error:
        names = ", ".join(fault.value for fault in Fault)
        return json_response({"error": f"{error}; faults: {names}"}, status=400)
    return json_response(venue.faults.state())


async def restart(request: web.Request) -> web.Response:
    """Serve `POST /sim/restart?seconds=S`: break everything, serve nothing for S seconds (0.5)."""
    if not _from_this_machine(request):
        raise web.HTTPForbidden(text="loopback only\n")
    try:
        seconds = float(request.query.get("seconds", "0.5"))
    except ValueError:
        return json_response({"error": "seconds is no number"}, status=400)
    if not 0 <= seconds <= MOST_RESTART_SECONDS:
        return json_response({"error": f"seconds: 0 to {MOST_RESTART_SECONDS:g}"}, status=400)
    request.app[VENUE].restart(seconds)
    return json_response({"away_seconds": seconds})
