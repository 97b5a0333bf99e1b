"""Bybit v5 signatures: HMAC-SHA256 in lower-case hexadecimal digits.

REST: over timestamp + key + recv_window + (query string or JSON body), byte for byte as they are sent. Private stream:
over "GET/realtime" + expiry. https://bybit-exchange.github.io/docs/v5/guide and /docs/v5/ws/connect
"""

from __future__ import annotations

import hashlib
import hmac
import re
import urllib.parse
from collections.abc import Mapping

from quietcore.venues.interface import Credentials

RECV_WINDOW_MS = 5000
CURSOR = "cursor"
_ESCAPE = re.compile(r"(%[0-9A-Fa-f]{2})")


def sign(secret: bytes, text: str) -> str:
    """Return the signature of ``text``."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def query_text(query: Mapping[str, str]) -> str:
    """Return a query string as it is signed and sent: values percent-encoded, but a cursor as the venue gave it.

    Bybit's cursors are percent-encoded already (`132766%3A2%2C132766%3A2`) and wanted back as they are
    (bybit-exchange.github.io/docs/v5/order/execution). What may not stand in a query is encoded in them too.

    >>> query_text({"symbol": "A&B C", "cursor": "BTCUSDT%2C17%2C0"})
    'symbol=A%26B%20C&cursor=BTCUSDT%2C17%2C0'
    """
    return "&".join(
        f"{name}={_cursor(value) if name == CURSOR else urllib.parse.quote(value, safe='')}"
        for name, value in query.items()
    )


def _cursor(value: str) -> str:
    # An odd part is an escape that stands there already.
    parts = enumerate(_ESCAPE.split(value))
    return "".join(part if odd % 2 else urllib.parse.quote(part, safe=":,=/@!$'()*;~") for odd, part in parts)


def headers(credentials: Credentials, timestamp_ms: int, payload: str) -> dict[str, str]:
    """Return the headers that sign ``payload``: the query string of a GET, the body of a POST."""
    window = str(RECV_WINDOW_MS)
    text = f"{timestamp_ms}{credentials.key}{window}{payload}"
    return {
        "X-BAPI-API-KEY": credentials.key,
        "X-BAPI-TIMESTAMP": str(timestamp_ms),
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": sign(credentials.secret, text),
    }


def stream_authentication(credentials: Credentials, expires_ms: int) -> list[str | int]:
    """Return the arguments of the private stream's ``auth`` operation."""
    return [credentials.key, expires_ms, sign(credentials.secret, f"GET/realtime{expires_ms}")]
