"""Refusals on command: what the venue says when it will not serve, in the form that it says it in.

Sources: bybit-exchange.github.io/docs/v5/error and /docs/v5/rate-limit (403 and 429 before the service, 10006 and 10018
with the time of the reset), developers.binance.com, USD-M futures, "General info" (429 and 418 with Retry-After).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quietcore.sim.faults import Fault, Faults
from quietcore.sim.refusal import HttpRefusal, Reject
from quietcore.sim.statistics import Statistics

USUAL_PAUSE_MS = 1000  # after a refusal that was armed with a count

# Of an account, at each signed request and at each authentication of a stream.
ACCOUNT = {
    Fault.WRONG_KEY: (10003, "API key is invalid."),
    Fault.BAD_SIGNATURE: (10004, "error sign! please check your signature generation algorithm."),
    Fault.NO_PERMISSION: (10005, "Permission denied, please check your API key permissions."),
    Fault.WRONG_ADDRESS: (10010, "Unmatched IP, please check your API key's bound IP addresses."),
    Fault.EXPIRED_KEY: (33004, "Your api key has expired."),
}
# Of an account, at each signed request.
REQUEST = {
    Fault.CLOCK_SKEW: (10002, "invalid request, please check your server timestamp or recv_window param."),
    Fault.SERVER_ERROR: (10016, "Server error."),
}
RESET = {
    Fault.QUERY_RATE: (10006, "Too many visits. Exceeded the API Rate Limit."),
    Fault.ADDRESS_RATE: (10018, "Exceeded the IP Rate Limit."),
}
PAGE = "<html><head><title>{0} {1}</title></head><body><center><h1>{0} {1}</h1></center></body></html>\n"
PAGES = {
    Fault.FORBIDDEN: (403, "Forbidden"),
    Fault.BAD_GATEWAY: (502, "Bad Gateway"),
}
RETRY_AFTER = {Fault.TOO_MANY: 429, Fault.BANNED: 418}
HANDSHAKES = {Fault.HANDSHAKE_403: 403, Fault.HANDSHAKE_429: 429, Fault.HANDSHAKE_451: 451}


@dataclass
class Pause:
    """A refusal that said until when nobody should ask; ``until_ms``: of the steady clock."""

    until_ms: int
    kind: str


class Refusals:
    """Asks the faults at each request; counts those that come although a pause was asked for."""

    def __init__(self, faults: Faults, statistics: Statistics) -> None:
        self._faults, self._statistics = faults, statistics
        self._pauses: dict[str, Pause] = {}

    def check_authentication(self, account: str) -> None:
        """Refuse the key of an account; raise Reject."""
        for fault, (code, message) in ACCOUNT.items():
            if self._faults.strikes(fault, account):
                raise Reject(code, message)

    def check_request(self, account: str) -> None:
        """Refuse a signed request whose key is right; raise Reject."""
        for fault, (code, message) in REQUEST.items():
            if self._faults.strikes(fault, account):
                raise Reject(code, message)

    def check_visitor(self, address: str, *, query: bool, handshake: bool = False) -> None:
        """Refuse whoever asks, before the request is looked at; raise HttpRefusal or Reject.

        `query`: it is no order request; `handshake`: it asks for a WebSocket.
        """
        faults = self._faults
        now = faults.clock.steady_ms()
        pause = self._pauses.get(address)
        if pause is not None and now < pause.until_ms:
            self._statistics.early[pause.kind] += 1
        if handshake:
            for fault, status in HANDSHAKES.items():
                if faults.strikes(fault):
                    raise self._page(status, "Declined")
            return
        for fault, (status, title) in PAGES.items():
            if faults.strikes(fault):
                raise self._page(status, title)
        for fault, status in RETRY_AFTER.items():
            if faults.strikes(fault):
                seconds = max(1, math.ceil((self._pause(fault, address) - now) / 1000))
                raise HttpRefusal(
                    status,
                    '{"code":-1003,"msg":"Too many requests; please slow down."}',
                    "application/json",
                    {"Retry-After": str(seconds)},
                )
        for fault, (code, message) in RESET.items():
            if (query or fault is Fault.ADDRESS_RATE) and faults.strikes(fault):
                end = self._pause(fault, address)
                raise Reject(code, message, reset_headers(faults.clock.told(end)))

    def _pause(self, fault: Fault, address: str) -> int:
        left = max(self._faults.left_ms(fault), USUAL_PAUSE_MS)
        end = self._faults.clock.steady_ms() + left
        self._pauses[address] = Pause(end, fault.value)
        return end

    @staticmethod
    def _page(status: int, title: str) -> HttpRefusal:
        return HttpRefusal(status, PAGE.format(status, title), "text/html", {})


def reset_headers(end_ms: int) -> dict[str, str]:
    """Return the headers that tell when there is room again."""
    return {
        "X-Bapi-Limit": "0",
        "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": str(end_ms),
    }
