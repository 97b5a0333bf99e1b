"""`quietcore soak`: messages as they should be, latencies from when they were due, and losses that are found."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietcore.cli.main import main
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.histogram import BUCKETS, bucket_of
from quietcore.local.children import Interruption
from quietcore.soak.frames import (
    FIRST_UPDATE,
    NEXT,
    SENT,
    Market,
    market,
    seed,
    snapshot,
    symbol_name,
    text_frame,
    write_due,
)
from quietcore.soak.plan import Report, Soak, Sweep
from quietcore.soak.report import whole, write_png
from quietcore.soak.rig import Load, LoadRig, Placement, figures, problems

FEED_HANDLER = Path(__file__).resolve().parents[2] / "build/bin/quietcore-feed"
built = pytest.mark.skipif(not FEED_HANDLER.exists(), reason="the feed handler is not built: make build")
NOW = 1_790_000_000_123_456_789


def subscribed(symbols: int, most: int = 4096) -> Market:
    made = market(symbols, 2, most)
    made.owner[:] = 1
    made.schedule[NEXT] = NOW
    seed(7)
    return made


def messages(made: Market) -> list[dict[str, Any]]:
    """Return what was written to connection 1, unpacked frame by frame."""
    data = made.out[1, : made.filled[1]].tobytes()
    found = []
    while data:
        assert data[:2] == b"\x81\x7e"
        size = int.from_bytes(data[2:4], "big")
        found.append(json.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    made.filled[1] = 0
    return found


def test_messages_are_the_venues_and_name_when_they_were_due() -> None:
    made = subscribed(4)
    made.gap[0] = 1000.0
    assert write_due(made, NOW + 2_000_000, 4096) == pytest.approx(2000, rel=0.15)
    found = messages(made)
    assert len(found) == made.schedule[SENT]
    due = [message["data"]["seq"] for message in found]
    assert due[0] == NOW
    assert due == sorted(due)
    assert due[-1] <= NOW + 2_000_000
    gaps = np.diff(due)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.15), "a Poisson process"
    last: dict[str, int] = {}
    for message in found:
        name, data = message["data"]["s"], message["data"]
        assert message["topic"] == f"orderbook.50.{name}"
        assert data["u"] == last.get(name, FIRST_UPDATE) + 1
        assert 49_951 <= int(data["b"][0][0]) <= 50_000 < int(data["a"][0][0]) <= 50_050
        assert 100 <= int(data["b"][0][1]) <= 999
        assert message["ts"] == message["cts"] == data["seq"] // 1_000_000
        last[name] = data["u"]
    assert set(last) == {symbol_name(number) for number in range(4)}
    first = sum(message["data"]["s"] == symbol_name(0) for message in found)
    assert first / len(found) == pytest.approx(1 / 8, rel=0.02)


def test_what_is_written_late_keeps_its_time() -> None:
    made = subscribed(2)
    made.gap[0] = 1e6
    assert write_due(made, NOW - 1, 4096) == 0, "nothing before its time"
    late = write_due(made, NOW + 500_000_000, 4096)
    assert late == pytest.approx(500, rel=0.2)
    assert made.marks[0, 0] == late
    assert made.marks[0, 1] == 500_000_000, "the first was due at once"
    assert next(message["data"]["seq"] for message in messages(made)) == NOW


def test_as_fast_as_they_are_taken() -> None:
    made = subscribed(2, most=64)
    assert write_due(made, NOW + 5, 64) == 64
    assert {message["data"]["seq"] for message in messages(made)} == {NOW + 5}
    made.owner[:] = -1
    assert write_due(made, NOW + 9, 64) == 64
    assert made.filled.sum() == 0, "nobody has subscribed them"


def test_frames_of_any_length() -> None:
    for size, head in (
        (5, b"\x81\x05"),
        (126, b"\x81\x7e\x00\x7e"),
        (70_000, b"\x81\x7f" + (70_000).to_bytes(8, "big")),
    ):
        assert text_frame(b"x" * size) == head + b"x" * size
    whole_book = json.loads(snapshot(3, 17, NOW)[4:])
    assert whole_book["type"] == "snapshot"
    assert [len(whole_book["data"][side]) for side in "ba"] == [50, 50]
    assert whole_book["data"]["u"] == 17


def test_figures_are_those_of_the_histogram() -> None:
    buckets = np.zeros(BUCKETS, dtype=np.int64)
    assert figures(buckets) == (dict.fromkeys(("p50", "p90", "p99", "p99.9", "p99.99", "max"), None), 0)
    buckets[bucket_of(100)] = 990
    buckets[bucket_of(1_000_000)] = 10
    found, count = figures(buckets)
    assert (count, found["p50"], found["p99"]) == (1000, 100, 100)
    for name in ("p99.9", "max"):
        assert found[name] == pytest.approx(1_000_000, rel=0.017)


def load(**changes: Any) -> Load:
    latency: dict[str, int | None] = dict.fromkeys(("p50", "p90", "p99", "p99.9", "p99.99", "max"), 20_000)
    usual = Load(3, 1000.0, 1.0, 1000, 1000, 1000.0, latency, 125, {}, {"p99": 900}, 0, 0, {}, live_books=3)
    made = replace(usual, **changes)
    made.problems = problems(made)
    return made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"applied": 999}, "1,000 messages sent, 999 applied"),
        ({"dropped_ticks": 7}, "7 ticks overwritten"),
        ({"troubles": {"gaps": 2}}, "gaps: 2"),
        ({"live_books": 2}, "2 of 3 books LIVE"),
    ],
)
def test_each_loss_is_a_problem(changes: dict[str, Any], said: str) -> None:
    assert load().problems == []
    report = Report([Soak(3, 2000.0, load(**changes))], None, Placement())
    assert len(report.problems) == 1
    assert said in report.problems[0]
    beyond = Report([Soak(3, 2000.0, load())], Sweep(3, 2000.0, [110.0], [load(**changes)]), Placement())
    assert beyond.problems == [], "a sweep is meant to be too much"


def test_a_report_needs_what_it_draws(tmp_path: Path) -> None:
    report = Report([Soak(3, 2000.0, load())], None, Placement(), virtual="kvm")
    with pytest.raises(QuietcoreError, match="nothing to draw"):
        write_png(tmp_path / "x.png", report)
    from rich.console import Console

    console = Console(width=150, record=True, file=(tmp_path / "out").open("w"))
    console.print(whole(report))
    assert "a virtual machine (kvm): not to be quoted" in console.export_text()
    console.file.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes"),
        (["--load", "0"], "--load"),
        (["--sweep-symbols", "0"], "--sweep-symbols"),
        (["--png", "x.png", "--no-sweep"], "nothing to draw"),
        (["--cpus", "0,0,1"], "not three CPUs"),
        (["--cpus", "0"], "not three CPUs"),
    ],
)
def test_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--symbols", "1.5"], ["--symbols", "10001"], ["--loads", "a"]])
def test_wrong_numbers(words: list[str]) -> None:
    assert main(["soak", *words]) == ExitCode.USAGE


@pytest.fixture
def rig() -> Iterator[LoadRig]:
    with LoadRig(3, Placement(), Interruption()) as made:
        yield made


@built
@pytest.mark.timeout(400)  # of compiling on a busy machine
def test_what_holds_the_feed_up_is_in_the_latency_of_all_that_was_due(rig: LoadRig) -> None:
    """A pause of 0.4 s: a sender that waits, too, and times only what it sends would see it in one message."""
    feed = rig._children[1].process.pid
    quiet = rig.load(800.0, 1.0)
    assert quiet.sent == quiet.applied == pytest.approx(800, rel=0.3)
    assert quiet.samples == pytest.approx(quiet.sent / 8, rel=0.1)
    assert quiet.live_books == 3

    def hold_up() -> None:
        os.kill(feed, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(feed, signal.SIGCONT)

    timer = threading.Timer(0.3, hold_up)
    timer.start()
    held = rig.load(800.0, 1.0)
    timer.join()
    assert held.latency["max"] is not None
    assert held.latency["p90"] is not None
    assert held.latency["max"] > 300_000_000
    assert held.latency["p90"] > 100_000_000, (
        "more than a tenth of all messages were due while it stood still"
    )
    assert held.sent == held.applied


@built
@pytest.mark.timeout(400)
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, png = tmp_path / "a" / "soak.json", tmp_path / "soak.png"
    words = ["--minutes", "0.05", "--symbols", "12", "--sweep-symbols", "2", "--loads", "20,110"]
    code = main(["soak", *words, "--out", str(out), "--png", str(png)])
    said = capsys.readouterr()
    report = json.loads(out.read_text())
    soak, sweep = report["soaks"][0], report["sweep"]
    assert code == (ExitCode.FOUND if soak["load"]["problems"] else ExitCode.OK)
    assert soak["symbols"] == soak["load"]["live_books"] == 12
    assert soak["capacity"] > 100
    for one in (soak["load"], *sweep["steps"]):
        assert one["sent"] == one["applied"] > 0
        latency = one["latency"]
        assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    rates = [sweep["capacity"] * share for share in (0.2, 1.1)]
    assert [step["rate"] for step in sweep["steps"]] == pytest.approx(rates)
    assert "latency against load, 2 symbols" in said.out
    assert "sweep, 2 symbols: 110 %" in said.err
    assert png.read_bytes().startswith(b"\x89PNG")
    assert not list(Path("/dev/shm").glob(f"quietcore.local-{os.getpid()}*"))
