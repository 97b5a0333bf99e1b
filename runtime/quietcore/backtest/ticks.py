"""Ticks of a recording, message by message, from a ring that the feed handler filled with all of them.

A message's ticks may be taken once the simulated venue has seen the message: quotes and trades one for one, books by
their update id, since a feed handler that is not in step keeps deltas back.
"""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from quietcore.bridge import layout
from quietcore.bridge.compiled import lean
from quietcore.bridge.follow import Books, absorb
from quietcore.bridge.ring import EMPTY, LOST, NEXT, READ, TAKEN, Ring, take
from quietcore.bridge.segment import Segment, attach
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.local.pipeline import feed_handler, remove_segments

TICKS_A_MESSAGE: Final = 16  # more than recordings have; the ring is asked for again, larger, where it is not
LARGEST_RING: Final = 1 << 25
REPLAY_SECONDS: Final = 600.0

# What may be taken: an int64 array.
QUOTES: Final = 0
TRADES: Final = 1
UPDATES: Final = 2  # UPDATES + symbol: the last update id that the venue has seen

NOTHING: Final = 0
WISH: Final = 1
OVERRUN: Final = 2

KIND_BBO: Final = layout.KIND_BBO
KIND_TRADE: Final = layout.KIND_TRADE
KIND_BOOK: Final = layout.KIND_BOOK
FROM_TICKER: Final = layout.FLAG_FROM_TICKER


@lean
def may_take(ring: Ring, n: int, allowed: Any) -> int:
    """Return whether the message that begins with tick ``n`` may be taken, which uses its allowance up; 2: lost."""
    m = n
    while True:
        status, _seen, word, _receive, _deltas, a, _b, _c, _d = take(ring.slots, ring.mask, m)
        if status == EMPTY:
            return 0
        if status == LOST:
            return OVERRUN
        kind, flags, symbol = (word >> 16) & 0xFF, (word >> 32) & 0xFFFF, word & 0xFFFF
        if m == n:
            if kind == KIND_BBO and flags & FROM_TICKER:
                if allowed[QUOTES] <= 0:
                    return 0
                allowed[QUOTES] -= 1
                return 1
            if kind == KIND_TRADE:
                if allowed[TRADES] <= 0:
                    return 0
                allowed[TRADES] -= 1
                return 1
        if kind == KIND_BOOK:
            return 1 if a <= allowed[UPDATES + symbol] else 0
        if (word >> 48) & 0xFFFF == 0:
            return 1
        m += 1


# Stands for the strategy's own: `build` puts it in.
on_tick: Any = None


def advance(
    ring: Ring,
    books: Books,
    counters: Any,
    state: Any,
    params: Any,
    symbol: int,
    allowed: Any,
    wish: Any,
    within: Any,
) -> int:
    """Give the strategy every tick that may be taken; return WISH at the first that makes it want an order.

    ``within``: one word, 1 while a message is half taken. Call it again after a wish.
    """
    while True:
        n = counters[NEXT]
        if within[0] == 0:
            verdict = may_take(ring, n, allowed)
            if verdict != 1:
                return NOTHING if verdict == 0 else OVERRUN
        status, _seen, word, _receive, _deltas, a, b, c, d = take(ring.slots, ring.mask, n)
        if status != TAKEN:
            return OVERRUN
        counters[NEXT] = n + 1
        counters[READ] += 1
        within[0] = 0 if (word >> 48) & 0xFFFF == 0 else 1
        absorb(ring, books, counters, n, word, a, b, c, d)
        if word & 0xFFFF == symbol:
            kind, flags = (word >> 16) & 0xFF, (word >> 32) & 0xFFFF
            if on_tick(state, params, books, symbol, kind, flags, a, b, c, d, wish):
                return WISH


@contextlib.contextmanager
def filled_ring(recording: Path, venue: str, messages: int, depth: int) -> Iterator[Segment]:
    """Let the feed handler publish a whole recording to a ring of its own; it is gone afterwards.

    Raises QuietcoreError where the recording breaks off, or where it needs a ring larger than 2 GiB.
    """
    handler = feed_handler()
    capacity = 1 << max(12, (messages * TICKS_A_MESSAGE - 1).bit_length())
    while capacity <= LARGEST_RING:
        feed = f"backtest-{uuid.uuid4().hex[:12]}"
        try:
            _replay(handler, recording, venue, feed, capacity, depth)
            segment = attach(feed, 5.0)
            if int(segment.statistics["ticks"]) <= capacity:
                yield segment
                return
        finally:
            remove_segments(feed)
        capacity *= 4
    raise QuietcoreError(
        "recording is too long for one backtest",
        where=str(recording),
        found=f"{messages:,} messages",
        remedy="cut it into parts",
        code=ExitCode.UNKNOWN,
    )


def _replay(handler: Path, recording: Path, venue: str, feed: str, capacity: int, depth: int) -> None:
    command = [str(handler), "replay", "--feed", feed, "--venue", venue, "--speed", "max"]
    command += ["--capacity", str(capacity), "--depth", str(depth), str(recording)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=REPLAY_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise QuietcoreError(
            "feed handler does not come to the end of the recording",
            where=str(recording),
            code=ExitCode.UNKNOWN,
        ) from error
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["it said nothing"]
        raise QuietcoreError(
            "feed handler could not play the recording",
            where=str(recording),
            found=lines[-1],
            code=ExitCode.FOUND,
        )
