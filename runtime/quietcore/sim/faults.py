"""Faults on command: each is armed with a count, or for a time, and happens to what it can happen to meanwhile."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field

from quietcore.sim.clock import Clock


class Fault(enum.Enum):
    """What can go wrong. The name is what `POST /sim/faults` takes."""

    TIMEOUT = "timeout"  # an order or a cancel takes effect, but is never answered
    LOST = "lost"  # a request never arrives, and its connection breaks
    DUPLICATE_FILL = "duplicate-fill"  # an execution is told twice
    FILL_FIRST = "fill-before-acknowledgement"  # the private stream is faster than the answer
    CANCEL_CROSSES = "cancel-and-fill-cross"  # an order fills while its cancel is accepted
    DISCONNECT = "disconnect"  # an order takes effect; its connection and the private streams break
    RATE_LIMIT = "rate-limit"  # an order request is refused with 10006
    CLOCK_SKEW = "clock-skew"  # a request is refused with 10002
    RESTART = "restart"  # every connection breaks, nothing is served for a while; only open orders stay live
    POST_ONLY = "reject-post-only"  # a post-only order is cancelled as if it took liquidity
    WRONG_KEY = "wrong-key"  # a request is refused with 10003
    # refusals of the account
    BAD_SIGNATURE = "bad-signature"  # 10004
    NO_PERMISSION = "no-permission"  # 10005
    WRONG_ADDRESS = "wrong-address"  # 10010
    EXPIRED_KEY = "expired-key"  # 33004
    SERVER_ERROR = "server-error"  # 10016
    # refusals of whoever asks, the market's paths included
    QUERY_RATE = "query-rate-limit"  # a query is refused with 10006 and the time of its reset
    ADDRESS_RATE = "address-rate-limit"  # a request is refused with 10018 and the time of its reset
    TOO_MANY = "too-many-requests"  # HTTP 429 with Retry-After
    BANNED = "banned"  # HTTP 418 with Retry-After, as Binance bans an address
    FORBIDDEN = "forbidden"  # HTTP 403 with a page of HTML
    BAD_GATEWAY = "bad-gateway"  # HTTP 502 with a page of HTML
    HANDSHAKE_403 = "handshake-403"  # a WebSocket handshake is declined
    HANDSHAKE_429 = "handshake-429"
    HANDSHAKE_451 = "handshake-451"
    # what is told
    STREAM_ERROR = "stream-error"  # a subscription of Binance's stream is answered with an error
    MUTE = "mute-stream"  # the private streams stay open, and nothing comes on them any more
    ODD_STATUS = "odd-status"  # an order is shown in a status that nobody knows
    REJECT_LATER = "reject-later"  # an order is acknowledged, and Rejected on the stream
    USED_ID = "accept-used-id"  # an orderLinkId of a final order is taken a second time
    EMPTY_RESTART = "empty-restart"  # as restart, and the venue has forgotten every order, fill and position


@dataclass
class Faults:
    """Armed faults, by kind, of all accounts or of one, and how often each has happened."""

    clock: Clock = field(default_factory=Clock)
    armed: Counter[tuple[Fault, str]] = field(default_factory=Counter)
    until_ms: dict[tuple[Fault, str], int] = field(default_factory=dict)
    happened: Counter[Fault] = field(default_factory=Counter)

    def arm(self, fault: Fault, count: int = 1, account: str = "", *, seconds: float = 0.0) -> None:
        """Let a fault happen `count` more times, or to all within `seconds`; `account`: of this key only."""
        if seconds > 0:
            self.until_ms[(fault, account)] = self.clock.steady_ms() + int(seconds * 1000)
        else:
            self.armed[(fault, account)] += count

    def clear(self) -> None:
        """Disarm everything."""
        self.armed.clear()
        self.until_ms.clear()

    def strikes(self, fault: Fault, account: str = "") -> bool:
        """Return whether the fault happens now, which uses it up where it was armed with a count."""
        if not self.armed and not self.until_ms:
            return False
        for key in dict.fromkeys(((fault, account), (fault, ""))):
            if key in self.armed:
                self.armed[key] -= 1
                if not self.armed[key]:
                    del self.armed[key]
            elif self.until_ms.get(key, 0) <= self.clock.steady_ms():
                self.until_ms.pop(key, None)
                continue
            self.happened[fault] += 1
            return True
        return False

    def left_ms(self, fault: Fault, account: str = "") -> int:
        """Return how long a fault goes on that was armed for a time, 0 where it was not."""
        until = max(self.until_ms.get((fault, account), 0), self.until_ms.get((fault, ""), 0))
        return max(until - self.clock.steady_ms(), 0)

    def state(self) -> dict[str, dict[str, int]]:
        """Return counts by name, for `/sim/state`; `until`: venue ms."""
        waiting: Counter[str] = Counter()
        for (fault, _), count in self.armed.items():
            waiting[fault.value] += count
        now = self.clock.steady_ms()
        return {
            "armed": {name: count for name, count in waiting.items() if count},
            "until": {
                fault.value: self.clock.told(end) for (fault, _), end in self.until_ms.items() if end > now
            },
            "happened": {fault.value: count for fault, count in self.happened.items()},
        }
