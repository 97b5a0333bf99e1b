"""`quietcore-feed replay`: what it publishes, and what it leaves to its successor."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.native.conftest import Run, Start
from tests.native.ring_file import RingFile, until

from quietcore.bridge import layout


def replay(run: Run, feed: str, venue: str, path: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return run("replay", "--feed", feed, "--venue", venue, "--speed", "max", *more, path)


def test_every_tick_of_a_recording_is_published(run: Run, feed: str, binance_recording: Path) -> None:
    done = replay(run, feed, "binance-usdm", binance_recording, "--capacity", 1 << 18)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    verified = json.loads(run("verify", "--venue", "binance-usdm", binance_recording).stdout)
    ring = RingFile(feed)
    assert ring.kinds() == verified["ticks"]
    ticks = ring.ticks()
    assert len(ticks) == ring.number("published") == ring.statistics()["ticks"]
    assert [int(seq) for seq in ticks["seq"]] == [2 * n + 2 for n in range(len(ticks))], "each exactly once"
    assert (ticks["time_source"][:-1] == layout.TIME_SOURCE_RECORDED).all()
    assert (ticks["flags"][:-1] & layout.FLAG_VENUE_TIME_FOREIGN != 0).all(), "a replay measures no latency"
    symbol = verified["symbols"]["BTCUSDT"]
    assert ring.ladder() == (symbol["bids"], symbol["asks"])
    statistics = ring.statistics()
    for name in (
        "messages",
        "depth_applied",
        "depth_dropped",
        "snapshots",
        "gaps",
        "crossed",
        "trades",
        "tickers",
    ):
        assert statistics[name] == verified[name], name


def test_the_end_leaves_a_stale_book_and_an_open_segment(run: Run, feed: str, bybit_recording: Path) -> None:
    replay(run, feed, "bybit-linear", bybit_recording)
    ring = RingFile(feed)
    assert ring.state() == layout.STATE_STALE
    assert ring.number("closed") == 0
    last = ring.ticks()[-1]
    assert (int(last["kind"]), int(last["d"])) == (layout.KIND_BOOK, layout.STATE_STALE)
    assert ring.book()["tick"] == ring.number("published") - 1
    assert oct(ring.path.stat().st_mode & 0o7777) == "0o640"


def test_the_next_producer_continues_the_segment(run: Run, feed: str, bybit_recording: Path) -> None:
    replay(run, feed, "bybit-linear", bybit_recording)
    ring = RingFile(feed)
    published, epoch = ring.number("published"), ring.number("epoch")
    replay(run, feed, "bybit-linear", bybit_recording)
    assert ring.number("epoch") == epoch + 1
    assert ring.number("published") == 2 * published + 1, "the same ticks again, and RESTART"
    restart = ring.ticks()[published]
    assert (int(restart["kind"]), int(restart["a"])) == (layout.KIND_RESTART, epoch + 1)
    assert ring.statistics()["messages"] == 100
    assert ring.book()["messages"] == 50, "of this epoch"


def test_looping_starts_each_time_from_a_stale_book(run: Run, feed: str, bybit_recording: Path) -> None:
    replay(run, feed, "bybit-linear", bybit_recording, "--loop", 3)
    ring = RingFile(feed)
    assert ring.statistics()["gaps"] == 0
    assert ring.statistics()["depth_applied"] == 3 * 49
    assert ring.kinds()["book"] == 150


def test_a_killed_producer_leaves_a_ring_that_its_successor_takes_over(
    run: Run, start: Start, feed: str, binance_recording: Path
) -> None:
    process = start("replay", "--feed", feed, "--venue", "binance-usdm", "--speed", "20", binance_recording)
    ring = RingFile(feed)
    until(lambda: ring.state() == layout.STATE_LIVE and ring.number("published") > 2_000, "a live book")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    assert ring.state() == layout.STATE_LIVE, "the dead cannot tidy up: readers see it by the heartbeat"
    heartbeat = ring.number("heartbeat_ns")
    before = ring.number("published")
    newest = int(ring.ticks()["seq"].max()) // 2
    done = replay(run, feed, "binance-usdm", binance_recording)
    assert done.returncode == 0
    assert ring.number("epoch") == 2
    assert ring.number("heartbeat_ns") > heartbeat
    assert ring.number("published") > newest >= before
    ticks = ring.ticks()
    numbers = [int(seq) // 2 - 1 for seq in ticks["seq"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no hole, no tick twice"


def test_a_second_producer_is_refused(run: Run, start: Start, feed: str, binance_recording: Path) -> None:
    first = start("replay", "--feed", feed, "--venue", "binance-usdm", "--speed", "1", binance_recording)
    ring = RingFile(feed)
    until(lambda: ring.number("published") > 0, "the first publishes")
    done = replay(run, feed, "binance-usdm", binance_recording)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"process {first.pid}" in done.stderr
    assert first.poll() is None
    assert ring.number("epoch") == 1


def test_sigterm_ends_a_paced_replay_in_order(start: Start, feed: str, binance_recording: Path) -> None:
    process = start("replay", "--feed", feed, "--venue", "binance-usdm", "--speed", "1", binance_recording)
    ring = RingFile(feed)
    until(lambda: ring.state() == layout.STATE_LIVE, "a live book")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert ring.state() == layout.STATE_STALE


def test_a_ring_of_another_version_is_replaced(run: Run, feed: str, bybit_recording: Path) -> None:
    replay(run, feed, "bybit-linear", bybit_recording)
    path = Path(f"/dev/shm/quietcore.{feed}")
    with path.open("r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(4, "little"))
    inode = path.stat().st_ino
    done = replay(run, feed, "bybit-linear", bybit_recording)
    assert done.returncode == 0
    assert f"version 99, not {layout.VERSION}" in done.stderr
    assert path.stat().st_ino != inode
    assert RingFile(feed).number("epoch") == 1


def test_another_layout_closes_the_old_ring(run: Run, feed: str, bybit_recording: Path) -> None:
    replay(run, feed, "bybit-linear", bybit_recording)
    old = RingFile(feed)
    assert old.number("closed") == 0
    done = replay(run, feed, "bybit-linear", bybit_recording, "--capacity", 2048)
    assert "capacity 65536, not 2048" in done.stderr
    assert old.number("closed") == 1
    assert RingFile(feed).number("capacity") == 2048


def test_a_small_ring_wraps(run: Run, feed: str, binance_recording: Path) -> None:
    replay(run, feed, "binance-usdm", binance_recording, "--capacity", 1024)
    ring = RingFile(feed)
    ticks = ring.ticks()
    assert len(ticks) == 1024
    assert int(ticks["seq"][-1]) == 2 * ring.number("published")


def test_a_cut_recording_is_played_and_said(
    run: Run, feed: str, bybit_recording: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(bybit_recording.read_bytes()[:-100])
    done = replay(run, feed, "bybit-linear", cut)
    assert done.returncode == 1
    assert f"{cut}:50" in done.stderr
    assert RingFile(feed).kinds()["book"] == 49
