"""Suite `ring`: a reader follows a full ring, ladders and hashes included, in batches of 64 ticks."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.compiled import lean
from quietcore.bridge.follow import Books, begin, follow
from quietcore.bridge.follower import Follower
from quietcore.bridge.ring import NEXT, Ring, word_at
from quietcore.bridge.segment import Segment
from quietcore.compare.collect import Taken
from quietcore.compare.replayed_feed import CAPACITY, ReplayedFeed

BATCH: Final = 64
BATCHES: Final = (CAPACITY - 4096) // BATCH  # the oldest ticks of a ring may be in the writer's way
PIECE: Final = 20  # batches that make one rate


@lean
def read_batches(ring: Ring, books: Books, counters: Any, took: Any) -> int:
    """Read as many batches as ``took`` has room for; write the ns of each, return how many were whole."""
    for i in range(took.shape[0]):
        start = now_ns(CLOCK_MONOTONIC)
        if follow(ring, books, counters, BATCH) != BATCH:
            return i
        took[i] = now_ns(CLOCK_MONOTONIC) - start
    return int(took.shape[0])


class RingSuite:
    """Fills a ring by a replay, stops the writer, and reads what lies in it again and again."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = cpus
        self._replayed = ReplayedFeed(cpus)

    def __enter__(self) -> Self:
        self._replayed.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replayed.close()

    def measure(self, seconds: float) -> dict[str, Taken]:
        """Return ns a tick by batch, and ticks a second."""
        with self._replayed.playing() as segment:
            while word_at(segment.ring.published) < 2 * CAPACITY:
                time.sleep(0.005)
        before = os.sched_getaffinity(0)
        try:
            if self._cpus:
                os.sched_setaffinity(0, {self._cpus[-1]})
            took = read_for(segment, seconds)
        finally:
            os.sched_setaffinity(0, before)
        pieces = np.array_split(took, max(1, len(took) // PIECE))
        rates = [len(piece) * BATCH / (piece.sum() / 1e9) for piece in pieces]
        return {"tick read": Taken(took / BATCH, rates, resolution=1.0)}


def read_for(segment: Segment, seconds: float) -> Any:
    """Read the last BATCHES batches of a ring that nobody writes, for so long; return the ns of each batch."""
    follower = Follower(segment)
    took = np.zeros(BATCHES, dtype=np.int64)
    passes: list[Any] = []
    until = time.monotonic() + seconds
    while not passes or time.monotonic() < until:
        follower.counters[NEXT] = word_at(segment.ring.published) - BATCHES * BATCH
        begin(segment.ring, follower.books, follower.counters)
        whole = read_batches(segment.ring, follower.books, follower.counters, took)
        passes.append(took[:whole].copy())
    # The first pass finds cold ladders, and compiles.
    return np.concatenate(passes[1:] or passes)


def make(cpus: Sequence[int]) -> RingSuite:
    """Return the suite; the reader runs on the last of the cores."""
    return RingSuite(cpus)
