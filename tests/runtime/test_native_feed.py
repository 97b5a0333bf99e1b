"""The reader against the real feed handler: every tick of the recordings, the final ladders, the running hash."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.follower import Follower
from quietcore.bridge.segment import attach
from quietcore.bridge.ticks import BookApplied, LevelChange, Quote, Trade

FEED_HANDLER = Path(__file__).resolve().parents[2] / "build/bin/quietcore-feed"
RECORDINGS = {
    "binance-usdm": "binance-usdm-btcusdt-20240808.gz",
    "bybit-linear": "bybit-linear-xrpusdt-ob500-20241201.jsonl",
}
ROOM = 1 << 19  # slots: more than both recordings' ticks, twice


def feed_handler(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FEED_HANDLER, *words], capture_output=True, text=True, timeout=100, check=True)


@pytest.fixture(params=RECORDINGS)
def venue(request: pytest.FixtureRequest) -> str:
    if not FEED_HANDLER.exists():
        pytest.skip("the feed handler is not built: make build")
    return str(request.param)


@pytest.fixture
def recording(venue: str, data_folder: Path) -> Path:
    path = data_folder / RECORDINGS[venue]
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    return path


@pytest.fixture
def verified(venue: str, recording: Path) -> dict[str, Any]:
    return dict(json.loads(feed_handler("verify", "--venue", venue, str(recording)).stdout))


@pytest.fixture
def replay(venue: str, recording: Path, feed: str) -> Iterator[Any]:
    def play() -> None:
        words = ["--feed", feed, "--venue", venue, "--speed", "max", "--capacity", str(ROOM)]
        feed_handler("replay", *words, str(recording))

    yield play
    for suffix in ("", ".lock"):
        Path(f"/dev/shm/quietcore.{feed}{suffix}").unlink(missing_ok=True)


def compare(report: dict[str, Any], verified: dict[str, Any]) -> None:
    ticks, expected = report["ticks"], verified["ticks"]
    assert {kind: ticks[kind] for kind in ("bbo", "trade", "level")} == {
        kind: expected[kind] for kind in ("bbo", "trade", "level")
    }
    # The end of a replay makes the book STALE: a BOOK tick without a message.
    states = report["book_states"]
    assert states["LIVE"] + states["RESYNC"] == expected["book"]
    assert (ticks["dropped"], ticks["unknown"]) == (0, 0)
    assert report["symbols"].keys() == verified["symbols"].keys()
    for name, symbol in verified["symbols"].items():
        found = report["symbols"][name]
        assert found["books"] == symbol["books"]
        assert found["ladder_hash"] == symbol["ladder_hash"]
        assert (found["bids"], found["asks"]) == (symbol["bids"], symbol["asks"])
        assert found["tick"] == [symbol["tick_mantissa"], symbol["tick_exponent"]]
        assert found["lot"] == [symbol["lot_mantissa"], symbol["lot_exponent"]]


def test_follower_equals_verify(verified: dict[str, Any], replay: Any, feed: str) -> None:
    replay()
    follower = Follower(attach(feed), from_start=True)
    while follower.follow(1000):
        pass
    report = follower.report()
    assert report["exact"]
    compare(report, verified)


def test_follower_goes_on_through_a_restart(verified: dict[str, Any], replay: Any, feed: str) -> None:
    """Two producers, one after the other: the second's ticks alone give verify's counts and ladders again."""
    replay()
    follower = Follower(attach(feed), from_start=True)
    while follower.follow():
        pass
    once = follower.report()
    replay()
    while follower.follow():
        pass
    twice = follower.report()
    assert twice["epoch"] == once["epoch"] + 1
    assert twice["ticks"]["restart"] == 1
    assert twice["exact"]
    for kind in ("bbo", "trade", "level", "book"):
        assert twice["ticks"][kind] == 2 * once["ticks"][kind]
    for name, symbol in verified["symbols"].items():
        found = twice["symbols"][name]
        assert (found["bids"], found["asks"], found["books"]) == (
            symbol["bids"],
            symbol["asks"],
            2 * symbol["books"],
        )
        assert found["exact"]


def test_ticks_and_batches_tell_the_same(verified: dict[str, Any], replay: Any, feed: str) -> None:
    replay()
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        batch = bridge.read_batch()
        assert batch.valid()
        kinds = {
            Quote: (layout.KIND_BBO, "bbo"),
            Trade: (layout.KIND_TRADE, "trade"),
            LevelChange: (layout.KIND_LEVEL, "level"),
        }
        for kind, name in kinds.values():
            assert int((batch.ticks["kind"] == kind).sum()) == verified["ticks"][name]
        assert bridge.get_stats().lag == 0
        book = bridge.latest(bridge.symbols[0].name)
        assert book.state == layout.STATE_STALE
        assert not book.live, "its producer has ended"
    with SharedMemoryBridge(feed, from_start=True) as bridge:
        last = None
        count = 0
        for tick in bridge.read_ticks(len(batch)):
            count += isinstance(tick, Quote)
            last = tick
        assert count == verified["ticks"]["bbo"]
        assert isinstance(last, BookApplied)
        assert last.stamp.venue_ns is None, "a replayed venue time is comparable with nothing"
