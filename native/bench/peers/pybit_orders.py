"""What pybit's HTTP session does with an order before it hands it to requests."""

from __future__ import annotations

from pybit.unified_trading import HTTP

from serve_orders import KEY, ORDER, SECRET, Signed, serve

SESSION = HTTP(api_key=KEY, api_secret=SECRET)


def sign() -> Signed:
    """As `_submit_request`, up to the request of the library below."""
    query = SESSION._clean_query(dict(ORDER))
    payload = SESSION.prepare_payload("POST", query)
    return Signed(payload, SESSION._prepare_headers(payload, SESSION.recv_window))


if __name__ == "__main__":
    serve("pybit", sign)
