"""A ring that is cut short while it is mapped ends its readers with a line that names it, and the runtime in order."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import Market, Run

from quietcore.bridge.segment import attach
from quietcore.bridge.truncation import shortened
from quietcore.errors import QuietcoreError
from quietcore.monitoring.feeds import FeedWatch, feed_state

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
READER = """
import sys, time
from quietcore.bridge.segment import attach
from quietcore.bridge.follower import Follower
segment = attach(sys.argv[1])
follower = Follower(segment, from_start=True)
print("attached", flush=True)
while True:
    if sys.argv[2] == "compiled":
        follower.follow()
    else:
        bytes(segment.bytes[-8:])
    time.sleep(0.01)
"""
GRACEFUL = """
import sys
from quietcore.bridge.segment import attach
segment = attach(sys.argv[1])
called = []
segment.when_truncated = lambda: called.append(1)
print("attached", flush=True)
sys.stdin.readline()
print(int(segment.bytes.sum() > 0), len(called), segment.truncated, flush=True)
segment.close()
"""


def program(text: str, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", text, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "attached\n", process.communicate()
    return process


@pytest.mark.parametrize("kind", ["compiled", "python"])
def test_a_reader_ends_with_a_line_that_names_the_ring(make_writer: MakeWriter, feed: str, kind: str) -> None:
    with Market(make_writer(capacity=65536)) as market:
        process = program(READER, feed, kind)
        time.sleep(0.2)
        market.stop()
        os.truncate(f"/dev/shm/quietcore.{feed}", 4096)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    (line,) = errors.splitlines()
    assert f"ring was cut short while it was mapped: /dev/shm/quietcore.{feed}; found nothing at byte" in line
    assert "remedy: restart the feed handler" in line


def test_a_reader_that_wants_to_ends_in_good_order(make_writer: MakeWriter, feed: str) -> None:
    make_writer(capacity=65536)
    process = program(GRACEFUL, feed)
    os.truncate(f"/dev/shm/quietcore.{feed}", 4096)
    out, errors = process.communicate("go on\n", timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert out.strip() == "1 1 True"


def test_a_file_that_is_shorter_is_noticed_before_a_read(make_writer: MakeWriter, feed: str) -> None:
    make_writer(capacity=65536)
    segment = attach(feed)
    path = Path(f"/dev/shm/quietcore.{feed}")
    try:
        assert shortened(segment) is None
        size = path.stat().st_size
        os.truncate(path, size - 1)
        problem = shortened(segment)
        assert problem is not None
        assert f"found {size - 1} bytes; expected {size} bytes" in str(problem)
        os.truncate(path, size)
        path.unlink()
        assert shortened(segment) is None
        path.write_bytes(b"another one's")
        assert shortened(segment) is None, "a new ring is followed, and no fault of the old one"
    finally:
        segment.close()


def test_one_ring_that_was_cut_short_keeps_nobody_from_the_others(make_writer: MakeWriter, feed: str) -> None:
    make_writer(capacity=65536)
    other = f"{feed}-b"
    make_writer(feed=other, capacity=65536)
    watch = FeedWatch([feed, other])
    try:
        assert all("error" not in found for found in watch.look().values())
        os.truncate(f"/dev/shm/quietcore.{feed}", 4096)
        found = watch.look()
        assert "ring was cut short while it was mapped" in found[feed]["error"]
        assert found[other]["symbols"] == 1
        segment = attach(other)
        segment.when_truncated = lambda: os.truncate(f"/dev/shm/quietcore.{other}", 0)
        os.truncate(f"/dev/shm/quietcore.{other}", 4096)
        with pytest.raises(QuietcoreError, match="cut short"):
            feed_state(segment)
        segment.close()
    finally:
        watch.close()


@pytest.mark.timeout(300)
def test_the_runtime_cancels_what_is_open_and_says_why_it_ends(
    make_writer: MakeWriter, feed: str, tmp_path: Path
) -> None:
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)) as market:
        run = Run(tmp_path, feed, venue)
        try:
            run.ready()
            run.until(lambda: run.status()["orders"]["open"])
            market.stop()
            os.truncate(f"/dev/shm/quietcore.{feed}", 4096)
            code, _, errors = run.result()
        finally:
            run.close()
    assert code == 3, errors
    assert "Traceback" not in errors
    assert f"ring was cut short while it was mapped: /dev/shm/quietcore.{feed}" in errors
    assert {order["orderStatus"] for order in venue.orders.values()} == {"Cancelled"}
