"""Less trading when the way from the venue to the strategy is slow or loses ticks, and more when it is well again."""

from __future__ import annotations

from typing import Any

from quietcore.bridge.ring import DROPPED
from quietcore.config import DegradeConfig
from quietcore.execution.process import Warn
from quietcore.histogram import percentile
from quietcore.strategy.account import ONLY_REDUCE, Account
from quietcore.strategy.workspace import PUBLISHED_READ, Workspace

LEAST_SAMPLES = 10  # a percentile of fewer says nothing


class Degrader:
    """Judges each period by a picture of the loop's memory and tells the loop through the account."""

    def __init__(self, config: DegradeConfig, account: Account, warn: Warn) -> None:
        self.reason = ""
        self._config, self._account, self._warn = config, account, warn
        self._buckets: Any = None
        self._dropped = 0
        self._well = 0

    def judge(self, picture: Workspace) -> None:
        """Judge what happened since the last picture."""
        found = self._fault(picture)
        if found:
            self._well = 0
            if not self.reason:
                config = self._config
                stop = config.action == "stop"
                self._account.degraded(ONLY_REDUCE if stop else max(1, int(config.share * 1000)))
                what = "only reducing orders" if stop else f"{config.share:.0%} of each size"
                self._warn(f"degraded, {what}: {found}")
            self.reason = found
        elif self.reason:
            self._well += 1
            if self._well >= self._config.recover_after:
                self._warn(f"no longer degraded; it was: {self.reason}")
                self.reason = ""
                self._account.degraded(0)

    def _fault(self, picture: Workspace) -> str:
        buckets = picture.buckets[PUBLISHED_READ].copy()
        dropped = int(picture.counters[DROPPED])
        first = self._buckets is None
        fresh = buckets if first else buckets - self._buckets
        lost = 0 if first else dropped - self._dropped
        self._buckets, self._dropped = buckets, dropped
        config = self._config
        if config.max_drops and lost > config.max_drops:
            return f"{lost:,} ticks lost in a second, {config.max_drops:,} are allowed"
        count = int(fresh.sum())
        if config.max_latency_us and count >= LEAST_SAMPLES and not first:
            slow = percentile(fresh, count, 1 << 62, 0.99) / 1000
            if slow > config.max_latency_us:
                return f"p99 from published to read {slow:,.0f} µs, {config.max_latency_us:,.0f} are allowed"
        return ""
