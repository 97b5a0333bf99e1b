"""The compiled loop in its thread: what it reads, measures and emits, how it stops and moves on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba.core.runtime
import numpy as np
import pytest
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.bridge.compiled import CompileCounter, compiled
from quietcore.bridge.follow import BOOKS, HASH, INEXACT
from quietcore.bridge.follower import Follower, tick_counts
from quietcore.bridge.segment import attach
from quietcore.histogram import COUNT, MAXIMUM, NOT_COMPARABLE
from quietcore.strategy import risk
from quietcore.strategy.account import Account, put
from quietcore.strategy.crossing import crossing
from quietcore.strategy.intents import CANCEL, PLACE, Intent, IntentRing
from quietcore.strategy.interface import Strategy
from quietcore.strategy.loop import LEAVE
from quietcore.strategy.thread import StrategyThread
from quietcore.strategy.workspace import (
    HELD_BACK,
    PUBLISHED_READ,
    READ_SIGNAL,
    RECEIVED_PUBLISHED,
    REFUSED,
    SIGNALS,
    UNSENT,
    VENUE_RECEIVED,
    Workspace,
)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
    return value


class Rig:
    """A started loop on a writer's feed, with limits wide enough to emit every signal."""

    def __init__(self, feed: str, **options: Any) -> None:
        segment = attach(feed)
        self.account = Account()
        self.account.ready(True)
        self.intents = IntentRing(options.pop("intents", 1024))
        limits = risk.limits(
            max_position=options.pop("max_position", 1 << 40),
            max_open_orders=1 << 30,
            max_order_rate=1000,
            price_band=0.5,
        )
        self.warnings: list[str] = []
        self.thread = StrategyThread(
            segment,
            segment.symbol(options.pop("symbol", "BTCUSDT")),
            options.pop("strategy", None) or crossing(2, 5, 1),
            limits,
            self.account,
            self.intents,
            from_start=True,
            warn=self.warnings.append,
            **options,
        )
        self.thread.compile()
        self.thread.start()

    def picture(self) -> Workspace:
        self.thread.want_picture()
        found: Workspace = until(self.thread.picture)
        return found

    def read(self, count: int) -> Workspace:
        """Wait until ``count`` ticks were read or lost; return a picture."""

        def enough() -> Workspace | None:
            picture = self.picture()
            ticks = tick_counts(picture.counters)
            return picture if ticks["read"] + ticks["dropped"] >= count else None

        found: Workspace = until(enough)
        return found

    def taken(self) -> list[Intent]:
        found = []
        while (intent := self.intents.take()) is not None:
            found.append(intent)
        return found


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(feed: str) -> Iterator[MakeRig]:
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        rigs.append(Rig(feed, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.thread.stop()
        assert rig.thread.join(5.0)


def waves(writer: Any, count: int) -> None:
    for i in range(count):
        price = int(10_000 + 30 * math.sin(i / 8))
        writer.message([(price, 5), (price - 1, 4)], [(price + 1, 5)])


def test_reads_what_a_follower_reads_and_emits_at_crossings(
    make_writer: MakeWriter, make_rig: MakeRig, feed: str
) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig()
    follower = Follower(attach(feed), from_start=True)
    waves(writer, 200)
    picture = rig.read(writer.next)
    follower.follow()
    assert tick_counts(picture.counters) == tick_counts(follower.counters)
    marks, reference = picture.books.marks[0], follower.books.marks[0]
    assert (marks[HASH], marks[BOOKS], marks[INEXACT]) == (reference[HASH], 200, 0)
    assert picture.ledger[SIGNALS] >= 4
    intents = rig.taken()
    placed = [intent for intent in intents if intent.kind == PLACE]
    assert len(placed) == picture.ledger[SIGNALS] - picture.ledger[REFUSED:].sum()
    assert [intent.number for intent in intents] == list(range(len(intents)))
    # nothing is resolved here, so each further order is preceded by a cancel of what is open
    kinds = [intent.kind for intent in intents]
    assert kinds[0] == PLACE
    assert all(kinds[i - 1] == CANCEL for i in range(1, len(kinds)) if kinds[i] == PLACE)
    for intent in placed:
        assert intent.read_ns <= intent.signal_ns
    assert picture.hops[READ_SIGNAL, COUNT] == picture.ledger[SIGNALS]


def test_refused_orders_are_counted_by_reason(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig()
    rig.account.ready(False)
    waves(writer, 200)
    picture = rig.read(writer.next)
    refused = picture.ledger[REFUSED : REFUSED + risk.REASONS]
    assert picture.ledger[SIGNALS] == refused.sum() > 0
    # On a busy machine the rig's writer, which nobody winds up, may be taken for dead before the last of them, or lose
    # its CPU while it writes a book.
    assert refused[risk.GATEWAY] > 0
    assert refused[risk.GATEWAY] + refused[risk.FEED] + refused[risk.BOOK] == refused.sum()
    assert rig.taken() == []


def test_hops_of_comparable_clocks(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer()
    rig = make_rig()
    for _ in range(10):
        # Received long enough ago that it is read after it says it was published.
        receive_ns = time.time_ns() - 1_000_000
        writer.trade(1, 1, venue_delta=250, publish_delta=3000, receive_ns=receive_ns)
    picture = rig.read(10)
    hops = picture.hops
    assert hops[VENUE_RECEIVED, : NOT_COMPARABLE + 1].tolist() == [10, 250_000, 0]
    assert hops[RECEIVED_PUBLISHED, : NOT_COMPARABLE + 1].tolist() == [10, 3000, 0]
    assert hops[PUBLISHED_READ, COUNT] == 10
    assert hops[PUBLISHED_READ, MAXIMUM] < 20_000_000_000


@pytest.mark.parametrize(
    ("options", "hops"),
    [
        ({"flags": layout.FLAG_VENUE_TIME_FOREIGN}, [VENUE_RECEIVED]),
        ({"flags": layout.FLAG_VENUE_TIME_SATURATED}, [VENUE_RECEIVED]),
        ({"venue_delta": -1_270_000}, [VENUE_RECEIVED]),
        ({"flags": layout.FLAG_PUBLISH_DELTA_SATURATED}, [RECEIVED_PUBLISHED, PUBLISHED_READ]),
        ({"source": layout.TIME_SOURCE_RECORDED}, [RECEIVED_PUBLISHED, PUBLISHED_READ]),
        ({"source": layout.TIME_SOURCE_NONE}, [VENUE_RECEIVED, RECEIVED_PUBLISHED, PUBLISHED_READ]),
        ({"receive_ns": 1 << 62}, [PUBLISHED_READ]),
    ],
)
def test_clocks_that_cannot_be_compared_give_no_latency(
    make_writer: MakeWriter, make_rig: MakeRig, options: dict[str, int], hops: list[int]
) -> None:
    writer = make_writer()
    rig = make_rig()
    writer.trade(1, 1, **options)
    picture = rig.read(1)
    for hop in (VENUE_RECEIVED, RECEIVED_PUBLISHED, PUBLISHED_READ):
        foreign = hop in hops
        assert picture.hops[hop, COUNT] == (0 if foreign else 1)
        assert picture.hops[hop, NOT_COMPARABLE] == (1 if foreign else 0)


def test_one_sample_a_message(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer()
    rig = make_rig()
    writer.message([(10, 1), (9, 1), (8, 1)], [(11, 1)])
    writer.trade(1, 1)
    picture = rig.read(writer.next)
    assert writer.next == 7
    assert picture.hops[RECEIVED_PUBLISHED, COUNT] == 2


def test_full_intent_ring_holds_the_loop_and_loses_nothing(
    make_writer: MakeWriter, make_rig: MakeRig
) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig(intents=2)
    waves(writer, 400)
    intents: list[Intent] = []

    def done() -> bool:
        intents.extend(rig.taken())
        return bool(rig.thread.workspace.counters[1] >= writer.next)

    until(done)
    intents.extend(rig.taken())
    ledger = rig.picture().ledger
    assert ledger[HELD_BACK] > 0
    assert [intent.number for intent in intents] == list(range(len(intents)))
    assert sum(intent.kind == PLACE for intent in intents) == ledger[SIGNALS] - ledger[REFUSED:].sum()


def test_stopped_while_held_back(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig(intents=1)
    waves(writer, 100)
    until(lambda: int(rig.thread.workspace.ledger[HELD_BACK]) > 0)
    rig.thread.stop()
    assert rig.thread.join(2.0)
    assert rig.thread.workspace.ledger[UNSENT] >= 1


def test_wakes_the_gateway(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    event = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        writer = make_writer(capacity=8192)
        rig = make_rig(event=event)
        waves(writer, 100)
        rig.read(writer.next)
        assert os.eventfd_read(event) == len(rig.taken()) > 0
    finally:
        os.close(event)


@pytest.mark.parametrize("spin", [False, True])
def test_stops_at_once(make_writer: MakeWriter, make_rig: MakeRig, spin: bool) -> None:
    make_writer()
    rig = make_rig(spin=spin)
    rig.picture()
    started = time.monotonic()
    rig.thread.stop()
    assert rig.thread.join(2.0)
    assert time.monotonic() - started < 1.0


def test_follows_the_feed_to_its_next_segment(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    old = make_writer()
    rig = make_rig()
    old.message([(10, 1)], [(11, 1)])
    rig.read(3)
    old.close()
    new = make_writer(symbols=("ETHUSDT", "BTCUSDT"))
    new.message([(20, 1)], [(21, 1)], symbol=1)
    until(lambda: rig.thread.attachments == 2)
    new.message([(20, 2)], [(21, 1)], symbol=1)
    picture = rig.read(new.next + old.next)
    assert rig.thread.symbol.number == 1
    assert picture.books.sizes[2, 0] == 2
    ticks = tick_counts(picture.counters)
    assert ticks["read"] == old.next + new.next
    assert ticks["dropped"] == 0


def test_leaves_a_dead_segment_whose_name_leads_elsewhere(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    old = make_writer()
    rig = make_rig()
    old.trade(1, 1)
    rig.read(1)
    assert not rig.thread.leave_if_replaced()
    new = make_writer()  # renamed over the old one, which was never closed
    new.trade(2, 1)
    assert rig.thread.leave_if_replaced()
    until(lambda: rig.thread.attachments == 2)
    assert tick_counts(rig.read(2).counters)["trade"] == 2


def test_an_order_to_leave_that_comes_late_does_not_leave_the_new_segment(
    make_writer: MakeWriter, make_rig: MakeRig
) -> None:
    """Whoever gives it looks once a period, and the loop may have moved by then."""
    make_writer()
    rig = make_rig()
    new = make_writer()
    assert rig.thread.leave_if_replaced()
    until(lambda: rig.thread.attachments == 2)
    put(rig.thread._control.ctypes.data + LEAVE, 1)
    new.trade(2, 1)
    assert tick_counts(rig.read(1).counters)["trade"] == 1
    assert rig.thread.attachments == 2


def test_a_feed_that_is_away_is_no_loop_that_is_blocked(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    old = make_writer()
    rig = make_rig()
    old.trade(1, 1)
    rig.read(1)
    old.close()
    for _ in range(3):
        assert tick_counts(rig.picture().counters)["trade"] == 1
    new = make_writer()
    new.trade(2, 1)
    until(lambda: rig.thread.attachments == 2)
    assert tick_counts(rig.read(2).counters)["trade"] == 2


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 64, b"x" * 4096, bytes(4096)])
def test_a_file_in_the_place_of_the_ring_is_waited_out(
    make_writer: MakeWriter, make_rig: MakeRig, content: bytes
) -> None:
    old = make_writer()
    rig = make_rig()
    old.trade(1, 1)
    rig.read(1)
    other = old.path.with_name(old.path.name + ".other")
    other.write_bytes(content)
    other.replace(old.path)
    assert rig.thread.leave_if_replaced()
    time.sleep(0.3)
    assert tick_counts(rig.picture().counters)["trade"] == 1
    assert len(rig.warnings) == (content == b"x" * 4096)
    old.path.unlink()
    make_writer().trade(2, 1)
    until(lambda: rig.thread.attachments == 2)
    assert tick_counts(rig.read(2).counters)["trade"] == 2


def test_a_segment_with_other_steps_ends_the_thread(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    old = make_writer()
    rig = make_rig()
    rig.picture()
    old.close()
    make_writer(tick=(5, 1))
    until(lambda: not rig.thread.alive)
    assert rig.thread.error is not None
    assert "other steps" in rig.thread.error.message()
    assert "found tick 5e-1, lot 1e-3; expected tick 1e-1, lot 1e-3" in rig.thread.error.message()


def test_nothing_is_compiled_once_it_runs(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig()
    rig.picture()
    rig.taken()
    counter = CompileCounter()
    waves(writer, 100)
    rig.read(writer.next)
    rig.taken()
    rig.account.filled(1, 1)
    counter.stop()
    assert counter.count == 0


@pytest.mark.machine_code
def test_a_compilation_would_be_counted() -> None:
    counter = CompileCounter()

    def twice(value: int) -> int:
        return 2 * value

    assert compiled(twice)(4) == 8
    counter.stop()
    assert counter.count == 1


def test_pinned_and_verified(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    make_writer()
    cpu = sorted(os.sched_getaffinity(0))[-1]
    rig = make_rig(cpu=cpu)
    assert rig.thread.pinned
    assert os.sched_getaffinity(rig.thread.tid) == {cpu}
    assert os.sched_getaffinity(0) != {cpu} or len(os.sched_getaffinity(0)) == 1


def test_a_cpu_that_is_not_there_is_a_warning(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    make_writer()
    rig = make_rig(cpu=8000)
    assert not rig.thread.pinned
    assert len(rig.warnings) == 1
    assert "not pinned to CPU 8000" in rig.warnings[0]
    assert "remedy" in rig.warnings[0]


def swapped(rig: Rig, strategy: Any) -> None:
    rig.thread.offer(strategy)
    until(lambda: not rig.thread.offer_pending)


def test_parameters_change_while_it_runs(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    writer = make_writer(capacity=8192)
    rig = make_rig()
    waves(writer, 100)
    before = rig.read(writer.next).ledger[SIGNALS]
    assert before > 0
    compilations = CompileCounter()
    swapped(rig, crossing(2, 1_000_000, 1))
    waves(writer, 100)
    calm = rig.read(writer.next).ledger[SIGNALS]
    assert calm == before, "no crossing is looked for before a million quotes"
    swapped(rig, crossing(2, 5, 7))
    compilations.stop()
    assert compilations.count == 0
    rig.taken()
    waves(writer, 100)
    assert rig.read(writer.next).ledger[SIGNALS] > calm
    assert {intent.size for intent in rig.taken() if intent.kind == PLACE} == {7}


def test_parameters_that_need_other_memory_are_refused(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    from quietcore.errors import QuietcoreError
    from quietcore.strategy.choice import find
    from quietcore.strategy.trial import SAMPLE_CONTEXT

    make_writer()
    panic = find("panic")
    rig = make_rig(strategy=panic.make({"window": 16}, SAMPLE_CONTEXT))
    with pytest.raises(QuietcoreError, match=r"cannot change while it runs: panic.*restart"):
        rig.thread.offer(panic.make({"window": 17}, SAMPLE_CONTEXT))
    swapped(rig, panic.make({"window": 16, "threshold": 0.9}, SAMPLE_CONTEXT))


def test_a_strategy_in_plain_python(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    """The same loop contract: reads all, emits behind the same checks, takes parameters, follows, stops."""
    from quietcore.bridge.ticks import Quote, Tick
    from quietcore.strategy.python import Ladders, Order, PythonStrategy
    from quietcore.strategy.trial import SAMPLE_CONTEXT

    class EveryNth(PythonStrategy):
        quotes = 0
        live = False

        def on_tick(self, tick: Tick, ladders: Ladders) -> Order | None:
            if not isinstance(tick, Quote):
                return None
            self.live |= ladders.live
            assert ladders.bids[0] == (tick.bid, tick.bid_size)
            assert ladders.asks[0] == (tick.ask, tick.ask_size)
            assert tick.bid != 666, "bad luck"
            self.quotes += 1
            if self.quotes % self.parameters["nth"]:
                return None
            return Order(1, tick.ask, int(self.parameters["size"]))

        def figures(self) -> dict[str, float]:
            return {"quotes": self.quotes}

    def made(**parameters: int) -> Any:
        return EveryNth({"nth": 10, "size": 3, **parameters}, SAMPLE_CONTEXT).strategy("nth")

    old = make_writer(capacity=8192)
    strategy = made()
    rig = make_rig(strategy=strategy)
    rig.picture()
    rig.taken()
    compilations = CompileCounter()
    waves(old, 200)
    picture = rig.read(old.next)
    quotes = tick_counts(picture.counters)["bbo"]
    assert strategy.figures(None) == {"quotes": quotes}
    assert picture.ledger[SIGNALS] == quotes // 10
    placed = [intent for intent in rig.taken() if intent.kind == PLACE]
    assert len(placed) == quotes // 10 - picture.ledger[REFUSED:].sum() > 0
    assert {intent.size for intent in placed} == {3}
    swapped(rig, made(size=4))
    old.close()
    new = make_writer(capacity=8192)
    waves(new, 200)
    rig.read(old.next + new.next)
    assert {intent.size for intent in rig.taken() if intent.kind == PLACE} == {4}
    compilations.stop()
    assert compilations.count == 0
    assert strategy.python.live
    new.message([(666, 5)], [(667, 5)])
    until(lambda: not rig.thread.alive)
    assert rig.thread.error is not None
    assert "strategy fails: nth; found AssertionError: bad luck" in rig.thread.error.message()


def test_a_python_loop_stops_at_once(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    from quietcore.strategy.python import PythonStrategy
    from quietcore.strategy.trial import SAMPLE_CONTEXT

    make_writer()
    rig = make_rig(strategy=PythonStrategy({}, SAMPLE_CONTEXT).strategy("idle"))
    rig.picture()
    started = time.monotonic()
    rig.thread.stop()
    assert rig.thread.join(2.0)
    assert time.monotonic() - started < 1.0


def test_a_loop_that_measures_where_it_should_not_is_found() -> None:
    from bench.loop_cost import LoopRun

    with LoopRun(None) as run:
        assert run.messages == run.ticks > 8000
        assert run.once(measured=True) > 0
        assert run.once(measured=False) > 0
        run.messages -= 1
        with pytest.raises(AssertionError, match="not what was meant"):
            run.once(measured=True)


RUNTIME: Any = numba.core.runtime  # its functions carry no types
COUNTED = np.dtype([("ticks", "<i8"), ("most", "<i8")])


@compiled
def counting(
    state: Any, params: Any, books: Any, symbol: int, kind: int, flags: int, a: int, b: int, c: int, d: int, wish: Any
) -> int:  # fmt: skip
    s = state[0]
    s.ticks += 1
    rows = (books.prices, books.sizes)
    room = np.zeros(8, dtype=np.int64)
    room[s.ticks % 8] = rows[0][2 * symbol, 0]
    s.most = max(s.most, room.max())
    return 0


@pytest.mark.machine_code
def test_a_strategy_that_makes_arrays_gives_them_back(make_writer: MakeWriter, make_rig: MakeRig) -> None:
    """The loop counts no references; what it calls may, and all of it is even in the end."""
    writer = make_writer(capacity=4096)
    state = np.zeros(1, dtype=COUNTED)
    rig = make_rig(strategy=Strategy("counting", counting, state, np.zeros(1, dtype=COUNTED)))
    before = RUNTIME.rtsys.get_allocation_stats()
    waves(writer, 100)
    count = writer.next
    picture = rig.read(count)
    assert picture.state["ticks"][0] == count
    assert picture.state["most"][0] > 0
    after = RUNTIME.rtsys.get_allocation_stats()
    assert after.alloc - before.alloc >= count
    assert after.alloc - before.alloc == after.free - before.free
