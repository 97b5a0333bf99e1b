"""What ccxt does with an order's own fields before it hands them to requests."""

from __future__ import annotations

import ccxt

from serve_orders import KEY, ORDER, SECRET, Signed, serve

EXCHANGE = ccxt.bybit({"apiKey": KEY, "secret": SECRET})


def sign() -> Signed:
    """As `fetch2`, up to the request of the library below."""
    made = EXCHANGE.sign("v5/order/create", ["private"], "POST", dict(ORDER))
    return Signed(made["body"], made["headers"])


if __name__ == "__main__":
    serve("ccxt", sign)
