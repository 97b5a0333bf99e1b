"""`quietcore-feed verify` on the published recordings, and on copies that are no longer true."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.native.conftest import Run


def verify(run: Run, venue: str, path: Path, *more: object) -> tuple[int, dict[str, Any], str]:
    done = run("verify", "--venue", venue, path, *more)
    assert done.stdout.count("\n") == 1, "one JSON object on one line"
    return done.returncode, json.loads(done.stdout), done.stderr


def test_binance_recording_holds(run: Run, binance_recording: Path) -> None:
    code, result, errors = verify(run, "binance-usdm", binance_recording)
    assert (code, errors) == (0, "")
    expected = {
        "venue": "binance-usdm",
        "messages": 93_954,
        "depth_applied": 6_547,
        "depth_dropped": 4,
        "snapshots": 1,
        "gaps": 0,
        "crossed": 0,
        "bbo_compared": 629,
        "bbo_equal": 629,
        "trades": 21_313,
        "tickers": 66_089,
        "malformed": 0,
        "truncated": False,
        "problems": [],
        "ok": True,
    }
    assert {key: result[key] for key in expected} == expected
    assert result["levels_max"] >= 5_170
    assert result["ticks"]["trade"] == 21_313
    assert result["ticks"]["book"] == result["depth_applied"] + result["snapshots"]
    book = result["symbols"]["BTCUSDT"]
    assert book["books"] == 6_547
    assert (book["tick_mantissa"], book["tick_exponent"], book["lot_exponent"]) == (1, 1, 3)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"][0][0] < book["asks"][0][0]


def test_bybit_recording_holds(run: Run, bybit_recording: Path, tmp_path: Path) -> None:
    hashes = tmp_path / "hashes"
    code, result, errors = verify(run, "bybit-linear", bybit_recording, "--hashes", hashes)
    assert (code, errors) == (0, "")
    assert (result["messages"], result["depth_applied"], result["snapshots"]) == (50, 49, 1)
    assert (result["levels_min"], result["levels_max"]) == (500, 500)
    assert (result["gaps"], result["crossed"], result["absent_deletes"], result["window_overflow"]) == (
        0,
        0,
        0,
        0,
    )
    rows = [line.split() for line in hashes.read_text().splitlines()]
    assert len(rows) == 50
    assert [int(row[1]) for row in rows] == list(range(int(rows[0][1]), int(rows[0][1]) + 50))
    assert all(row[0] == "XRPUSDT" and len(row[2]) == 16 for row in rows)


def test_a_gzip_copy_with_receive_times_gives_the_same(
    run: Run, bybit_recording: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gz"
    lines = bybit_recording.read_text().splitlines()
    timed = [f"{1_733_011_200_000_000_000 + n} {line}\n" for n, line in enumerate(lines)]
    copy.write_bytes(gzip.compress("".join(timed).encode()))
    plain = verify(run, "bybit-linear", bybit_recording)[1]
    again = verify(run, "bybit-linear", copy)[1]
    del plain["file"], again["file"]
    assert plain == again


def doctored(recording: Path, target: Path, change: Any) -> Path:
    """Write a copy of a recording with its parsed lines changed."""
    opened = gzip.open if recording.suffix == ".gz" else open
    with opened(recording, "rt") as lines:
        rows = [line.rstrip("\n") for line in lines]
    target.write_text("".join(row + "\n" for row in change(rows)))
    return target


def test_a_dropped_delta_is_found(
    run: Run, binance_recording: Path, bybit_recording: Path, tmp_path: Path
) -> None:
    def without_one(rows: list[str]) -> list[str]:
        deltas = [n for n, row in enumerate(rows) if "depthUpdate" in row or '"delta"' in row]
        del rows[deltas[len(deltas) // 2]]
        return rows

    for venue, recording in (("binance-usdm", binance_recording), ("bybit-linear", bybit_recording)):
        code, result, errors = verify(run, venue, doctored(recording, tmp_path / venue, without_one))
        assert code == 1
        assert result["gaps"] == 1
        assert result["ok"] is False
        assert "1 gaps" in result["problems"]
        assert f"{tmp_path / venue}:" in errors, "the line of the gap is named"


def test_a_swapped_price_is_found(run: Run, bybit_recording: Path, tmp_path: Path) -> None:
    def swapped(rows: list[str]) -> list[str]:
        message = json.loads(rows[20])
        bids, asks = message["data"]["b"], message["data"]["a"]
        bids[0][0], asks[-1][0] = asks[-1][0], bids[0][0]
        rows[20] = json.dumps(message)
        return rows

    code, result, _ = verify(run, "bybit-linear", doctored(bybit_recording, tmp_path / "swapped", swapped))
    assert code == 1
    assert result["crossed"] == 1


def test_a_wrong_level_is_found_by_the_venues_own_quote(
    run: Run, binance_recording: Path, tmp_path: Path
) -> None:
    """Not crossed, no gap: only the comparison with bookTicker can tell."""

    def wrong(rows: list[str]) -> list[str]:
        quotes = {}
        for row in rows:
            if "@bookTicker" in row:
                data = json.loads(row[row.index("{") :])["data"]
                quotes[data["u"]] = data
        for n in range(len(rows) // 2, len(rows)):
            if "depthUpdate" not in rows[n]:
                continue
            message = json.loads(rows[n][rows[n].index("{") :])
            quote = quotes.get(message["data"]["u"])
            for level in message["data"]["b"]:
                if quote and level[0] == quote["b"] and float(level[1]) > 0:
                    level[1] = "77777.777"
                    rows[n] = json.dumps(message)
                    return rows
        raise AssertionError("no delta that carries a best bid")

    code, result, _ = verify(run, "binance-usdm", doctored(binance_recording, tmp_path / "wrong", wrong))
    assert code == 1
    assert (result["gaps"], result["crossed"]) == (0, 0)
    assert result["bbo_equal"] < result["bbo_compared"]


def test_a_recording_without_its_snapshot_is_found(run: Run, binance_recording: Path, tmp_path: Path) -> None:
    def without(rows: list[str]) -> list[str]:
        return [row for row in rows if "lastUpdateId" not in row]

    code, result, _ = verify(run, "binance-usdm", doctored(binance_recording, tmp_path / "without", without))
    assert code == 1
    assert result["depth_applied"] == 0
    assert result["problems"] == ["the book of BTCUSDT never became live"]


def test_cut_recordings_are_judged_up_to_the_cut(
    run: Run, binance_recording: Path, bybit_recording: Path, tmp_path: Path
) -> None:
    line = tmp_path / "line"
    line.write_bytes(bybit_recording.read_bytes()[:-3_000])
    code, result, errors = verify(run, "bybit-linear", line)
    assert (code, result["truncated"], result["malformed"]) == (1, True, 0)
    assert result["messages"] < 50
    assert result["gaps"] == 0
    assert errors.count("\n") == 1
    assert f"{line}:{result['messages'] + 1}" in errors

    packed = tmp_path / "packed.gz"
    packed.write_bytes(binance_recording.read_bytes()[:1_000_000])
    code, result, errors = verify(run, "binance-usdm", packed)
    assert (code, result["truncated"], result["gaps"]) == (1, True, 0)
    assert result["bbo_equal"] == result["bbo_compared"] > 0
    assert errors.count("\n") == 1
    assert "found data that stop before their end" in errors


def test_damage_in_the_middle_is_found(run: Run, bybit_recording: Path, tmp_path: Path) -> None:
    for name, damaged in (
        ("not JSON", "nonsense"),
        ("cut in its middle", None),
        ("a size that overflows", "size"),
    ):

        def damage(rows: list[str], how: str | None = damaged) -> list[str]:
            if how is None:
                rows[30] = rows[30][: len(rows[30]) // 2]
            elif how == "size":
                message = json.loads(rows[30])
                message["data"]["b"][0][1] = "9" * 40
                rows[30] = json.dumps(message)
            else:
                rows[30] = how
            return rows

        path = doctored(bybit_recording, tmp_path / "damaged", damage)
        code, result, errors = verify(run, "bybit-linear", path)
        assert code == 1, name
        assert result["malformed"] + result["out_of_range"] == 1, name
        assert result["gaps"] == 1, f"{name}: what is missing shows at the next message"
        assert f"{path}:31" in errors, name
