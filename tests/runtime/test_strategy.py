"""The strategy's parts: the intent ring, the averages against plain Python, every reason to refuse."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.bridge.atomics import load_acquire, pause, store_release
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follower import new_books
from quietcore.bridge.segment import Segment, attach
from quietcore.strategy import risk
from quietcore.strategy.account import ONLY_REDUCE, Account
from quietcore.strategy.arena import NO_SLOT, OrderArena, open_slot, say_over
from quietcore.strategy.crossing import crossing, on_tick
from quietcore.strategy.intents import BUY, PLACE, SELL, WORDS, IntentRing, aligned, push
from quietcore.strategy.interface import WISH_WORDS


@compiled
def produce(address: int, capacity: int, words: Any, total: int) -> None:
    """Push ``total`` intents, each as soon as there is room."""
    for i in range(total):
        words[5] = i
        while not push(address, capacity, PLACE, words):
            pause()


@pytest.mark.machine_code
def test_intent_ring_loses_nothing_between_two_threads() -> None:
    ring = IntentRing(8)
    words = np.zeros(WORDS, dtype=np.int64)
    ring.take()
    push(ring.address, ring.capacity, PLACE, words)
    assert ring.take() is not None
    total = 20_000
    produce(ring.address, ring.capacity, words, 0)
    producer = threading.Thread(target=produce, args=(ring.address, ring.capacity, words, total))
    producer.start()
    sizes: list[int] = []
    numbers: list[int] = []
    while len(sizes) < total:
        intent = ring.take()
        if intent is not None:
            sizes.append(intent.size)
            numbers.append(intent.number)
    producer.join()
    assert sizes == list(range(total))
    assert numbers == list(range(1, total + 1))


def test_full_intent_ring_holds_back() -> None:
    ring = IntentRing(4)
    words = np.zeros(WORDS, dtype=np.int64)
    assert [push(ring.address, 4, PLACE, words) for _ in range(6)] == [True] * 4 + [False] * 2
    assert ring.take() is not None
    assert push(ring.address, 4, PLACE, words)


class Reference:
    """The crossing averages in plain Python, from their definition."""

    def __init__(self, fast: int, slow: int) -> None:
        self.alphas = 2 / (fast + 1), 2 / (slow + 1)
        self.averages = [0.0, 0.0]
        self.samples = 0
        self.warm_up = slow
        self.above: bool | None = None
        self.trades: list[tuple[int, int]] = []

    def quote(self, bid: int, ask: int) -> int | None:
        mid = (bid + ask) / 2
        if self.samples == 0:
            self.averages = [mid, mid]
        else:
            self.averages = [
                average + alpha * (mid - average)
                for average, alpha in zip(self.averages, self.alphas, strict=True)
            ]
        self.samples += 1
        fast, slow = self.averages
        if self.samples < self.warm_up or fast == slow:
            return None
        before, self.above = self.above, fast > slow
        if before is None or before == self.above:
            return None
        return BUY if self.above else SELL


@pytest.mark.parametrize("seed", range(5))
def test_crossing_equals_its_definition(seed: int) -> None:
    chance = random.Random(seed)
    strategy = crossing(5, 17, 3)
    reference = Reference(5, 17)
    books = new_books(1, 1)
    wish = np.zeros(WISH_WORDS, dtype=np.int64)
    price = 10_000
    signals = 0
    for _ in range(5000):
        price += chance.randint(-3, 3)
        bid, ask = price, price + chance.randint(1, 3)
        if chance.random() < 0.3:
            size = chance.randint(1, 50)
            reference.trades.append((price, size))
            tick = (layout.KIND_TRADE, 0, price, size, 0, 0)
            expected = None
        else:
            tick = (layout.KIND_BBO, 0, bid, 5, ask, 7)
            expected = reference.quote(bid, ask)
        found = on_tick(strategy.state, strategy.params, books, 0, *tick, wish)
        assert found == (0 if expected is None else 1)
        if expected is not None:
            signals += 1
            assert wish[:3].tolist() == [expected, ask if expected == BUY else bid, 3]
    figures = strategy.figures(strategy.state)
    assert figures["fast"] == pytest.approx(reference.averages[0], rel=1e-12)
    assert figures["slow"] == pytest.approx(reference.averages[1], rel=1e-12)
    volume = sum(size for _, size in reference.trades)
    vwap = sum(price * size for price, size in reference.trades) / volume
    assert figures["vwap"] == pytest.approx(vwap, rel=1e-12)
    assert signals > 20


def test_one_source_of_quotes_and_no_empty_side() -> None:
    strategy = crossing(1, 2, 1)
    books = new_books(1, 1)
    wish = np.zeros(WISH_WORDS, dtype=np.int64)

    def quote(flags: int, bid_size: int = 1, ask_size: int = 1) -> int:
        on_tick(
            strategy.state,
            strategy.params,
            books,
            0,
            layout.KIND_BBO,
            flags,
            10,
            bid_size,
            12,
            ask_size,
            wish,
        )
        return int(strategy.state[0]["samples"])

    assert quote(0) == 1
    assert quote(0, bid_size=0) == 1
    assert quote(0, ask_size=0) == 1
    assert quote(layout.FLAG_FROM_TICKER) == 2
    assert quote(0) == 2, "from the book, while the venue's ticker is there"


class Desk:
    """A risk check with everything in order, for tests to spoil."""

    def __init__(self, segment: Segment, writer: Any) -> None:
        self.segment = segment
        self.writer = writer
        self.alive = True
        self.account = Account()
        self.account.ready(True)
        self.arena = OrderArena(16)
        self.limits = risk.limits(max_position=10, max_open_orders=3, max_order_rate=100, price_band=0.01)
        self.risk = risk.Risk(
            self.account.address,
            np.zeros(risk.EMITTED_WORDS, dtype=np.int64),
            risk.new_rate(100),
            self.limits,
            self.arena.slots,
        )
        self.scratch = np.zeros(200, dtype=np.int64)
        self.epoch = segment.epoch

    def check(self, side: int = BUY, price: int = 10_005, size: int = 1) -> int:
        if self.alive:
            self.writer.beat()
        return risk.check(
            self.segment.ring,
            0,
            self.epoch,
            self.scratch,
            self.risk,
            side,
            price,
            size,
            time.monotonic_ns(),
        )

    def emit(self, side: int = BUY, size: int = 1, price: int = 10_005) -> int:
        assert self.check(side, price, size) == risk.ALLOWED
        return int(risk.count_order(self.risk, side, price, size, time.monotonic_ns()))


@pytest.fixture
def writer(make_writer: MakeWriter) -> Any:
    made = make_writer()
    made.message([(10_000, 5)], [(10_010, 5)])
    return made


@pytest.fixture
def desk(writer: Any, feed: str) -> Desk:
    made = Desk(attach(feed), writer)
    made.check()  # compiles, which may take longer than a heartbeat stays fresh
    return made


def test_allowed_where_all_is_well(desk: Desk) -> None:
    assert desk.check() == risk.ALLOWED
    assert desk.check(SELL) == risk.ALLOWED


def test_gateway_not_ready(desk: Desk) -> None:
    desk.account.ready(False)
    assert desk.check() == risk.GATEWAY


def test_feed_without_heartbeat_or_closed(desk: Desk, writer: Any) -> None:
    desk.alive = False
    writer.header["heartbeat_ns"] -= 510_000_000
    assert desk.check() == risk.FEED
    desk.alive = True
    assert desk.check() == risk.ALLOWED
    writer.close()
    assert desk.check() == risk.FEED


def test_another_epoch(desk: Desk, writer: Any) -> None:
    writer.header["epoch"] += 1
    assert desk.check() == risk.EPOCH
    desk.epoch += 1
    assert desk.check() == risk.EPOCH, "the book is still the old producer's"
    writer.message([(10_000, 5)], [(10_010, 5)])
    assert desk.check() == risk.ALLOWED


@pytest.mark.parametrize("state", [layout.STATE_EMPTY, layout.STATE_RESYNC, layout.STATE_STALE])
def test_book_not_live(desk: Desk, writer: Any, state: int) -> None:
    writer.message([(10_000, 5)], [(10_010, 5)], state=state)
    assert desk.check() == risk.BOOK


@pytest.mark.parametrize(("bids", "asks"), [([], [(10_010, 5)]), ([(10_000, 5)], []), ([], [])])
def test_one_sided_book(desk: Desk, writer: Any, bids: Any, asks: Any) -> None:
    writer.message(bids, asks)
    assert desk.check() == risk.BOOK


def test_locked_book(desk: Desk, writer: Any) -> None:
    from tests.runtime.ring_writer import store_relaxed_now

    store_relaxed_now(writer.address + writer.table_offset, 7)
    assert desk.check() == risk.BOOK


@pytest.mark.parametrize(("price", "size"), [(0, 1), (-5, 1), (10_005, 0), (10_005, -1)])
def test_price_and_size_positive(desk: Desk, price: int, size: int) -> None:
    assert desk.check(price=price, size=size) == risk.VALUE


def test_price_band_to_the_tick(desk: Desk) -> None:
    # mid 10,005, band 1 %: 9,904.95 to 10,105.05
    assert [desk.check(price=price) for price in (9905, 10_105)] == [risk.ALLOWED] * 2
    assert [desk.check(price=price) for price in (9904, 10_106)] == [risk.BAND] * 2
    desk.limits[0]["price_band"] = float("nan")
    assert desk.check(price=10_005) == risk.BAND


def test_position_counts_what_is_outstanding(desk: Desk) -> None:
    desk.limits[0]["max_open_orders"] = 1000
    assert desk.check(size=10) == risk.ALLOWED
    assert desk.check(size=11) == risk.POSITION
    desk.emit(size=6, price=10_004)
    assert desk.check(size=5) == risk.POSITION
    assert desk.check(size=4) == risk.ALLOWED
    assert desk.check(SELL, size=10) == risk.ALLOWED, "an open buy makes no room to sell"
    assert desk.check(SELL, size=11) == risk.POSITION
    desk.account.filled(BUY, 6)
    assert desk.account.position == 6
    assert desk.check(size=4) == risk.ALLOWED
    assert desk.check(size=5) == risk.POSITION
    assert desk.check(SELL, size=16) == risk.ALLOWED
    assert desk.check(SELL, size=17) == risk.POSITION
    desk.account.resolved(BUY, 0)
    desk.emit(size=4)
    desk.account.resolved(BUY, 4)  # cancelled unfilled
    assert desk.check(size=4) == risk.ALLOWED


def test_open_orders(desk: Desk) -> None:
    for _ in range(3):
        desk.emit()
    assert desk.check() == risk.OPEN_ORDERS
    desk.account.resolved(BUY, 1)
    assert desk.check() == risk.ALLOWED


def test_order_rate_in_any_second(desk: Desk) -> None:
    desk.limits[0]["max_open_orders"] = 1000
    desk.limits[0]["max_position"] = 1000
    desk.risk = desk.risk._replace(rate=risk.new_rate(5))
    for _ in range(5):
        desk.emit()
    assert desk.check() == risk.RATE
    desk.risk.rate[0] -= 1_000_000_000  # the oldest is a second ago
    assert desk.check() == risk.ALLOWED
    desk.emit()
    assert desk.check() == risk.RATE


def test_every_reason_has_a_name() -> None:
    assert sorted(risk.REASON_NAMES) == list(range(1, risk.REASONS))


# the further limits ----------------------------------------------------------------------------------------------


def test_kill_switch(desk: Desk) -> None:
    desk.account.killed(True)
    assert desk.check() == desk.check(SELL) == risk.KILL
    desk.account.killed(False)
    assert desk.check() == risk.ALLOWED


def test_size_and_value_of_one_order(desk: Desk) -> None:
    desk.limits[0]["max_order_size"] = 4
    assert (desk.check(size=4), desk.check(size=5)) == (risk.ALLOWED, risk.SIZE)
    desk.limits[0]["max_notional"] = 3 * 10_005
    assert (desk.check(size=3), desk.check(size=4)) == (risk.ALLOWED, risk.NOTIONAL)
    assert desk.check(price=10_006, size=3) == risk.NOTIONAL
    desk.limits[0]["max_order_size"] = risk.NO_LIMIT
    assert desk.check(size=1 << 61) == risk.NOTIONAL, "price × size does not fit 64 bits"


def test_book_age(desk: Desk, writer: Any) -> None:
    desk.limits[0]["max_book_age"] = 10_000_000_000
    assert desk.check() == risk.OLD_BOOK, "the test's book carries no time of today"
    head = writer.bytes[writer.table_offset :][: layout.BOOK.itemsize].view(layout.BOOK)[0]
    head["receive_ns"] = time.time_ns()
    assert desk.check() == risk.ALLOWED
    head["receive_ns"] = time.time_ns() - 10_100_000_000
    assert desk.check() == risk.OLD_BOOK


def test_no_order_crosses_an_own_one(desk: Desk) -> None:
    slot = desk.emit(BUY, price=10_004)
    assert [desk.check(SELL, price) for price in (10_003, 10_004)] == [risk.SELF_CROSSING] * 2
    assert desk.check(SELL, 10_005) == risk.ALLOWED
    assert desk.check(BUY, 10_003) == risk.ALLOWED
    desk.arena.over(slot)
    assert desk.check(SELL, 10_003) == risk.ALLOWED, "it is over"
    sold = desk.emit(SELL, price=10_008)
    assert [desk.check(BUY, price) for price in (10_007, 10_008)] == [risk.ALLOWED, risk.SELF_CROSSING]
    desk.arena.over(sold)
    assert desk.check(BUY, 10_008) == risk.ALLOWED
    assert desk.arena.open == 0


def test_loss_limit_lets_only_reduce(desk: Desk) -> None:
    # mid 10,005; bought 4 at 10,030: 100 are lost
    desk.account.filled(BUY, 4, outstanding=False, cash=-4 * 10_030)
    desk.limits[0]["max_loss"] = 100
    assert desk.check() == risk.ALLOWED
    desk.limits[0]["max_loss"] = 99
    assert desk.check() == risk.LOSS
    assert desk.check(SELL, size=4) == risk.ALLOWED
    assert desk.check(SELL, size=5) == risk.LOSS, "more than there is to close"
    desk.account.paid(1)  # a price that is known better now
    assert desk.check() == risk.ALLOWED


def test_degraded(desk: Desk) -> None:
    desk.account.degraded(ONLY_REDUCE)
    assert desk.check() == desk.check(SELL) == risk.DEGRADE
    desk.account.filled(BUY, 2, outstanding=False)
    assert [desk.check(SELL, size=size) for size in (2, 3)] == [risk.ALLOWED, risk.DEGRADE]
    desk.account.degraded(250)
    assert [risk.allowed_size(desk.risk, size) for size in (8, 3)] == [2, 0]
    desk.account.degraded(0)
    assert risk.allowed_size(desk.risk, 8) == 8


def test_no_slot_left(desk: Desk) -> None:
    desk.limits[0]["max_open_orders"] = 1000
    desk.limits[0]["max_position"] = 1000
    for _ in range(16):
        desk.emit()
    assert desk.check() == risk.SLOTS
    assert open_slot(desk.arena.slots, BUY, 1, 1) == NO_SLOT
    desk.arena.over(3)
    assert desk.check() == risk.ALLOWED
    assert desk.emit() == 3


@compiled
def trade_steadily(bound: risk.Risk, address: int, rounds: int, signs: int) -> None:
    """When told, check, count and end ``rounds`` orders; tell how many were allowed; end when told."""
    store_release(signs, 1)
    while load_acquire(signs + 8) == 0:
        pause()
    allowed = 0
    for i in range(rounds):
        now = i * 1_000_000_000
        if risk.check_order(bound, BUY, 10_005, 1, 20_010, now) == risk.ALLOWED:
            slot = risk.count_order(bound, BUY, 10_005, 1, now)
            bound.emitted[risk.EMITTED_BUY] -= 1
            bound.emitted[risk.EMITTED] -= 1
            say_over(address, slot)
            allowed += 1
    store_release(signs + 16, allowed)
    while load_acquire(signs + 24) == 0:
        pause()


@compiled
def allocate(rounds: int) -> float:
    """Allocate, for the counter's own test."""
    total = 0.0
    for i in range(rounds):
        total += np.ones(i + 1).sum()
    return total


@pytest.mark.machine_code
def test_steady_trading_allocates_nothing(desk: Desk) -> None:
    arena = OrderArena(10_000)
    bound = desk.risk._replace(arena=arena.slots)
    signs = aligned(16)
    signs[1] = signs[3] = 1
    trade_steadily(bound, arena.address, 1, signs.ctypes.data)  # compiled
    signs[:4] = 0
    rounds = 100_000
    thread = threading.Thread(
        target=trade_steadily, args=(bound, arena.address, rounds, signs.ctypes.data), daemon=True
    )
    thread.start()

    def wait_for(word: int) -> None:
        end = time.monotonic() + 20
        while signs[word] == 0:
            assert time.monotonic() < end
            time.sleep(0.001)

    wait_for(0)
    arena.seal()
    signs[1] = 1
    wait_for(2)
    assert (signs[2], arena.allocations()) == (rounds, 0)
    signs[3] = 1
    thread.join()
    allocate(1)
    arena.seal()
    allocate(7)
    assert arena.allocations() == 7, "the counter counts"
    with pytest.raises(ValueError, match="1 to 1,000,000"):
        OrderArena(0)
