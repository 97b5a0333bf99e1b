"""Following: the reader's ladders, hashes and counts equal the producer's, and heal after lost ticks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.conftest import MakeWriter
from tests.runtime.ring_writer import Levels, diff

from quietcore.bridge import layout
from quietcore.bridge.follower import Follower, new_books
from quietcore.bridge.segment import attach

MASK = (1 << 64) - 1
START = 0xCBF29CE484222325


def mix(h: int, word: int) -> int:
    x = ((h ^ (word & MASK)) * 0x100000001B3) & MASK
    return x ^ (x >> 32)


def reference_hash(bids: Levels, asks: Levels) -> int:
    h = START
    for side in (bids, asks):
        for price, size in (side + [(0, 0)] * 20)[:20]:
            h = mix(mix(h, price), size)
    return h


class Reference:
    """What a follower must hold, kept independently in plain Python."""

    def __init__(self) -> None:
        self.running = START
        self.books = 0

    def message(self, bids: Levels, asks: Levels) -> None:
        self.running = mix(self.running, reference_hash(bids, asks))
        self.books += 1


def state_of(follower: Follower, name: str = "BTCUSDT") -> dict[str, Any]:
    return dict(follower.report(1000)["symbols"][name])


def as_levels(pairs: list[list[int]]) -> Levels:
    return [(price, size) for price, size in pairs]


side = st.dictionaries(st.integers(1, 40), st.integers(1, 1 << 40), max_size=30)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(books=st.lists(st.tuples(side, side), min_size=1, max_size=12), depth=st.sampled_from([1, 3, 20, 25]))
def test_level_ticks_make_the_true_ladder(
    make_writer: MakeWriter, feed: str, books: list[tuple[dict[int, int], dict[int, int]]], depth: int
) -> None:
    writer = make_writer(depth=depth)
    follower = Follower(attach(feed), from_start=True)
    reference = Reference()
    for bid_side, ask_side in books:
        bids = sorted(bid_side.items(), reverse=True)[:depth]
        asks = [(price + 100, size) for price, size in sorted(ask_side.items())][:depth]
        writer.message(bids, asks)
        reference.message(bids, asks)
        follower.follow()
        state = state_of(follower)
        assert (as_levels(state["bids"]), as_levels(state["asks"])) == (bids, asks)
    assert state["ladder_hash"] == f"{reference.running:016x}"
    assert state["books"] == reference.books
    assert follower.exact
    for prices, count in zip(follower.books.prices, follower.books.counts, strict=True):
        assert not prices[count:].any(), "what lies beyond the levels is zero"


def test_the_property_has_teeth() -> None:
    """A producer that forgets the deletes inside the window makes another ladder."""
    from quietcore.bridge.books import apply_level

    old, new = [(10, 1), (9, 1), (8, 1)], [(10, 1), (8, 1), (7, 1)]

    def applied(changes: Levels) -> Levels:
        books = new_books(1, 3)
        for price, size in [*diff([], old, 3, ask=False), *changes]:
            apply_level(books.prices, books.sizes, books.counts, 0, price, size)
        return [(int(p), int(s)) for p, s in zip(books.prices[0], books.sizes[0], strict=True)]

    changes = diff(old, new, 3, ask=False)
    assert changes == [(9, 0), (7, 1)]
    assert applied(changes) == new
    assert applied(changes[1:]) != new


def test_levels_that_fall_off_the_end_need_no_tick() -> None:
    assert diff([(3, 1), (2, 1), (1, 1)], [(4, 1), (3, 1), (2, 1)], 3, ask=False) == [(4, 1)]
    assert diff([(3, 1), (2, 1)], [(4, 1), (3, 1)], 3, ask=False) == [(2, 0), (4, 1)]


def test_states_without_a_message_are_not_hashed(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    follower = Follower(attach(feed), from_start=True)
    writer.message([(1, 1)], [(2, 1)], state=layout.STATE_RESYNC)
    writer.message([(1, 1)], [(2, 1)])
    writer.message([(1, 1)], [(2, 1)], state=layout.STATE_STALE)
    follower.follow()
    state = state_of(follower)
    assert (state["state"], state["books"]) == ("STALE", 1)
    assert follower.report()["ticks"]["book"] == 3


def test_counts_by_kind_and_symbol(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer(symbols=("A", "B"))
    follower = Follower(attach(feed), from_start=True)
    writer.message([(1, 1)], [(2, 1)], symbol=1)
    writer.trade(1, 1)
    writer.quote(1, 1, 2, 1, flags=layout.FLAG_FROM_TICKER)
    writer.tick(layout.KIND_TRADE, symbol=7)
    writer.tick(99)
    writer.publish()
    assert follower.follow() == 8
    ticks = follower.report()["ticks"]
    assert (ticks["level"], ticks["bbo"], ticks["book"], ticks["trade"]) == (2, 2, 1, 2)
    assert ticks["unknown"] == 2
    assert ticks["read"] == 8
    assert state_of(follower, "A")["state"] == "EMPTY"
    assert state_of(follower, "B")["state"] == "LIVE"


@pytest.mark.parametrize("more", [0, 1, 3])
def test_ladder_heals_after_an_overrun(make_writer: MakeWriter, feed: str, more: int) -> None:
    """Whether the table is exactly at the reader's BOOK tick or already ahead of it."""
    writer = make_writer()
    follower = Follower(attach(feed), from_start=True)
    writer.message([(100, 1), (99, 1)], [(101, 1)])
    follower.follow()
    writer.message([(100, 7), (98, 1)], [(101, 1), (103, 3)])  # lost
    for _ in range(2 * writer.capacity):
        writer.trade(1, 1)
    for i in range(1 + more):
        writer.message([(100, 50 + i), (97 - i, 2)], [(101 + i, 4)])
    while follower.follow():
        pass
    assert follower.dropped > 0
    state = state_of(follower)
    assert as_levels(state["bids"]) == writer.ladders[0][0]
    assert as_levels(state["asks"]) == writer.ladders[0][1]
    assert not follower.exact
    assert follower.counters[15] == 1, "loaded from the table once"
    assert state["books"] == 2, "the first message, and the one the table was at"
    assert state["exact"] is (more == 0)
    # and goes on exactly
    before = int(state["ladder_hash"], 16)
    writer.message([(90, 1)], [(91, 1)])
    follower.follow()
    state = state_of(follower)
    assert (as_levels(state["bids"]), as_levels(state["asks"])) == ([(90, 1)], [(91, 1)])
    assert int(state["ladder_hash"], 16) == mix(before, reference_hash([(90, 1)], [(91, 1)]))


