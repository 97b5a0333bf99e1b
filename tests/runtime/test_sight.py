"""When a message was read: at the look at the ring that found it."""

from __future__ import annotations

import time

import numpy as np
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.bridge.compiled import constant
from quietcore.bridge.segment import attach
from quietcore.histogram import BUCKETS, COUNT, MARKS, MAXIMUM
from quietcore.strategy.loop import AHEAD, UNTIL, measure_message, new_sight
from quietcore.strategy.workspace import HOP_NAMES, PUBLISHED_READ

LATER_S = 0.002


def test_ticks_that_one_look_finds_are_read_at_once_and_each_other_one_when_it_is_found(
    make_writer: MakeWriter,
) -> None:
    writer = make_writer()
    segment = attach(writer.feed)
    ring = segment.ring
    sight = new_sight()
    buckets = np.zeros((len(HOP_NAMES), BUCKETS), dtype=np.int64)
    hops = np.zeros((len(HOP_NAMES), MARKS), dtype=np.int64)

    def read(n: int) -> int:
        time.sleep(LATER_S)
        word = layout.TIME_SOURCE_KERNEL << 24
        return int(measure_message(ring, sight, buckets, hops, constant(n), word, begin, constant(0)))

    begin = time.time_ns()
    for price in range(3):
        writer.tick(layout.KIND_TRADE, a=price, b=1)
    writer.publish()
    first = int(writer.next) - 3
    times = [read(first)]
    assert sight.found[UNTIL] == first + 3, "what is not there yet is not found"
    times += [read(first + 1), read(first + 2)]
    assert times == [times[0]] * 3, "they wait for their turn from then on"
    assert begin < times[0] < time.time_ns()

    for price in range(AHEAD + 2):
        writer.tick(layout.KIND_TRADE, a=price, b=1)
    writer.publish()
    second = [read(first + 3 + i) for i in range(AHEAD + 2)]
    assert second[0] > times[0] + LATER_S * 1e9, "it came later"
    assert second[:-1] == [second[0]] * (AHEAD + 1)
    assert second[-1] > second[0] + LATER_S * 1e9, "one look takes in so many, no more"
    assert hops[PUBLISHED_READ, COUNT] == 3 + AHEAD + 2
    assert hops[PUBLISHED_READ, MAXIMUM] == second[-1] - begin
