"""The runtime's own loop over a ring that is full of messages, with its measuring and without.

Without: the loop as `quietcore.strategy.loop.build` makes it around `measure_nothing`; all else is the same. A
message is measured once, by its first tick, and the cost is spread over its ticks; so messages of a single tick are
the worst case.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import numpy as np
from tests.runtime.ring_writer import RingWriter

from quietcore.bridge import layout
from quietcore.bridge.follow import begin
from quietcore.bridge.ring import NEXT, READ
from quietcore.bridge.segment import attach
from quietcore.histogram import COUNT
from quietcore.strategy import risk
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.crossing import crossing
from quietcore.strategy.intents import IntentRing, aligned
from quietcore.strategy.loop import (
    CLOSED,
    CONTROL_WORDS,
    UNTIL,
    Desk,
    Outlet,
    build,
    measure_message,
    measure_nothing,
    new_intent,
    new_sight,
    new_wish,
)
from quietcore.strategy.workspace import RECEIVED_PUBLISHED, Workspace

CAPACITY = 1 << 13
DEPTH = 20
MOST_TICKS_A_MESSAGE = 4 * DEPTH + 2  # both sides of the ladder replaced, best, BOOK
PRICE_STEP, SIZE_STEP = Decimal("0.1"), Decimal("0.001")  # of the recorded symbol


class LoopRun:
    """A closed ring, and the loop with and without measuring; a context manager that removes the ring.

    Args:
        recording: Bybit order book messages of one symbol, one a line, the first a snapshot; None: messages of
            one trade each.
    """

    def __init__(self, recording: Path | None) -> None:
        self._writer = RingWriter(f"bench-{os.getpid()}", capacity=CAPACITY, depth=DEPTH)
        try:
            self.messages = trades(self._writer) if recording is None else books(self._writer, recording)
            self._writer.close()
            self.ticks = self._writer.next
            segment = attach(self._writer.feed)
        except BaseException:
            self._writer.remove()
            raise
        strategy = crossing(20, 80, 1)
        self._workspace = Workspace(segment.ring.symbols, segment.ring.depth, strategy.state.dtype)
        control, using, pending = aligned(CONTROL_WORDS), aligned(1), aligned(1)
        intents, account, picture = IntentRing(64), Account(), self._workspace.twin()
        limits = risk.limits(max_position=1, max_open_orders=1, max_order_rate=1, price_band=0.1)
        self._kept = (segment, control, intents, account, picture)
        self._desk = Desk(
            ring=segment.ring,
            books=self._workspace.books,
            counters=self._workspace.counters,
            sight=new_sight(),
            buckets=self._workspace.buckets,
            hops=self._workspace.hops,
            ledger=self._workspace.ledger,
            risk=risk.Risk(
                account=account.address,
                emitted=self._workspace.emitted,
                rate=risk.new_rate(1),
                limits=limits,
                arena=OrderArena().slots,
            ),
            state=self._workspace.state,
            params=strategy.params,
            wish=new_wish(),
            intent=new_intent(),
            block=self._workspace.block,
            picture=picture.block,
            using=using,
            pending=pending,
            outlet=Outlet(control.ctypes.data, intents.address, intents.capacity, -1),
            symbol=0,
            spin=1,
        )
        self._loops = {
            True: build("bench_measured", strategy.on_tick, measure_message),
            False: build("bench_unmeasured", strategy.on_tick, measure_nothing),
        }
        for measured in self._loops:
            self.once(measured=measured)  # compiles

    def once(self, *, measured: bool) -> float:
        """Run the loop over the whole ring; return the ns."""
        counters, hops = self._workspace.counters, self._workspace.hops
        counters[NEXT] = counters[READ] = 0
        hops[RECEIVED_PUBLISHED, COUNT] = 0
        self._desk.sight.found[UNTIL] = 0
        begin(self._desk.ring, self._desk.books, counters)
        began = time.perf_counter_ns()
        verdict = self._loops[measured](self._desk)
        took = time.perf_counter_ns() - began
        found = (verdict, int(counters[READ]), int(hops[RECEIVED_PUBLISHED, COUNT]))
        expected = (CLOSED, self.ticks, self.messages if measured else 0)
        if found != expected:
            raise AssertionError(
                f"verdict, ticks and latencies were {found}, not {expected}: not what was meant"
            )
        return float(took)

    def block(self, *, measured: bool, seconds: float) -> float:
        """Return the ns a tick: median of the passes that fit into ``seconds``, at least one."""
        took, until = [self.once(measured=measured)], time.monotonic() + seconds
        while time.monotonic() < until:
            took.append(self.once(measured=measured))
        return statistics.median(took) / self.ticks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.remove()


def trades(writer: RingWriter) -> int:
    """Fill the ring with messages of one trade each; return how many."""
    rng = np.random.default_rng(3)
    prices = 60_000 + np.cumsum(rng.integers(-1, 2, CAPACITY - 64))
    for number, price in enumerate(prices.tolist()):
        writer.tick(layout.KIND_TRADE, a=price, b=1 + number % 7, c=number)
    writer.publish()
    return len(prices)


def books(writer: RingWriter, recording: Path) -> int:
    """Fill the ring with the ladders of a recording's messages; return how many messages there were."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    messages = 0
    with recording.open("rb") as lines:
        for line in lines:
            if writer.next > CAPACITY - MOST_TICKS_A_MESSAGE:
                break
            message: dict[str, Any] = json.loads(line)
            for side, levels in zip(sides, (message["data"]["b"], message["data"]["a"]), strict=True):
                if message["type"] == "snapshot":
                    side.clear()
                for price_text, size_text in levels:
                    price, size = int(Decimal(price_text) / PRICE_STEP), int(Decimal(size_text) / SIZE_STEP)
                    side[price] = size
                    if size == 0:
                        del side[price]
            bids, asks = sorted(sides[0].items(), reverse=True)[:DEPTH], sorted(sides[1].items())[:DEPTH]
            writer.message(bids, asks)
            messages += 1
    return messages
