"""Bybit v5: order entry over REST, order and execution events over the private stream."""

from __future__ import annotations

from quietcore.venues.bybit.venue import BybitVenue
from quietcore.venues.interface import Credentials, Endpoints


def linear(endpoints: Endpoints, credentials: Credentials) -> BybitVenue:
    """Return the order entry for linear contracts."""
    return BybitVenue("bybit-linear", "linear", endpoints, credentials)
