"""The feed handler's `verify` against the reference book, message by message."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline import derived
from tests.pipeline.reference_book import Reference

EQUAL = (
    *("messages", "depth_applied", "depth_dropped", "depth_buffered", "snapshots", "gaps", "crossed"),
    *(
        "bbo_compared",
        "bbo_equal",
        "levels_min",
        "levels_max",
        "trades",
        "tickers",
        "ticks",
        "truncated",
        "ok",
    ),
)


def verify(
    feed_handler: Path, venue: str, path: Path, hashes: Path
) -> tuple[int, dict[str, Any], list[list[str]]]:
    """Run the feed handler's `verify`; return exit code, its JSON, and its (symbol, update id, hash) rows."""
    run = subprocess.run(
        [feed_handler, "verify", "--venue", venue, str(path), "--hashes", str(hashes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout), [line.split() for line in hashes.read_text().splitlines()]


def differences(
    code: int,
    native: dict[str, Any],
    native_rows: list[list[str]],
    reference: Reference,
    expected: dict[str, Any],
) -> list[str]:
    """Tell every way in which the feed handler departs from the reference, nothing where it does not."""
    found = [
        f"{key}: {native.get(key)!r}, reference {expected[key]!r}"
        for key in EQUAL
        if native.get(key) != expected[key]
    ]
    if native["malformed"] + native.get("out_of_range", 0) != expected["malformed"]:
        found.append(f"refused messages: {native['malformed']}, reference {expected['malformed']}")
    rows = [[symbol, str(update), f"{one:016x}"] for symbol, update, one, _ in reference.hashes]
    for place, (ours, theirs) in enumerate(zip(rows, native_rows, strict=False)):
        if ours != theirs:
            found.append(f"hash {place}: {theirs}, reference {ours}")
            break
    if len(rows) != len(native_rows):
        found.append(f"hashes: {len(native_rows)}, reference {len(rows)}")
    for symbol, book in expected["symbols"].items():
        if native["symbols"].get(symbol) != book:
            found.append(f"{symbol}: {native['symbols'].get(symbol)}, reference {book}")
    if code != (0 if expected["ok"] else 1):
        found.append(f"exit code {code}")
    return found


def compare(feed_handler: Path, venue: str, path: Path, tmp_path: Path) -> dict[str, Any]:
    reference = Reference(venue)
    expected = reference.run(path)
    assert differences(*verify(feed_handler, venue, path, tmp_path / "hashes"), reference, expected) == []
    return expected


def test_published_binance_recording(feed_handler: Path, binance_recording: Path, tmp_path: Path) -> None:
    result = compare(feed_handler, "binance-usdm", binance_recording, tmp_path)
    assert result["symbols"]["BTCUSDT"]["books"] == 6547


def test_published_bybit_recording(feed_handler: Path, bybit_recording: Path, tmp_path: Path) -> None:
    result = compare(feed_handler, "bybit-linear", bybit_recording, tmp_path)
    assert result["symbols"]["XRPUSDT"]["books"] == 50


BYBIT = {
    "three symbols": {},
    "level 1": {"depth": 1},
    "depth 200": {"depth": 200},
    "depth 500": {"depth": 500, "symbols": 1},
    "depth 1000": {"depth": 1000, "symbols": 1, "messages": 120},
    "ten symbols": {"symbols": 10, "messages": 1500},
    "snapshots in mid-stream": {"snapshot_every": 17},
    "restart of the service": {"restart_at": 40},
    "deltas before the snapshot": {"early_deltas": 4},
    "all at once": {"snapshot_every": 23, "restart_at": 31, "early_deltas": 2, "symbols": 5, "messages": 900},
}
BINANCE = {
    "plain": {},
    "deep": {"levels": 1500, "messages": 250},
    "shallow": {"levels": 12},
    "snapshot first": {"snapshot_at": 1},
    "two snapshots": {"again_at": 100},
    "a gap": {"gap_at": 90},
    "a gap before the snapshot": {"gap_at": 28, "snapshot_at": 30, "again_at": 80},
    "a gap among the deltas kept": {"gap_at": 5, "snapshot_at": 30, "again_at": 80},
    "a gap and a second snapshot": {"gap_at": 90, "again_at": 200},
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", BYBIT)
def test_derived_bybit(feed_handler: Path, tmp_path: Path, case: str, seed: int) -> None:
    options: dict[str, Any] = {"messages": 400, **BYBIT[case]}
    lines = derived.bybit(seed, **options)
    path = derived.save(
        derived.with_times(lines) if seed == 2 else lines, tmp_path / f"r{'.gz' * (seed == 3)}"
    )
    compare(feed_handler, "bybit-linear", path, tmp_path)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", BINANCE)
def test_derived_binance(feed_handler: Path, tmp_path: Path, case: str, seed: int) -> None:
    options: dict[str, Any] = {"messages": 400, **BINANCE[case]}
    lines = derived.binance(seed, **options)
    path = derived.save(
        derived.with_times(lines) if seed == 2 else lines, tmp_path / f"r{'.gz' * (seed == 3)}"
    )
    compare(feed_handler, "binance-usdm", path, tmp_path)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("venue", ["bybit-linear", "binance-usdm"])
def test_lost_repeated_and_broken_lines(feed_handler: Path, tmp_path: Path, venue: str, seed: int) -> None:
    """Whatever is wrong with a recording, both find the same."""
    lines = (
        derived.bybit(seed, 300, snapshot_every=40)
        if venue == "bybit-linear"
        else derived.binance(seed, 300, again_at=200)
    )
    place = 60 + 11 * seed
    if seed % 4 == 0:
        del lines[place : place + 3]
    elif seed % 4 == 1:
        lines[place:place] = lines[place - 6 : place]
    elif seed % 4 == 2:
        lines[place] = lines[place][: len(lines[place]) // 2]
    else:
        lines[place], lines[place + 5] = lines[place + 5], lines[place]
    compare(feed_handler, venue, derived.save(lines, tmp_path / "r.jsonl"), tmp_path)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_derived_binance_of_several_symbols(feed_handler: Path, tmp_path: Path, seed: int) -> None:
    lines = derived.several_binance(seed, 900)
    expected = compare(feed_handler, "binance-usdm", derived.save(lines, tmp_path / "r"), tmp_path)
    assert (expected["snapshots"], expected["ok"], len(expected["symbols"])) == (3, True, 3)


@pytest.mark.parametrize("where", ["ahead of the stream", "between two deltas"])
def test_snapshot_of_a_live_book_changes_nothing(feed_handler: Path, tmp_path: Path, where: str) -> None:
    lines = derived.binance(3, 400, again_at=200)
    second = [place for place, line in enumerate(lines) if '"stream"' not in line][1]
    snapshot = json.loads(lines.pop(second))
    behind = f'"u":{snapshot["lastUpdateId"]},"pu"'
    ahead = next(place for place, line in enumerate(lines) if behind in line)
    if where == "between two deltas":  # an id that no delta reaches around
        delta = json.loads(lines[ahead])["data"]
        snapshot["lastUpdateId"] = (delta["pu"] + delta["U"]) // 2
    lines.insert(ahead, derived.compact(snapshot))
    expected = compare(feed_handler, "binance-usdm", derived.save(lines, tmp_path / "r"), tmp_path)
    assert (expected["snapshots"], expected["gaps"], expected["ok"]) == (2, 0, True)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("venue", ["bybit-linear", "binance-usdm"])
def test_cut_off_recordings(feed_handler: Path, tmp_path: Path, venue: str, packed: bool) -> None:
    lines = derived.bybit(4, 300) if venue == "bybit-linear" else derived.binance(4, 300)
    content = "".join(f"{line}\n" for line in lines).encode()
    path = tmp_path / "cut"
    path.write_bytes(gzip.compress(content, 1)[:-900] if packed else content[:-40])
    assert compare(feed_handler, venue, path, tmp_path)["truncated"]


def test_comparison_sees_one_changed_size(feed_handler: Path, tmp_path: Path) -> None:
    """Control: the same comparison must fail where the two read different books."""
    lines = derived.bybit(1, 200, symbols=1, trades=False)
    path = derived.save(lines, tmp_path / "a.jsonl")
    code, native, rows = verify(feed_handler, "bybit-linear", path, tmp_path / "hashes")
    message = json.loads(lines[100])
    message["data"]["b"].append([f"{derived.text(20_000 - 10, 1)}", "7"])
    lines[100] = derived.compact(message)
    reference = Reference("bybit-linear")
    expected = reference.run(derived.save(lines, tmp_path / "b.jsonl"))
    found = differences(code, native, rows, reference, expected)
    assert any(one.startswith("hash ") for one in found), found
