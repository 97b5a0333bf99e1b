"""How many requests an account and an address may make, and what the venue says of it.

Source: bybit-exchange.github.io/docs/v5/rate-limit. Orders are counted in windows that roll; a batch has a bucket
of its own, charged by order. An address that exceeds its limit is shut out for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quietcore.sim.clock import Clock
from quietcore.sim.refusal import Reject
from quietcore.sim.statistics import Statistics

SECOND_MS = 1000
ADDRESS_REQUESTS = 600
ADDRESS_WINDOW_MS = 5000
ADDRESS_BAN_MS = 600_000


@dataclass(frozen=True)
class Rates:
    """Requests an account may make in a second, 0 for any number: orders by bucket, queries each."""

    orders: int = 10
    queries: int = 50

    def of(self, bucket: str) -> int:
        """Return the limit of a bucket: an order operation's name, or a query's path."""
        return self.queries if bucket.startswith("/") else self.orders


UNLIMITED = Rates(0, 0)


class Quota(NamedTuple):
    """What the headers tell: the limit, what is left of it, when (venue ms) there is room again."""

    limit: int
    left: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """Return the venue's headers."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class RateLimitedError(Reject):
    """Too many requests; `quota` goes into the headers."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        super().__init__(10006, "Too many visits. Exceeded the API Rate Limit.", quota.headers())


class Window:
    """Requests within the last `length_ms`, of a steady clock."""

    def __init__(self, limit: int, length_ms: int) -> None:
        self.limit, self.length_ms = limit, length_ms
        self._at: deque[int] = deque()

    def charge(self, now_ms: int, cost: int) -> int | None:
        """Count `cost` requests and return how many are left; None, and nothing counted, where they do not fit."""
        at = self._at
        while at and at[0] <= now_ms - self.length_ms:
            at.popleft()
        if len(at) + cost > self.limit:
            return None
        at.extend([now_ms] * cost)
        return self.limit - len(at)

    def free_ms(self, now_ms: int) -> int:
        """Return when one more request will fit."""
        return self._at[0] + self.length_ms if len(self._at) >= self.limit else now_ms


class RateLimits:
    """The buckets of one account."""

    def __init__(self, rates: Rates, clock: Clock, statistics: Statistics | None = None) -> None:
        self.rates = rates
        self.refused = 0
        self._clock = clock
        self._statistics = statistics or Statistics()
        self._buckets: dict[str, Window] = {}
        self._resets: dict[str, int] = {}  # when a bucket that refused has room again, by the steady clock

    def pause(self, bucket: str, left_ms: int) -> Quota:
        """Return what the headers of a refusal on command tell: nothing is left for so long, 0: for a second."""
        now = self._clock.steady_ms()
        self._note_early(bucket, now)
        self._resets[bucket] = now + (left_ms or SECOND_MS)
        return Quota(self.rates.orders, 0, self._clock.told(self._resets[bucket]))

    def _note_early(self, bucket: str, now_ms: int) -> None:
        if now_ms < self._resets.get(bucket, 0):
            self._statistics.early[f"10006 {bucket}"] += 1

    def charge(self, bucket: str, cost: int = 1) -> Quota | None:
        """Count `cost` requests; None where there is no limit. Raises RateLimitedError."""
        limit = self.rates.of(bucket)
        if not limit:
            return None
        window = self._buckets.get(bucket)
        if window is None:
            window = self._buckets[bucket] = Window(limit, SECOND_MS)
        now = self._clock.steady_ms()
        self._note_early(bucket, now)
        left = window.charge(now, cost)
        reset_ms = self._clock.told(window.free_ms(now))
        if left is None:
            self.refused += 1
            self._resets[bucket] = window.free_ms(now)
            raise RateLimitedError(Quota(limit, 0, reset_ms))
        return Quota(limit, left, reset_ms)


class AddressLimits:
    """Requests by client address; `limit` 0: any number."""

    def __init__(
        self,
        clock: Clock,
        *,
        limit: int = ADDRESS_REQUESTS,
        ban_ms: int = ADDRESS_BAN_MS,
        statistics: Statistics | None = None,
    ) -> None:
        self._clock, self._limit, self._ban_ms = clock, limit, ban_ms
        self._statistics = statistics or Statistics()
        self._windows: dict[str, Window] = {}
        self._banned: dict[str, int] = {}

    def allows(self, address: str) -> bool:
        """Count a request; False where the address is shut out (HTTP 403)."""
        if not self._limit:
            return True
        now = self._clock.steady_ms()
        if self._banned.get(address, 0) > now:
            self._statistics.early["HTTP 403 of the address"] += 1
            return False
        window = self._windows.setdefault(address, Window(self._limit, ADDRESS_WINDOW_MS))
        if window.charge(now, 1) is None:
            self._banned[address] = now + self._ban_ms
            return False
        return True

    @property
    def banned(self) -> Mapping[str, int]:
        """Addresses shut out, and until when (venue ms)."""
        return {address: self._clock.told(end) for address, end in self._banned.items()}
