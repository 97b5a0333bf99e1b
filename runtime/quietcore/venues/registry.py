"""The venues by the name they have in configurations: their order entry, and the hosts that may be measured."""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Mapping

from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Credentials, Endpoints, OrderVenue, Target

# name → (module, factory); imported only when asked for.
ORDER_VENUES = {
    "bybit-linear": ("quietcore.venues.bybit", "linear"),
}
DEFAULT_VENUE = "bybit-linear"
# name → module with ``targets(region, testnet)``
HOSTS = {
    "bybit-linear": "quietcore.venues.bybit.hosts",
}


def endpoint_targets(name: str, region: str, testnet: bool) -> list[Target]:
    """Return the endpoints of a venue's region that may be measured."""
    if name not in HOSTS:
        raise QuietcoreError(
            "unknown venue", where="venue", found=repr(name), expected=f"one of {', '.join(HOSTS)}"
        )
    found: list[Target] = importlib.import_module(HOSTS[name]).targets(region, testnet)
    return found


def targets_of_urls(name: str, urls: list[str]) -> list[Target]:
    """Return what may be measured at URLs of the caller's: scheme and host, and a port where it is not the usual."""
    kinds = {"ws": "websocket", "wss": "websocket", "http": "rest", "https": "rest"}
    like = {target.kind: target for target in endpoint_targets(name, "global", False)}
    found = []
    for url in urls:
        parts = urllib.parse.urlsplit(url)
        try:
            kind, port = kinds[parts.scheme], parts.port
        except (KeyError, ValueError):
            kind = ""
        if not kind or not parts.hostname or parts.path.strip("/"):
            raise QuietcoreError("bad URL", found=url, expected="ws, wss, http or https, and a host")
        tls = parts.scheme in ("wss", "https")
        found.append(like[kind]._replace(host=parts.hostname, port=port or (443 if tls else 80), tls=tls))
    return found


def order_venue(
    name: str,
    endpoints: Endpoints,
    credentials: Credentials,
    where: str,
    pins: Mapping[str, str] | None = None,
) -> OrderVenue:
    """Return a venue's order entry, not yet opened; ``where`` names the configuration in the error.

    ``pins``: addresses at which hosts are reached, as they are at the time of a connection.
    """
    if name not in ORDER_VENUES:
        raise QuietcoreError(
            "unknown venue", where=where, found=repr(name), expected=f"one of {', '.join(ORDER_VENUES)}"
        )
    module, factory = ORDER_VENUES[name]
    venue: OrderVenue = getattr(importlib.import_module(module), factory)(endpoints, credentials, pins)
    return venue
