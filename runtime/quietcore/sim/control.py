"""The simulator's own paths, for tests and scripts on this machine only."""

from __future__ import annotations

import ipaddress

from aiohttp import web

from quietcore.sim.venue import VENUE, json_response


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
