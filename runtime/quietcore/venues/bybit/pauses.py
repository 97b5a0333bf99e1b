"""How long a host wants no request: one pause for everything that is sent to it, whoever sends it.

What dictates a pause: `Retry-After` (seconds or a date, RFC 9110 10.2.3) with 429, 403, 418 or 503; an address that is
shut out, 403 or 10018, until `X-Bapi-Limit-Reset-Timestamp`; and the account's rate, 10006 with that header, for one
bucket: an order operation has one of its own, so that orders that were too many delay no cancel, and all questions
share one. A moment that the venue names is compared with its own clock, which its answer tells too: this host's may be
off, or step. Where no time is named, pauses begin short and double, up to the ten minutes for which Bybit shuts
addresses out (bybit-exchange.github.io/docs/v5/rate-limit): orders may be open meanwhile.
"""

from __future__ import annotations

import email.utils
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple

MOST_SECONDS = 3600.0
# Where the venue names no time: then twice that, and so on, until a request succeeds.
FIRST_SECONDS = 1.0
SHUT_OUT_FIRST_SECONDS, SHUT_OUT_SECONDS = 10.0, 600.0
RATE_SECONDS = 1.0  # requests are counted over one second: what is best where the venue names no time
RATE_MOST_SECONDS = 60.0
QUESTIONS = "questions"  # the bucket of every GET
RATE_CODES = frozenset({10006, 10429, 20003})
ADDRESS_CODES = frozenset({10018})
DICTATING = frozenset({403, 418, 429})
TOO_FREQUENT = "too frequent"


class Pause(NamedTuple):
    """``until``: of the clock; ``why``: the venue's words."""

    until: float
    why: str


def host_of(url: str) -> str:
    """Return what pauses are kept by: host and port, whatever the scheme."""
    return urllib.parse.urlsplit(url).netloc or url


class Pauses:
    """The pauses of all hosts that a client speaks to. ``clock``: seconds; ``wall``: UTC seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall = clock, wall
        self._hosts: dict[str, Pause] = {}
        self._buckets: dict[tuple[str, str], Pause] = {}
        self._next: dict[str, float] = {}

    def left(self, url: str, bucket: str) -> tuple[float, str]:
        """Return for how many seconds nothing of a bucket may be sent to a host, 0 for none, and why."""
        host, now = host_of(url), self._clock()
        found = [self._hosts.get(host), self._buckets.get((host, bucket))]
        last = max((one for one in found if one is not None), key=lambda one: one.until, default=None)
        return (0.0, "") if last is None or last.until <= now else (last.until - now, last.why)

    def answered(self, url: str) -> None:
        """Take note that a host does what it is asked."""
        self._next.pop(host_of(url), None)

    def note(
        self,
        url: str,
        bucket: str,
        *,
        status: int,
        code: int,
        headers: Mapping[str, str],
        why: str,
        answered_ms: int = 0,
    ) -> float:
        """Take what a refusal dictates, and return it in seconds, 0 for none.

        ``answered_ms``: the venue's clock as the answer tells it, 0 where it does not.
        """
        host = host_of(url)
        now = answered_at(headers, answered_ms) or self._wall()
        named = retry_after(headers, now)
        if named is not None and (status in DICTATING or status >= 500):
            return self._pause_host(host, named, why)
        if code in RATE_CODES:
            seconds = min(until_reset(headers, now), RATE_MOST_SECONDS)
            if seconds:
                self._buckets[host, bucket] = Pause(self._clock() + seconds, why)
            return seconds or RATE_SECONDS
        if code in ADDRESS_CODES or (status == 403 and TOO_FREQUENT in why.lower()):
            until = until_reset(headers, now)
            return self._pause_host(host, until or self._doubled(host, SHUT_OUT_FIRST_SECONDS), why)
        if status in DICTATING:
            return self._pause_host(host, self._doubled(host, FIRST_SECONDS), why)
        return 0.0

    def _doubled(self, host: str, first: float) -> float:
        seconds = max(self._next.get(host, 0.0), first)
        self._next[host] = min(2 * seconds, SHUT_OUT_SECONDS)
        return seconds

    def _pause_host(self, host: str, seconds: float, why: str) -> float:
        until = self._clock() + seconds
        before = self._hosts.get(host)
        if before is None or before.until < until:
            self._hosts[host] = Pause(until, why)
        return seconds


def answered_at(headers: Mapping[str, str], answered_ms: int) -> float:
    """Return when the venue answered, UTC seconds of its own clock; 0 where the answer does not say.

    By what the answer itself holds, else by the headers `Timenow` (ms) and `Date` (RFC 9110 6.6.1).
    """
    told = answered_ms or milliseconds(headers, "Timenow")
    if told > 0:
        return told / 1000
    date = http_date(headers.get("Date") or "")
    return 0.0 if date is None else date


def until_reset(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds until the limit's reset, 0 where none is named or it is over."""
    return min(max(milliseconds(headers, "X-Bapi-Limit-Reset-Timestamp") / 1000 - now, 0.0), MOST_SECONDS)


def milliseconds(headers: Mapping[str, str], name: str) -> int:
    """Return a header that counts milliseconds, 0 where it does not."""
    text = (headers.get(name) or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else 0


def http_date(text: str) -> float | None:
    """Return a date of HTTP in UTC seconds, None where it is none."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a `Retry-After` names, at most an hour; None without one that can be read.

    >>> retry_after({"Retry-After": "30"}, 0.0), retry_after({"Retry-After": "soon"}, 0.0)
    (30.0, None)
    """
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MOST_SECONDS)
    at = http_date(text)
    return None if at is None else min(max(at - now, 0.0), MOST_SECONDS)
