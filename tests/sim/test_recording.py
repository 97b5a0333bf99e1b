"""Reading recordings: what they hold, and one clear line where they are damaged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.pipeline import derived

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.sim.frames import Kind
from quietcore.sim.recording import Scale, decimals, detect_venue, lines, survey
from quietcore.sim.source import recorded


def test_survey_of_bybit(tmp_path: Path) -> None:
    found = survey(derived.save(derived.bybit(1, 300), tmp_path / "r.jsonl"))
    assert found.venue == "bybit-linear"
    assert found.symbols == sorted(found.symbols, key=found.symbols.index)
    assert {name: (one.price, one.size) for name, one in found.scales.items()} == {
        "C0USDT": (1, 0),
        "C1USDT": (2, 1),
        "C2USDT": (3, 2),
    }
    assert found.depth() == 50
    assert not found.timed
    assert sum(found.topics.values()) == found.frames == 300


def test_survey_of_binance(tmp_path: Path) -> None:
    found = survey(derived.save(derived.with_times(derived.binance(1, 300)), tmp_path / "r.gz"))
    assert (found.venue, found.scales, found.timed) == ("binance-usdm", {"ETHUSDT": Scale(2, 3)}, True)
    assert set(found.topics) == {"ethusdt@depth", "ethusdt@trade", "ethusdt@bookTicker"}
    assert list(found.snapshots) == ["ETHUSDT"]
    assert found.frames == 299  # the snapshot goes to no stream


def test_snapshots_find_their_symbols(tmp_path: Path) -> None:
    lines = derived.several_binance(3, 600)
    found = survey(derived.save(lines, tmp_path / "r"))
    assert set(found.snapshots) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    for symbol, raw in found.snapshots.items():
        best = float(json.loads(raw)["bids"][0][0])
        assert best == pytest.approx(float(found.prices[symbol]), rel=0.01)
    source = recorded(derived.save(lines, tmp_path / "r"), None)
    reader = source.reader()
    for frame in source.frames(reader):
        reader.track(frame)
    assert all(reader.book(symbol) is not None for symbol in source.instruments)


@pytest.mark.parametrize(("text", "count"), [("1", 0), ("1.50", 1), ("0.000", 0), ("100", 0), ("3.0001", 4)])
def test_decimals(text: str, count: int) -> None:
    assert decimals(text) == count


def test_lines_with_and_without_times(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(b'12 {"a":1}\n\n{"b":2}\n')
    assert [line[:3] for line in lines(path)] == [(1, 12, b'{"a":1}'), (3, None, b'{"b":2}')]


def test_last_line_without_newline_is_complete_when_it_is_json(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(b'{"a":1}\n{"b":2}')
    assert len(list(lines(path))) == 2


def refusal(path: Path, venue: str | None = None) -> QuietcoreError:
    with pytest.raises(QuietcoreError) as caught:
        survey(path, venue)
    assert caught.value.code is ExitCode.USAGE
    assert "\n" not in caught.value.message()
    return caught.value


def test_cut_off_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("\n".join(derived.bybit(1, 30))[:-25])
    error = refusal(path)
    assert error.where == f"{path}:30"
    assert "head -n 29" in (error.remedy or "")


def test_cut_off_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(gzip.compress("\n".join(derived.bybit(1, 300)).encode())[:-100])
    assert str(path) in (refusal(path).where or "")


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    packed = bytearray(gzip.compress("\n".join(derived.bybit(1, 300)).encode()))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    refusal(path, "bybit-linear")


@pytest.mark.parametrize("wrong", ["not json", '{"topic":"orderbook.50.X","data":{}}', '{"topic":7}', "[1]"])
def test_wrong_message_is_named(tmp_path: Path, wrong: str) -> None:
    recording = derived.bybit(1, 30)
    recording[11] = wrong
    path = derived.save(recording, tmp_path / "r")
    assert refusal(path).where == f"{path}:12"


def test_empty_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(b"")
    assert "venue" in refusal(path).what
    assert "no market data" in refusal(path, "bybit-linear").what


def test_missing_file_and_unknown_venue(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path / "nothing").what
    path = derived.save(derived.bybit(1, 5), tmp_path / "r")
    assert "binance-usdm" in str(refusal(path, "nasdaq").expected)


def test_venue_is_seen_from_the_lines(tmp_path: Path) -> None:
    answers = ['{"success":true,"op":"subscribe"}', *derived.bybit(1, 5)]
    assert detect_venue(derived.save(answers, tmp_path / "a")) == "bybit-linear"
    assert detect_venue(derived.save(derived.binance(1, 5), tmp_path / "b")) == "binance-usdm"
    refusal(derived.save(['{"other":1}'], tmp_path / "c"))


def test_without_times_the_venue_sets_the_pace(tmp_path: Path) -> None:
    source = recorded(derived.save(derived.bybit(1, 100), tmp_path / "r"), None)
    at = [frame.receive_ns or 0 for frame in source.frames(source.reader())]
    assert at == sorted(at)
    assert at[0] == (derived.START_MS + (at[0] // 1_000_000 - derived.START_MS)) * 1_000_000
    assert at[-1] > at[0]


def test_frames_are_the_recorded_bytes(tmp_path: Path) -> None:
    recording = derived.binance(3, 200)
    source = recorded(derived.save(derived.with_times(recording), tmp_path / "r"), None)
    frames = list(source.frames(source.reader()))
    assert [frame.raw.decode() for frame in frames] == recording
    assert sum(frame.kind is Kind.SNAPSHOT for frame in frames) == 1