def test_late_joiner_has_the_true_ladder_from_the_next_book(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    writer.message([(100, 1), (99, 1)], [(101, 1)])
    follower = Follower(attach(feed))
    assert follower.follow() == 0
    assert state_of(follower)["bids"] == []
    writer.message([(100, 2), (99, 1)], [(101, 1)])
    follower.follow()
    assert as_levels(state_of(follower)["bids"]) == [(100, 2), (99, 1)]


@pytest.mark.parametrize("behind", [False, True])
def test_restart_of_the_producer(make_writer: MakeWriter, feed: str, behind: bool) -> None:
    """The new producer's ladders begin empty: exact even for a reader that is several books behind."""
    writer = make_writer()
    follower = Follower(attach(feed), from_start=True)
    reference = Reference()
    writer.message([(100, 1)], [(101, 1)])
    reference.message([(100, 1)], [(101, 1)])
    follower.follow()
    writer.restart()
    for price in (55, 54, 53):
        writer.message([(price, 1), (50, 2)], [(56, 1)])
        reference.message([(price, 1), (50, 2)], [(56, 1)])
        if not behind:
            follower.follow()
    follower.follow()
    report = follower.report()
    assert (report["epoch"], report["ticks"]["restart"]) == (2, 1)
    state = state_of(follower)
    assert as_levels(state["bids"]) == [(53, 1), (50, 2)]
    assert (state["books"], state["ladder_hash"]) == (4, f"{reference.running:016x}")
    assert follower.exact


def test_restart_heals_a_reader_that_lost_ticks(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    writer.message([(100, 1)], [(101, 1)])
    follower = Follower(attach(feed))
    assert not state_of(follower)["exact"]
    writer.restart()
    follower.follow()
    assert state_of(follower)["exact"]
    assert follower.counters[15] == 0, "nothing had to be loaded"


def test_a_locked_book_keeps_the_ladder_untrusted(make_writer: MakeWriter, feed: str) -> None:
    from tests.runtime.ring_writer import store_relaxed_now

    writer = make_writer()
    writer.message([(100, 1)], [(101, 1)])
    follower = Follower(attach(feed))
    writer.message([(100, 2)], [(101, 1)])
    lock = writer.address + writer.table_offset
    store_relaxed_now(lock, 5)
    follower.follow()
    assert not state_of(follower)["exact"]
    store_relaxed_now(lock, 6)
    writer.message([(100, 3)], [(101, 1)])
    follower.follow()
    assert as_levels(state_of(follower)["bids"]) == [(100, 3)]
