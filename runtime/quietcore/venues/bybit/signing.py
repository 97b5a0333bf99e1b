"""Bybit v5 signatures: HMAC-SHA256 in lower-case hexadecimal digits.

REST: over timestamp + key + recv_window + (query string or JSON body). Private stream: over "GET/realtime" +
expiry. https://bybit-exchange.github.io/docs/v5/guide and /docs/v5/ws/connect
"""

from __future__ import annotations

import hashlib
import hmac

from quietcore.venues.interface import Credentials

RECV_WINDOW_MS = 5000


def sign(secret: bytes, text: str) -> str:
    """Return the signature of ``text``."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


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
