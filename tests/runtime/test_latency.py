"""`quietcore latency`: hops of the runtime's status, and by symbol from a ring."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quietcore.bridge import layout
from quietcore.bridge.segment import attach
from quietcore.cli.main import main
from quietcore.errors import ExitCode
from quietcore.histogram import Histogram
from quietcore.observe.status import HOP_TITLES, VERSION
from quietcore.observe.symbol_hops import SymbolHops

MakeWriter = Callable[..., Any]


def status_file(folder: Path, *values: int) -> Path:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    path = folder / "runtime.json"
    path.write_text(json.dumps({"version": VERSION, "hops": dict.fromkeys(HOP_TITLES, histogram.summary())}))
    return path


def test_hops_of_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = status_file(tmp_path, *range(1, 101))
    assert main(["latency", "--status", str(path)]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "p99.99" in shown
    assert "99 ns" in shown
    assert main(["latency", "--status", str(path), "--json"]) == ExitCode.OK
    hops = json.loads(capsys.readouterr().out)["hops"]
    assert [hop["hop"] for hop in hops] == list(HOP_TITLES.values())
    assert hops[0]["p90"] == 90


def test_nothing_measured_is_no_success(tmp_path: Path) -> None:
    assert main(["latency", "--status", str(status_file(tmp_path))]) == ExitCode.UNKNOWN
    assert main(["latency", "--status", str(tmp_path / "nothing")]) == ExitCode.UNKNOWN


def test_by_symbol(make_writer: MakeWriter) -> None:
    writer = make_writer(symbols=("BTCUSDT", "ETHUSDT", "QUIETUSDT"))
    hops = SymbolHops(attach(writer.feed))
    writer.trade(5, 1, publish_delta=9999)  # nobody knows whether it begins a message: joined in the middle
    for _ in range(50):
        writer.message([(10, 1), (9, 2)], [(11, 1)], symbol=0, publish_delta=700, venue_delta=3)
        writer.trade(5, 1, symbol=1, publish_delta=1500, flags=layout.FLAG_VENUE_TIME_FOREIGN)
    while hops.follow():
        pass
    report = hops.report()
    assert set(report) == {"BTCUSDT", "ETHUSDT"}
    assert report["BTCUSDT"]["received_published"]["count"] == 50, "once a message, not once a tick"
    assert report["BTCUSDT"]["received_published"]["max"] == 700
    assert report["BTCUSDT"]["venue_received"]["p50"] == pytest.approx(3000, rel=0.02)
    assert report["ETHUSDT"]["venue_received"]["count"] == 0
    assert report["ETHUSDT"]["venue_received"]["not_comparable"] == 50
    assert report["ETHUSDT"]["received_published"]["p50"] == pytest.approx(1500, rel=0.02)


def test_a_lapped_reader_begins_at_the_next_message(make_writer: MakeWriter) -> None:
    writer = make_writer(capacity=1024)
    hops = SymbolHops(attach(writer.feed))
    for _ in range(3000):
        writer.trade(5, 1, publish_delta=700)
    while hops.follow():
        pass
    assert 0 < hops.report()["BTCUSDT"]["received_published"]["count"] < 1024


def test_the_command_by_symbol(make_writer: MakeWriter, capsys: pytest.CaptureFixture[str]) -> None:
    writer = make_writer()
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.001):
            writer.trade(5, 1, publish_delta=700)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert main(["latency", "--feed", writer.feed, "--seconds", "0.3", "--json"]) == ExitCode.OK
        hops = json.loads(capsys.readouterr().out)["hops"]
        assert (
            main(["latency", "--feed", writer.feed, "--seconds", "0.05", "--symbol", "NONE"])
            == ExitCode.USAGE
        )
        assert "no such symbol" in capsys.readouterr().err
    finally:
        stop.set()
        thread.join()
    assert {(hop["symbol"], hop["hop"]) for hop in hops} == {
        ("BTCUSDT", "venue → received"),
        ("BTCUSDT", "received → published"),
    }
