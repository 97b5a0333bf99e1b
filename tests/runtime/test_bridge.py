"""`SharedMemoryBridge` on the real feed handler: in several processes, waiting for it, and past its restarts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import ROOT, MakeWriter

from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.segment import NotThereYetError
from quietcore.bridge.ticks import Trade

FEED_HANDLER = ROOT / "build/bin/quietcore-feed"
RECORDING = "binance-usdm-btcusdt-20240808.gz"

# Reads until nothing has come for a while; prints what it saw. Half of the readers take batches.
READER = """
import json, sys, time, zlib
from quietcore.bridge import SharedMemoryBridge
feed, way, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
digest = read = 0
with SharedMemoryBridge(feed, timeout=60.0, from_start=True) as bridge:
    print("attached", flush=True)
    quiet = time.monotonic() + 2.0
    while time.monotonic() < quiet:
        if way == "batch":
            batch = bridge.read_batch(4096)
            content = batch.ticks.tobytes()
            count = len(batch)
            if count:
                assert batch.valid()
                digest = zlib.crc32(content, digest)
        else:
            ticks = list(bridge.read_ticks(4096))
            count = len(ticks)
            digest = zlib.crc32(repr([tuple(tick) for tick in ticks]).encode(), digest) if count else digest
        read += count
        if count:
            quiet = time.monotonic() + 2.0
        time.sleep(pause)
    stats = bridge.get_stats()
    symbol = bridge.symbols[0].name
    ladder = bridge.ladder(symbol)
    print(json.dumps({
        "read": read, "digest": digest if way == "batch" else 0, "dropped": stats.dropped_ticks,
        "stats_read": stats.read_ticks, "lag": stats.lag, "epoch": stats.epoch, "gaps": stats.gaps,
        "bids": len(ladder.bids), "state": bridge.latest(symbol).state, "live": bridge.latest(symbol).live,
    }))
"""


@pytest.fixture
def recording(data_folder: Path) -> Path:
    if not FEED_HANDLER.exists():
        pytest.skip("the feed handler is not built: make build")
    path = data_folder / RECORDING
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    return path


@pytest.fixture
def clean(feed: str) -> Iterator[None]:
    yield
    for suffix in ("", ".lock"):
        Path(f"/dev/shm/quietcore.{feed}{suffix}").unlink(missing_ok=True)


def reader(feed: str, way: str, pause: float = 0.001) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READER, feed, way, str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
    )


def replay(feed: str, recording: Path, *words: str) -> None:
    command = [FEED_HANDLER, "replay", "--feed", feed, "--venue", "binance-usdm", *words, str(recording)]
    subprocess.run(list(map(str, command)), check=True, timeout=60, capture_output=True)


def verdict(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    return dict(json.loads(out.splitlines()[-1]))


@pytest.mark.usefixtures("clean")
def test_several_processes_wait_for_the_feed_and_read_the_same(feed: str, recording: Path) -> None:
    """Four readers are there first; the feed comes, ends, and comes again with the next epoch."""
    readers = [reader(feed, way) for way in ("ticks", "batch", "ticks", "batch")]
    # Each is waiting, or still importing: neither may need the feed to be there.
    assert all(process.poll() is None for process in readers)
    replay(feed, recording, "--speed", "max", "--capacity", "524288")
    for process in readers:
        assert process.stdout is not None
        assert process.stdout.readline() == "attached\n"
    replay(feed, recording, "--speed", "max", "--capacity", "524288")
    found = [verdict(process) for process in readers]
    first = found[0]
    assert first["read"] > 10_000
    assert first["epoch"] == 2
    assert first["bids"] == 20
    assert (first["state"], first["live"]) == (layout.STATE_STALE, False)
    for one in found:
        assert (one["dropped"], one["lag"], one["gaps"]) == (0, 0, first["gaps"])
        assert one["read"] == one["stats_read"] == first["read"]
    assert found[1]["digest"] == found[3]["digest"] != 0


@pytest.mark.usefixtures("clean")
def test_a_slow_reader_knows_exactly_what_it_lost(feed: str, recording: Path) -> None:
    with pytest.raises(NotThereYetError):
        SharedMemoryBridge(feed).connect()
    replay(feed, recording, "--speed", "max", "--capacity", "1024")
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        read = sum(1 for _ in bridge.read_ticks(1 << 30))
        stats = bridge.get_stats()
        published = int(bridge.segment.header["published"])
    assert 0 < read <= 1024
    assert stats.dropped_ticks > 0
    assert read + stats.dropped_ticks == published


def test_waits_only_as_long_as_asked(feed: str) -> None:
    start = time.monotonic()
    with pytest.raises(NotThereYetError, match="no such feed"):
        SharedMemoryBridge(feed, timeout=0.2).connect()
    assert 0.2 <= time.monotonic() - start < 5.0


def test_follows_a_dead_producer_that_never_closed(make_writer: MakeWriter, feed: str) -> None:
    """Killed, and its segment replaced by one of another size: no `closed` was ever written."""
    old = make_writer()
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        old.trade(1, 1)
        old.path.unlink()
        old.header["heartbeat_ns"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 1_000_000_000
        assert [tick.price for tick in bridge.read_ticks(9) if isinstance(tick, Trade)] == [1]
        # Nothing is there to go on with yet: the old one stays, and no error is made of it.
        assert list(bridge.read_ticks(9)) == []
        assert len(bridge.read_batch()) == 0
        new = make_writer(capacity=2048)
        new.trade(2, 1)
        assert [tick.price for tick in bridge.read_ticks(9) if isinstance(tick, Trade)] == [2]
        assert bridge.get_stats().attachments == 2
        assert bridge.get_stats().read_ticks == 2


def test_a_live_producer_is_not_left_for_another_name(make_writer: MakeWriter, feed: str) -> None:
    old = make_writer()
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        make_writer(capacity=2048)
        old.beat()
        assert list(bridge.read_ticks(9)) == []
        old.trade(3, 1)
        assert len(bridge.read_batch()) == 1
        assert bridge.get_stats().attachments == 1


def test_goes_on_where_it_stopped_after_a_close(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    bridge = SharedMemoryBridge(feed)
    with bridge:
        writer.trade(1, 1)
        assert len(list(bridge.read_ticks(9))) == 1
    writer.trade(2, 1)
    with bridge:
        assert [tick.price for tick in bridge.read_ticks(9) if isinstance(tick, Trade)] == [2]
        assert bridge.get_stats()[2:4] == (2, 0)


def test_another_schema_is_refused_by_the_next_segment_too(make_writer: MakeWriter, feed: str) -> None:
    from quietcore.errors import QuietcoreError

    old = make_writer()
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        old.close()
        make_writer().header["schema_hash"] = 1
        with pytest.raises(QuietcoreError, match="another schema"):
            list(bridge.read_ticks(9))
