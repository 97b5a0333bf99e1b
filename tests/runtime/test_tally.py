"""`quietcore tally` as a process: counts, exit codes, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.runtime.conftest import MakeWriter

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "quietcore", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(RUNTIME)}


def tally(*words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        command("tally", "--json", *words),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=90,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_counts_everything_from_the_start(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    for i in range(100):
        writer.message([(100, i + 1)], [(101, 1)])
        writer.trade(100, 1)
    code, report, _ = tally("--feed", feed, "--from-start", "--until-idle", "0.1")
    assert code == 0
    assert report["ticks"]["read"] == writer.next
    assert report["ticks"]["trade"] == 100
    assert report["ticks"]["book"] == 100
    assert report["exact"]
    symbol = report["symbols"]["BTCUSDT"]
    assert (symbol["bids"], symbol["asks"], symbol["books"]) == ([[100, 100]], [[101, 1]], 100)


def test_drops_are_found_and_exit_1(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    for i in range(3000):
        writer.trade(i, 1)
    code, report, _ = tally("--feed", feed, "--from-start", "--until-idle", "0.1")
    assert code == 1
    assert report["ticks"]["read"] + report["ticks"]["dropped"] == 3000
    assert not report["exact"]


def test_missing_feed_is_one_line_and_exit_3(feed: str) -> None:
    code, report, errors = tally("--feed", feed, "--wait", "0")
    assert (code, report["error"]["what"]) == (3, "no such feed")
    assert len(errors.splitlines()) == 1
    assert f"no such feed: /dev/shm/quietcore.{feed}" in errors


def test_bad_option_is_exit_2(feed: str) -> None:
    code, _, errors = tally("--feed", feed, "--seconds", "nan")
    assert code == 2
    assert "--seconds" in errors


def started(*words: str) -> subprocess.Popen[str]:
    """Start a tally and wait until it catches SIGTERM: then it may still have to attach and to compile."""
    process = subprocess.Popen(
        command("tally", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    )
    status = Path(f"/proc/{process.pid}/status")
    caught = 1 << (signal.SIGTERM - 1)
    while not int(status.read_text().split("SigCgt:")[1].split()[0], 16) & caught:
        assert process.poll() is None
    return process


def test_interrupted_it_reports_all_there_is(make_writer: MakeWriter, feed: str) -> None:
    writer = make_writer()
    for price in range(500):
        writer.trade(price, 1)
    process = started("--feed", feed, "--from-start", "--json")
    try:
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert json.loads(out)["ticks"]["trade"] == 500


def test_interrupted_while_waiting_for_the_feed(feed: str) -> None:
    process = started("--feed", feed, "--wait", "100")
    try:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (3, "")
    assert "no such feed" in errors


def test_it_says_that_it_waits_for_a_feed(feed: str) -> None:
    code, _, said = tally("--feed", feed, "--wait", "0.3")
    assert code == 3
    first, last = said.strip().splitlines()
    assert first.startswith("tally: no such feed")
    assert first.endswith("waiting up to 0.3 s")
    assert last.startswith("quietcore tally: no such feed")
