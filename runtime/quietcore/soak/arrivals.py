"""A strategy that wants nothing: it records how long after they were due the first symbol's messages arrive."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.atomics import CLOCK_REALTIME, now_ns
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follow import Books
from quietcore.histogram import BUCKETS, FIRST, MARKS, record
from quietcore.strategy.interface import Strategy, parameter_record

KIND_BOOK: Final = layout.KIND_BOOK
SNAPSHOT: Final = layout.FLAG_SNAPSHOT

STATE: Final = np.dtype([("buckets", "<i8", (1, BUCKETS)), ("marks", "<i8", (1, MARKS))])


@compiled
def on_tick(
    state: Any,
    params: Any,
    books: Books,
    symbol: int,
    kind: int,
    flags: int,
    a: int,
    b: int,
    c: int,
    d: int,
    wish: Any,
) -> int:
    """Record a book message's latency: its last tick's venue sequence (``b``) is when it was due, UTC ns."""
    if kind == KIND_BOOK and flags & SNAPSHOT == 0 and b > 0:
        s = state[0]
        record(s.buckets, s.marks, FIRST, now_ns(CLOCK_REALTIME) - b)
    return 0


def arrivals() -> Strategy:
    """Return the strategy."""
    return Strategy("arrivals", on_tick, np.zeros(1, dtype=STATE), parameter_record({}))
