"""The reference book against recordings small enough to judge by eye."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline import derived, reference_book
from tests.pipeline.ladder_rules import SEED, Ladder, ladder_hash, level_ticks, mix, reader_window
from tests.pipeline.reference_book import Reference


def judge(
    tmp_path: Path, venue: str, messages: list[dict[str, Any] | str]
) -> tuple[dict[str, Any], Reference]:
    lines = [one if isinstance(one, str) else derived.compact(one) for one in messages]
    path = derived.save(lines, tmp_path / "recording.jsonl")
    reference = Reference(venue)
    return reference.run(path), reference


def book(
    kind: str, update: int, bids: list[list[str]], asks: list[list[str]], depth: int = 50
) -> dict[str, Any]:
    data = {"s": "XUSDT", "b": bids, "a": asks, "u": update, "seq": update}
    return {
        "topic": f"orderbook.{depth}.XUSDT",
        "type": kind,
        "ts": 1_700_000_000_000,
        "data": data,
        "cts": 1,
    }


def depth(
    first: int, last: int, previous: int, bids: list[list[str]], asks: list[list[str]]
) -> dict[str, Any]:
    data = {"e": "depthUpdate", "s": "XUSDT", "U": first, "u": last, "pu": previous, "b": bids, "a": asks}
    return {"stream": "xusdt@depth", "data": data}


def ticker(update: int, bid: str, bid_size: str, ask: str, ask_size: str) -> dict[str, Any]:
    data = {"e": "bookTicker", "u": update, "s": "XUSDT", "b": bid, "B": bid_size, "a": ask, "A": ask_size}
    return {"stream": "xusdt@bookTicker", "data": data}


def rest(last: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    return {"lastUpdateId": last, "E": 1, "T": 1, "bids": bids, "asks": asks}


def ladder(*levels: tuple[int, int]) -> Ladder:
    return [(Decimal(price), Decimal(size)) for price, size in levels]


def test_hash_is_the_agreed_one() -> None:
    # By hand: h ^ w, times the prime modulo 2**64, folded by its upper half.
    assert mix(SEED, 0) == (
        (0xCBF29CE484222325 * 0x100000001B3 % 2**64) ^ ((0xCBF29CE484222325 * 0x100000001B3 % 2**64) >> 32)
    )
    h = SEED
    for word in [101, 5, *[0] * 38, 102, 7, *[0] * 38]:
        h = mix(h, word)
    assert ladder_hash([(101, 5)], [(102, 7)]) == h
    assert ladder_hash([(101, 5)], [(102, 8)]) != h


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param(ladder((9, 1), (8, 1)), ladder((9, 1), (8, 1)), [], id="nothing changed"),
        pytest.param(ladder((9, 1), (8, 1)), ladder((9, 1)), [(8, 0)], id="a short window deletes"),
        pytest.param(
            ladder((9, 1), (8, 1), (7, 1)),
            ladder((10, 2), (9, 1), (8, 1)),
            [(10, 2)],
            id="pushed off: no delete",
        ),
        pytest.param(
            ladder((9, 1), (8, 1), (7, 1)),
            ladder((9, 1), (7, 3), (6, 4)),
            [(8, 0), (7, 3), (6, 4)],
            id="deletes, then upserts, best first",
        ),
        pytest.param(
            ladder((9, 1), (8, 1), (7, 1)),
            ladder((12, 1), (11, 1), (10, 1)),
            [(12, 1), (11, 1), (10, 1)],
            id="jump",
        ),
    ],
)
def test_level_rule(old: Ladder, new: Ladder, changes: list[tuple[int, int]]) -> None:
    found = level_ticks(old, new, 3, bids=True)
    assert found == ladder(*changes)
    assert reader_window(old, found, 3, bids=True) == new


def test_level_rule_on_the_ask_side_mirrors() -> None:
    old, new = ladder((7, 1), (8, 1), (9, 1)), ladder((6, 1), (7, 1), (9, 2))
    assert level_ticks(old, new, 3, bids=False) == ladder((8, 0), (6, 1), (9, 2))


def test_bybit_by_hand(tmp_path: Path) -> None:
    result, reference = judge(
        tmp_path,
        "bybit-linear",
        [
            book("delta", 6, [["1.0", "9"]], []),  # before any snapshot: dropped
            book("snapshot", 7, [["1.50", "3"], ["1.40", "2"]], [["1.60", "4.5"]]),
            book("delta", 8, [["1.50", "0"]], [["1.60", "4.5"], ["1.75", "1"]]),
            {"topic": "publicTrade.XUSDT", "data": [{"p": "1.6", "v": "0.25"}, {"p": "1.6", "v": "1"}]},
        ],
    )
    assert (result["messages"], result["depth_applied"], result["depth_dropped"], result["snapshots"]) == (
        4,
        1,
        1,
        1,
    )
    # Snapshot: three levels, the best, the book. Delta: one delete, one new ask, the best changed, the book.
    assert result["ticks"] == {"level": 3 + 2, "bbo": 2, "book": 2, "trade": 2}
    symbol = result["symbols"]["XUSDT"]
    assert (symbol["tick_exponent"], symbol["lot_exponent"], symbol["books"]) == (2, 2, 2)
    assert (symbol["bids"], symbol["asks"]) == ([[140, 200]], [[160, 450], [175, 100]])
    first = ladder_hash([(150, 300), (140, 200)], [(160, 450)])
    second = ladder_hash([(140, 200)], [(160, 450), (175, 100)])
    assert reference.hashes == [
        ("XUSDT", 7, first, mix(SEED, first)),
        ("XUSDT", 8, second, mix(mix(SEED, first), second)),
    ]
    assert symbol["ladder_hash"] == f"{mix(mix(SEED, first), second):016x}"
    assert result["ok"]


def test_bybit_gap_waits_for_a_snapshot(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "bybit-linear",
        [
            book("snapshot", 7, [["1", "3"]], [["2", "4"]]),
            book("delta", 9, [["1", "5"]], []),
            book("delta", 10, [["1", "6"]], []),
            book("snapshot", 11, [["1", "7"]], [["2", "4"]]),
        ],
    )
    assert (result["gaps"], result["depth_applied"], result["depth_dropped"], result["ok"]) == (
        1,
        0,
        1,
        False,
    )
    assert result["symbols"]["XUSDT"]["books"] == 2
    assert result["ticks"]["book"] == 3  # two snapshots, and one that says the book is out of step


def test_bybit_restart_overwrites(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "bybit-linear",
        [
            book("snapshot", 70, [["1", "3"]], [["2", "4"]]),
            book("delta", 1, [["5", "1"]], [["6", "1"]]),
            book("delta", 2, [["5", "2"]], []),
        ],
    )
    assert (result["gaps"], result["snapshots"], result["depth_applied"]) == (0, 2, 1)
    assert result["symbols"]["XUSDT"]["bids"] == [[5, 2]]


def test_bybit_window_holds_its_depth(tmp_path: Path) -> None:
    rows = [[str(price), "1"] for price in range(100, 50, -1)]
    result, _ = judge(
        tmp_path,
        "bybit-linear",
        [book("snapshot", 7, rows, [["200", "1"]]), book("delta", 8, [["101", "1"]], [])],
    )
    assert result["levels_max"] == 50


def test_crossed_book_is_counted_and_not_live(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "bybit-linear",
        [book("snapshot", 7, [["1", "3"]], [["2", "4"]]), book("delta", 8, [["3", "1"]], [])],
    )
    assert (result["crossed"], result["symbols"]["XUSDT"]["books"], result["ok"]) == (1, 1, False)


def test_binance_by_hand(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "binance-usdm",
        [
            depth(1, 5, 0, [["1.0", "1"]], []),  # u < lastUpdateId: dropped
            depth(6, 12, 5, [["1.1", "2"]], []),  # U <= lastUpdateId <= u: the first applied
            rest(10, [["1.0", "1"]], [["1.3", "1"]]),
            ticker(12, "1.1", "2", "1.3", "1"),
            depth(13, 15, 12, [["1.1", "0"]], [["1.2", "4"]]),
            ticker(15, "1.0", "1", "1.2", "4"),
            ticker(16, "9.0", "1", "9.2", "4"),  # no delta has this id: nothing to compare with
            {"stream": "xusdt@trade", "data": {"e": "trade", "s": "XUSDT", "p": "1.25", "q": "3"}},
        ],
    )
    assert (result["depth_buffered"], result["depth_dropped"], result["depth_applied"]) == (2, 1, 2)
    assert (result["bbo_compared"], result["bbo_equal"]) == (2, 2)
    assert (result["levels_min"], result["levels_max"]) == (1, 2)
    # Snapshot 2 levels, then 1, then 2; the best changes each time, three tickers.
    assert result["ticks"] == {"level": 5, "bbo": 6, "book": 3, "trade": 1}
    assert result["symbols"]["XUSDT"]["books"] == 2
    assert result["symbols"]["XUSDT"]["tick_exponent"] == 2  # the trade's price is the finest
    assert result["ok"]


def test_binance_wrong_ticker_is_found(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "binance-usdm",
        [
            depth(6, 12, 5, [["1.1", "2"]], []),
            rest(10, [["1.0", "1"]], [["1.3", "1"]]),
            ticker(12, "1.1", "3", "1.3", "1"),
        ],
    )
    assert (result["bbo_compared"], result["bbo_equal"], result["ok"]) == (1, 0, False)


def test_binance_gap_waits_for_a_snapshot(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "binance-usdm",
        [
            rest(10, [["1.0", "1"]], [["1.3", "1"]]),
            depth(6, 12, 5, [["1.1", "2"]], []),
            depth(14, 15, 13, [["1.1", "0"]], []),  # pu is not 12
            depth(16, 17, 15, [["1.1", "5"]], []),
            rest(16, [["1.1", "4"]], [["1.3", "1"]]),
        ],
    )
    assert (result["gaps"], result["depth_applied"], result["depth_dropped"]) == (1, 2, 1)
    assert result["symbols"]["XUSDT"]["bids"] == [[11, 5]]


def test_binance_snapshot_ahead_mends_an_interruption(tmp_path: Path) -> None:
    messages: list[dict[str, Any] | str] = [
        rest(10, [["1.0", "1"]], [["1.3", "1"]]),
        depth(6, 12, 5, [["1.1", "2"]], []),
        rest(17, [["1.0", "7"]], [["1.3", "1"]]),
        depth(16, 18, 15, [["1.2", "5"]], []),  # pu is not 12, but the snapshot lies within
    ]
    result, _ = judge(tmp_path, "binance-usdm", messages)
    assert (result["gaps"], result["depth_applied"], result["snapshots"]) == (0, 2, 2)
    assert result["symbols"]["XUSDT"]["bids"] == [[12, 5], [10, 7]]
    messages[2] = rest(14, [["1.0", "7"]], [["1.3", "1"]])  # older than what was lost
    assert judge(tmp_path, "binance-usdm", messages)[0]["gaps"] == 1


def test_binance_snapshot_too_old_is_fetched_again(tmp_path: Path) -> None:
    result, _ = judge(
        tmp_path,
        "binance-usdm",
        [
            rest(10, [["1.0", "1"]], [["1.3", "1"]]),
            depth(12, 15, 11, [["1.1", "2"]], []),
            rest(13, [["1.0", "1"]], [["1.3", "1"]]),
        ],
    )
    assert (result["gaps"], result["depth_buffered"], result["depth_applied"]) == (0, 1, 1)
    assert result["symbols"]["XUSDT"]["books"] == 1


@pytest.mark.parametrize(
    "wrong",
    ["{", "[]", '"text"', '{"topic":"orderbook.50.XUSDT","type":"delta","data":{"s":"XUSDT","u":8}}'],
)
def test_malformed_lines_are_counted(tmp_path: Path, wrong: str) -> None:
    result, _ = judge(tmp_path, "bybit-linear", [book("snapshot", 7, [["1", "3"]], [["2", "4"]]), wrong])
    assert (result["malformed"], result["messages"], result["ok"]) == (1, 2, False)


@pytest.mark.parametrize("size", ["-1", "1e5", "NaN", "", "99999999999999999999"])
def test_impossible_sizes_are_refused(tmp_path: Path, size: str) -> None:
    result, _ = judge(
        tmp_path,
        "bybit-linear",
        [book("snapshot", 7, [["1", "3"]], [["2", "4"]]), book("delta", 8, [["1", size]], [])],
    )
    assert (result["malformed"], result["depth_applied"]) == (1, 0)


def test_cut_off_recordings_are_judged_as_far_as_they_go(tmp_path: Path) -> None:
    content = "\n".join(derived.with_times(derived.bybit(3, 200, symbols=1))).encode()
    plain, packed = tmp_path / "cut.jsonl", tmp_path / "cut.gz"
    plain.write_bytes(content[: len(content) - 30])
    packed.write_bytes(gzip.compress(content, 0)[: len(content) * 2 // 3])
    for path in (plain, packed):
        result = Reference("bybit-linear").run(path)
        assert result["truncated"]
        assert result["malformed"] == 0
        assert 0 < result["messages"] < 200
        assert not result["ok"]


def test_derived_recordings_are_right_by_construction(tmp_path: Path) -> None:
    plain = derived.save(derived.bybit(11, 300), tmp_path / "a.jsonl")
    timed = derived.save(derived.with_times(derived.bybit(11, 300)), tmp_path / "b.gz")
    first, second = Reference("bybit-linear").run(plain), Reference("bybit-linear").run(timed)
    assert first["symbols"] == second["symbols"]
    assert first["ok"]
    assert len(first["symbols"]) == 3
    result = Reference("binance-usdm").run(derived.save(derived.binance(12, 300), tmp_path / "c.jsonl"))
    assert result["ok"]
    assert result["bbo_compared"] > 20


def test_published_binance_recording(binance_recording: Path) -> None:
    result = Reference("binance-usdm").run(binance_recording)
    assert (result["bbo_compared"], result["bbo_equal"], result["gaps"], result["crossed"]) == (
        629,
        629,
        0,
        0,
    )
    assert result["levels_max"] == 5170
    assert result["ok"]


def test_published_bybit_recording(bybit_recording: Path) -> None:
    result = Reference("bybit-linear").run(bybit_recording)
    assert (result["messages"], result["levels_min"], result["levels_max"]) == (50, 500, 500)
    assert (result["gaps"], result["crossed"], result["ok"]) == (0, 0, True)


def test_script(tmp_path: Path) -> None:
    path = derived.save(derived.bybit(5, 60, symbols=1), tmp_path / "r.jsonl")
    hashes = tmp_path / "hashes"
    script = [
        sys.executable,
        str(Path(reference_book.__file__)),
        "--venue",
        "bybit-linear",
        str(path),
        "--json",
    ]
    run = subprocess.run(
        [*script, "--hashes", str(hashes)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert len(hashes.read_text().splitlines()) == result["symbols"]["C0USDT"]["books"]
    path.write_text(path.read_text() + "{\n")
    assert subprocess.run(script, capture_output=True, check=False).returncode == 1
