"""Histograms: no bucket is missing, percentiles are at most 1.6 % high, nothing negative counts."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietcore.bridge.compiled import compiled
from quietcore.histogram import BUCKETS, LARGEST, SHARES, Histogram, bucket_of, highest_value


def test_buckets_follow_each_other() -> None:
    lowest = 0
    for bucket in range(BUCKETS):
        highest = highest_value(bucket)
        assert bucket_of(lowest) == bucket
        assert bucket_of(highest) == bucket
        assert highest - lowest <= max(0, lowest / 64)
        lowest = highest + 1
    assert lowest == LARGEST + 1
    assert bucket_of(1 << 60) == BUCKETS - 1


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_percentiles(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    summary = histogram.summary()
    values.sort()
    assert summary["count"] == len(values)
    assert summary["max"] == values[-1]
    for name, share in SHARES.items():
        exact = values[math.ceil(share * len(values)) - 1]
        found = summary[name]
        assert found is not None
        assert exact <= found <= exact * (1 + 1 / 64) + 1


def test_what_is_no_latency_is_never_shown_as_one() -> None:
    histogram = Histogram()
    histogram.record(-1)
    nothing = dict.fromkeys(("p50", "p90", "p99", "p99.9", "p99.99", "max"))
    assert histogram.summary() == {"count": 0, **nothing, "not_comparable": 1, "buckets": []}


def test_buckets_in_the_summary_add_up() -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in (5, 5, 900, 10**6):
        one.record(value)
        both.record(value)
    for value in (5, 10**7):
        other.record(value)
        both.record(value)
    added: dict[int, int] = {}
    for bucket, count in one.summary()["buckets"] + other.summary()["buckets"]:
        added[bucket] = added.get(bucket, 0) + count
    assert sorted(added.items()) == [tuple(pair) for pair in both.summary()["buckets"]]
    assert sum(added.values()) == 6


@compiled
def flicker(buckets: Any, stop: Any) -> None:
    """Fill and empty every other bucket without the GIL until ``stop`` is set."""
    while stop[0] == 0:
        for i in range(0, buckets.shape[1], 2):
            buckets[0, i] = 1 - buckets[0, i]


@pytest.mark.machine_code
def test_a_summary_while_another_thread_records() -> None:
    """Compiled code records without the GIL: numpy then finds fewer or more buckets than it has counted, and raises."""
    histogram, stop = Histogram(), np.ones(1, dtype=np.int64)
    flicker(histogram.buckets, stop)  # compiled now
    stop[0] = 0
    thread = threading.Thread(target=flicker, args=(histogram.buckets, stop))
    thread.start()
    try:
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            assert len(histogram.summary()["buckets"]) <= BUCKETS
    finally:
        stop[0] = 1
        thread.join()
