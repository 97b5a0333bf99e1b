"""The venues that orders can be sent to, by the name they have in configurations."""

from __future__ import annotations

import importlib

from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Credentials, Endpoints, OrderVenue

# name → (module, factory); imported only when asked for.
ORDER_VENUES = {
    "bybit-linear": ("quietcore.venues.bybit", "linear"),
}


def order_venue(name: str, endpoints: Endpoints, credentials: Credentials, where: str) -> OrderVenue:
    """Return a venue's order entry, not yet opened; ``where`` names the configuration in the error."""
    if name not in ORDER_VENUES:
        raise QuietcoreError(
            "unknown venue", where=where, found=repr(name), expected=f"one of {', '.join(ORDER_VENUES)}"
        )
    module, factory = ORDER_VENUES[name]
    venue: OrderVenue = getattr(importlib.import_module(module), factory)(endpoints, credentials)
    return venue
