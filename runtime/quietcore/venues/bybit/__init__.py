"""Bybit v5: order entry over REST and WebSocket, public and private streams, and clients for programs."""

from __future__ import annotations

from collections.abc import Mapping

from quietcore.venues.bybit.http_client import BybitHTTPClient
from quietcore.venues.bybit.stream import BybitPrivateWebSocket, BybitPublicWebSocket
from quietcore.venues.bybit.trade_stream import BybitOrderEntry, BybitTradeWebSocket
from quietcore.venues.bybit.venue import BybitVenue
from quietcore.venues.interface import Credentials, Endpoints

__all__ = [
    "BybitHTTPClient",
    "BybitOrderEntry",
    "BybitPrivateWebSocket",
    "BybitPublicWebSocket",
    "BybitTradeWebSocket",
    "BybitVenue",
    "linear",
]


def linear(
    endpoints: Endpoints, credentials: Credentials, pins: Mapping[str, str] | None = None
) -> BybitVenue:
    """Return the order entry for linear contracts; ``pins``: addresses to reach hosts at."""
    return BybitVenue("bybit-linear", "linear", endpoints, credentials, pins)
