"""The example programs, run against simulator and feed handler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from quietcore.local.pipeline import KEY, SECRET, LocalPipeline, Wishes

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "runtime/examples/market_and_orders.py"

pytestmark = pytest.mark.timeout(180)


def example(*words: str, keys: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime"), **keys, "CREDENTIALS_DIRECTORY": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "secret").write_text(SECRET)
    return {
        "QUIETCORE_API_KEY_FILE": str(tmp_path / "key"),
        "QUIETCORE_API_SECRET_FILE": str(tmp_path / "secret"),
    }


def test_market_and_orders(keys: dict[str, str], feed_handler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIETCORE_FEED", str(feed_handler))
    wishes = Wishes(["--generate", "--seed", "3", "--symbols", "2", "--speed", "1"])
    with LocalPipeline(wishes) as pipeline:
        pipeline.start_simulator()
        pipeline.start_feed()
        pipeline.begin()
        announced = pipeline.announced
        done = example(
            *("--feed", pipeline.feed, "--symbol", pipeline.symbol),
            *("--websocket", announced["websocket"], "--rest", announced["rest"]),
            keys=keys,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ring"]["quotes"] > 0
    assert found["ring"]["ladder_levels"] > 0
    assert found["ring"]["dropped_ticks"] == 0
    assert (found["endpoints"]["websocket"], found["endpoints"]["rest"]) == (
        announced["websocket"],
        announced["rest"],
    )
    assert set(found["stream"]["messages"]) == {"1", "2"}
    assert found["stream"]["switch_ms"] > 0
    assert found["stream"]["overflowed"] == 0
    assert found["stream"]["socket"]["nodelay"] is True
    assert found["order"]["states"] == ["New", "Cancelled"]
    sliced = found["sliced"]
    assert sum(map(Decimal, sliced["children"])) == Decimal(sliced["parent"])
    assert (
        len(sliced["children"])
        == len(set(sliced["jittered"]))
        == sliced["rested"]
        == sliced["cancelled"]
        == 5
    )
    assert sliced["states"] == ["accepted"]
    assert found["problems"] == []
    assert SECRET not in done.stdout + done.stderr


def test_without_a_feed_it_says_so(keys: dict[str, str]) -> None:
    done = example(
        "--feed", "nothing-here", "--websocket", "ws://h", "--rest", "http://h", "--timeout", "0", keys=keys
    )
    assert done.returncode == 3
    assert "no such feed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
