"""How a parent order is cut: sizes that sum up exactly, by the venue's steps; and times that keep to its rate."""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Instrument

WINDOW_SECONDS = 1.0
# Requests that were sent apart may arrive closer together: the budget keeps this much more distance.
MARGIN_SECONDS = 0.1
MOST_PARTS = 1000


def split(size: Decimal, price: Decimal, rules: Instrument, wanted: int) -> list[Decimal]:
    """Cut ``size`` into at most ``wanted`` parts, or more where the venue's largest order demands it.

    Each is a multiple of the lot, at least the venue's smallest quantity and value; they differ by one lot at most and
    sum up to ``size``. Raises QuietcoreError where ``size`` or ``price`` is no multiple of its step, or too small.
    """
    for name, value, step in (("size", size, rules.lot_size), ("price", price, rules.tick_size)):
        if not value.is_finite() or value <= 0 or value % step:
            raise QuietcoreError(
                f"{name} of the order is not possible",
                where=rules.symbol,
                found=value,
                expected=f"a positive multiple of {step}",
            )
    least_value = (rules.min_notional / price / rules.lot_size).to_integral_value(ROUND_CEILING)
    least = max(
        int((rules.min_quantity / rules.lot_size).to_integral_value(ROUND_CEILING)), int(least_value), 1
    )
    lots = int(size / rules.lot_size)
    if lots < least:
        raise QuietcoreError(
            "order is too small for the venue",
            where=rules.symbol,
            found=size,
            expected=f"at least {least * rules.lot_size}",
        )
    parts = max(1, min(wanted, lots // least))
    if rules.max_quantity.is_finite():
        parts = max(parts, -(-lots // int(rules.max_quantity / rules.lot_size)))
    if parts > min(MOST_PARTS, lots // least):
        raise QuietcoreError(
            "order cannot be cut by the venue's limits",
            where=rules.symbol,
            found=f"{parts} parts of at most {rules.max_quantity}",
            expected=f"at most {min(MOST_PARTS, lots // least)} parts",
        )
    base, more = divmod(lots, parts)
    return [(base + (number < more)) * rules.lot_size for number in range(parts)]


def jittered_times(start: float, count: int, least: float, most: float, chance: random.Random) -> list[float]:
    """Return ``count`` times, the first at ``start``, with ``least`` to ``most`` seconds between neighbours."""
    times = [start]
    for _ in range(count - 1):
        times.append(times[-1] + chance.uniform(least, most))
    return times


class RateBudget:
    """The times at which orders have gone or will go out: never more than ``limit`` in any second.

    Times are seconds of the caller's clock.
    """

    def __init__(self, limit: int, *, window: float = WINDOW_SECONDS, margin: float = MARGIN_SECONDS) -> None:
        if limit < 1:
            raise ValueError(f"limit {limit}: at least 1 a second")
        self.limit = limit
        self._window = window + margin
        self._least = self._window - 1e-6  # sums of seconds are not exact
        self._times: list[float] = []

    def fits(self, times: Sequence[float]) -> bool:
        """Return whether all of them could go out, beside what is reserved already."""
        merged = sorted([*self._times, *times])
        return all(
            merged[first + self.limit] - merged[first] >= self._least
            for first in range(len(merged) - self.limit)
        )

    def earliest(self, wanted: Sequence[float]) -> list[float]:
        """Return the earliest times that fit, none before its wanted one or its predecessor."""
        taken = list(self._times)
        found: list[float] = []
        for time in wanted:
            at = max([time, *found[-1:]])
            while (later := self._blocked_until(taken, at)) is not None:
                at = later
            bisect.insort(taken, at)
            found.append(at)
        return found

    def earliest_together(self, count: int, at: float) -> float:
        """Return the earliest time from ``at`` on when ``count`` orders, at most the limit, fit at once."""
        while not self.fits([at] * count):
            at = min(time + self._window for time in self._times if time + self._window > at)
        return at

    def _blocked_until(self, taken: list[float], at: float) -> float | None:
        """Return a later time to try, None where ``at`` is free."""
        place = bisect.bisect_right(taken, at)
        merged = [*taken[:place], at, *taken[place:]]
        for first in range(max(0, place - self.limit), min(place, len(merged) - 1 - self.limit) + 1):
            if merged[first + self.limit] - merged[first] < self._least:
                last = place == first + self.limit
                return merged[first] + self._window if last else merged[place + 1]
        return None

    def reserve(self, times: Sequence[float], now: float) -> None:
        """Count times as used; forget those that no window reaches any more."""
        for time in times:
            bisect.insort(self._times, time)
        del self._times[: bisect.bisect_left(self._times, now - self._window)]

    def release(self, times: Sequence[float]) -> None:
        """Give back what was reserved and not used."""
        for time in times:
            place = bisect.bisect_left(self._times, time)
            if place < len(self._times) and self._times[place] == time:
                del self._times[place]
