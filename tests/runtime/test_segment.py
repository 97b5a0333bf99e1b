"""Attaching: each thing that can be wrong with a segment is one clear line, and segments of others stay."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.segment import NotThereYetError, attach, feed_names
from quietcore.errors import ExitCode, QuietcoreError


def test_missing_ring(feed: str) -> None:
    with pytest.raises(
        NotThereYetError, match=rf"no such feed: /dev/shm/quietcore\.{feed}; .*remedy: start"
    ) as raised:
        attach(feed)
    assert raised.value.code is ExitCode.UNKNOWN
    assert "\n" not in raised.value.message()


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 40, "a.lock"])
def test_bad_feed_name(name: str) -> None:
    with pytest.raises(QuietcoreError, match="bad feed name") as raised:
        attach(name)
    assert raised.value.code is ExitCode.USAGE


Break = Callable[[Any], object]


def put(field: str, value: object) -> Break:
    def change(header: Any) -> None:
        header[field] = value

    return change


@pytest.mark.parametrize(
    ("change", "text", "code"),
    [
        (put("magic", 0), "half made", ExitCode.UNKNOWN),
        (put("magic", 7), "not a Quietcore ring.*found magic 0x0000000000000007", ExitCode.USAGE),
        (put("version", 99), f"another version.*found 99; expected {layout.VERSION}", ExitCode.USAGE),
        (put("schema_hash", 1), "another schema", ExitCode.USAGE),
        (put("total_size", 4096), "impossible size.*total_size 4096", ExitCode.USAGE),
        (put("header_size", 256), "impossible size.*header of 256", ExitCode.USAGE),
        (put("slot_size", 128), "impossible size.*slots of 128", ExitCode.USAGE),
        (put("capacity", 1000), "impossible size.*capacity 1000", ExitCode.USAGE),
        (put("capacity", 1 << 40), "impossible size.*slots ends at", ExitCode.USAGE),
        (put("symbol_count", 1 << 30), "impossible size.*directory ends at", ExitCode.USAGE),
        (put("table_stride", 8), "impossible size.*table_stride 8", ExitCode.USAGE),
        (put("statistics_offset", 1 << 40), "impossible size.*statistics ends at", ExitCode.USAGE),
        (put("table_offset", 4), "impossible size.*multiple of 8", ExitCode.USAGE),
        (put("slots_offset", 8), "impossible size.*64-byte", ExitCode.USAGE),
        (put("boot_id", 1), "another boot", ExitCode.USAGE),
    ],
)
def test_mismatch_is_refused(
    make_writer: MakeWriter, feed: str, change: Break, text: str, code: ExitCode
) -> None:
    change(make_writer().header)
    with pytest.raises(QuietcoreError, match=text) as raised:
        attach(feed)
    assert raised.value.code is code
    assert f"/dev/shm/quietcore.{feed}" in raised.value.message()
    assert "remedy" in raised.value.message()
    assert "\n" not in raised.value.message()


def test_too_small_a_file(feed: str) -> None:
    path = Path(f"/dev/shm/quietcore.{feed}")
    path.write_bytes(b"x" * 100)
    try:
        with pytest.raises(NotThereYetError, match=r"half made.*100 bytes"):
            attach(feed)
    finally:
        path.unlink()


def test_waits_for_a_feed_that_is_not_there_yet(make_writer: MakeWriter, feed: str) -> None:
    timer = threading.Timer(0.2, make_writer)
    timer.start()
    try:
        with SharedMemoryBridge(feed, timeout=20.0) as bridge:
            assert bridge.get_stats().epoch == 1
    finally:
        timer.join()


def test_a_reader_that_ends_leaves_the_segment(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    program = f"""
from quietcore.bridge import SharedMemoryBridge
with SharedMemoryBridge({feed!r}) as bridge:
    print(len(bridge.symbols))
"""
    runtime = Path(__file__).resolve().parents[2] / "runtime"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=runtime, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
    assert writer.path.exists()
    assert feed in feed_names()


def test_follows_a_closed_segment_to_its_successor(make_writer: MakeWriter, feed: str) -> None:
    old = make_writer()
    with SharedMemoryBridge(feed, timeout=5.0) as bridge:
        old.trade(1, 1)
        old.trade(2, 1)
        assert len(list(bridge.read_ticks(10))) == 2
        old.trade(3, 1)
        old.close()
        assert len(list(bridge.read_ticks(10))) == 1, "what the old one still holds is read first"
        new = make_writer(symbols=("ETHUSDT", "BTCUSDT"))
        new.trade(4, 1)
        assert [tick.stamp.number for tick in bridge.read_ticks(10)] == [0]
        assert [symbol.name for symbol in bridge.symbols] == ["ETHUSDT", "BTCUSDT"]
        assert bridge.get_stats().attachments == 2


def test_book_counts_as_live_only_with_heartbeat_and_epoch(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    with SharedMemoryBridge(feed) as bridge:
        assert bridge.latest("BTCUSDT").state == layout.STATE_EMPTY
        writer.message([(100, 5)], [(101, 2), (102, 9)])
        book = bridge.latest("BTCUSDT")
        assert book.live
        assert (book.bid, book.ask, book.ask_levels) == ((100, 5), (101, 2), 2)
        ladder = bridge.ladder("BTCUSDT")
        assert (ladder.bids.tolist(), ladder.asks.tolist()) == ([(100, 5)], [(101, 2), (102, 9)])
        writer.header["heartbeat_ns"] -= 600_000_000
        assert not bridge.latest("BTCUSDT").live, "no sign of life"
        writer.beat()
        assert bridge.latest("BTCUSDT").live
        writer.header["epoch"] += 1
        assert not bridge.latest("BTCUSDT").live, "another producer's"
        writer.header["epoch"] -= 1
        writer.close()
        assert not bridge.latest("BTCUSDT").live, "closed"
        with pytest.raises(QuietcoreError, match=r"not in the feed.*found NOPE; expected one of BTCUSDT"):
            bridge.latest("NOPE")


def test_a_book_left_locked_does_not_hold_the_reader(make_writer: MakeWriter, feed: str) -> None:
    from tests.runtime.ring_writer import store_relaxed_now

    writer = make_writer()
    writer.message([(100, 5)], [(101, 2)])
    store_relaxed_now(writer.address + writer.table_offset, 99)
    with SharedMemoryBridge(feed) as bridge, pytest.raises(QuietcoreError, match="locked by a writer"):
        bridge.latest("BTCUSDT")


def test_unconnected_bridge_says_so(feed: str) -> None:
    with pytest.raises(QuietcoreError, match="not connected"):
        SharedMemoryBridge(feed).get_stats()
