"""Who may trade: the key, REST signatures and WebSocket authentication, as Bybit v5 asks for them.

Source: bybit-exchange.github.io/docs/v5/guide (authentication) and /docs/v5/ws/connect.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quietcore.sim.refusal import Reject

DEFAULT_WINDOW_MS = 5000
AHEAD_MS = 1000


@dataclass(frozen=True)
class Credentials:
    """The account's API key and secret; the secret is never shown."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials(key={self.key!r})"

    def sign(self, signed: bytes) -> str:
        """HMAC-SHA256 of `signed`, lower-case hex."""
        return hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()


class Authenticator:
    """Checks requests against the account's credentials and the venue's clock (`now_ms`)."""

    def __init__(self, credentials: Credentials, now_ms: Callable[[], int]) -> None:
        self._credentials = credentials
        self._now_ms = now_ms

    def check_rest(self, headers: Mapping[str, str], payload: bytes) -> None:
        """Check a REST request; raise Reject 10003, 10002 or 10004.

        `payload`: query string or body, byte for byte as received: whoever changes a cursor's percent signs on the
        way after it was signed is refused.
        """
        key = headers.get("X-BAPI-API-KEY", "")
        if not hmac.compare_digest(key.encode(), self._credentials.key.encode()):
            raise Reject(10003, "API key is invalid.")
        stamp, window = headers.get("X-BAPI-TIMESTAMP", ""), headers.get("X-BAPI-RECV-WINDOW", "")
        try:
            sent_ms = int(stamp)
            window_ms = int(window) if window else DEFAULT_WINDOW_MS
        except ValueError:
            raise Reject(10001, "params error: timestamp or recv_window invalid") from None
        now = self._now_ms()
        if not now - window_ms <= sent_ms < now + AHEAD_MS:
            raise Reject(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{sent_ms}],server_timestamp[{now}],recv_window[{window_ms}]",
            )
        expected = self._credentials.sign(f"{stamp}{key}{window}".encode() + payload)
        if not hmac.compare_digest(headers.get("X-BAPI-SIGN", "").encode(), expected.encode()):
            raise Reject(10004, "error sign! please check your signature generation algorithm.")

    def check_socket(self, arguments: object) -> None:
        """Check the `args` of an `auth` (key, expiry in ms, signature); raise Reject 10003 or 10004."""
        if not isinstance(arguments, list) or len(arguments) != 3:
            raise Reject(10001, "Params Error")
        key, expires, signature = arguments
        if key != self._credentials.key:
            raise Reject(10003, "API key is invalid.")
        expected = self._credentials.sign(f"GET/realtime{expires}".encode())
        if not isinstance(signature, str) or not hmac.compare_digest(signature.encode(), expected.encode()):
            raise Reject(10004, "error sign! please check your signature generation algorithm.")
        try:
            expired = int(expires) <= self._now_ms()
        except (TypeError, ValueError):
            raise Reject(10001, "Params Error") from None
        if expired:
            raise Reject(10004, "Request expired")
