"""What the runtime's REST client does with an order before it hands it to aiohttp."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "runtime"))

import msgspec

from quietcore.venues.bybit import signing
from quietcore.venues.interface import Credentials
from serve_orders import KEY, ORDER, SECRET, Signed, serve

CREDENTIALS = Credentials(KEY, SECRET.encode())


def sign() -> Signed:
    """As `BybitRest.post`."""
    text = msgspec.json.encode(dict(ORDER)).decode()
    headers = signing.headers(CREDENTIALS, time.time_ns() // 1_000_000, text)
    headers["Content-Type"] = "application/json"
    text.encode()
    return Signed(text, headers)


if __name__ == "__main__":
    serve("quietcore", sign)
