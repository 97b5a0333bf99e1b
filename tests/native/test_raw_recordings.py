"""Recordings as people make them: raw streams without a wrapper, spot, other streams in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.native.conftest import Run
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot
from tests.native.ring_file import RingFile

from quietcore.bridge import layout


def write(path: Path, *messages: object) -> Path:
    """One message a line, the first with a receive time."""
    lines = [
        message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        for message in messages
    ]
    path.write_text("1723161255319702566 " + "\n".join(lines) + "\n")
    return path


def verified(run: Run, venue: str, path: Path) -> dict[str, Any]:
    """Return what `verify` says, all of which holds."""
    done = run("verify", "--venue", venue, path)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def trade(kind: str | None, price: str = "100.0", size: str = "1") -> dict[str, Any]:
    """A trade; of futures with a kind."""
    data = {"e": "trade", "E": 2, "T": 2, "s": "BTCUSDT", "t": 7, "p": price, "q": size, "m": True}
    return data | ({} if kind is None else {"X": kind})


OTHERS: list[object] = [
    {"stream": "!markPrice@arr@1s", "data": [{"e": "markPriceUpdate", "s": "BTCUSDT", "p": "100.0"}]},
    [{"e": "24hrMiniTicker", "s": "BTCUSDT"}],
    {"stream": "btcusdt@depth20@100ms", "data": binance(500, 600, 400, b=[["99.9", "77"]])["data"]},
    {"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade", "s": "BTCUSDT", "p": "1", "q": "1", "a": 1}},
]


@pytest.mark.parametrize("spot", [False, True], ids=["futures", "spot"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["raw", "wrapped"])
def test_binance(run: Run, feed: str, tmp_path: Path, spot: bool, wrapped: bool) -> None:
    venue = "binance-spot" if spot else "binance-usdm"

    def stream(name: str, data: Any) -> Any:
        return {"stream": f"btcusdt@{name}", "data": data} if wrapped else data

    def delta(first: int, last: int, previous: int, bids: list[list[str]]) -> Any:
        return stream("depth", binance(first, last, None if spot else previous, b=bids)["data"])

    quote = {"u": 120, "s": "BTCUSDT", "b": "100.0", "B": "1", "a": "100.1", "A": "3"}
    path = write(
        tmp_path / "recording",
        binance_snapshot(100),
        delta(100, 110, 99, [["99.9", "5"]]),
        *OTHERS,
        stream("trade", trade(None if spot else "MARKET")),
        *([] if spot else [stream("trade", trade("NA", "0", "0")), stream("trade", trade("INSURANCE_FUND"))]),
        delta(111, 120, 110, []),
        stream("bookTicker", quote if spot else {"e": "bookTicker", **quote}),
    )
    result = verified(run, venue, path)
    assert (result["depth_applied"], result["trades"], result["tickers"]) == (2, 1, 1)
    assert (result["ignored"], result["trades_left_out"]) == (len(OTHERS), 0 if spot else 2)
    assert (result["bbo_compared"], result["bbo_equal"]) == (1, 1)
    done = run("replay", "--feed", feed, "--venue", venue, "--speed", "max", path)
    assert (done.returncode, done.stderr) == (0, "")
    ticks = RingFile(feed).ticks()
    trades = ticks[ticks["kind"] == layout.KIND_TRADE]
    assert [(int(tick["a"]), int(tick["b"])) for tick in trades] == [(1000, 1)]


def test_spot_taken_for_futures_is_told_so(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "recording", binance_snapshot(100), binance(100, 110, None)["data"], trade(None))
    done = run("verify", "--venue", "binance-usdm", path)
    assert done.returncode == 1
    assert "venue binance-spot" in done.stderr


def test_bybit_with_another_book_and_a_name_that_is_not_ascii(run: Run, feed: str, tmp_path: Path) -> None:
    symbol = "币安人生USDT"
    other = bybit(11, symbol=symbol, b=[["99.9", "1", "7"]])
    other["topic"] = f"orderbook.rpi.{symbol}"
    path = write(
        tmp_path / "recording",
        bybit_snapshot(10, symbol),
        other,
        {"topic": f"kline.1.{symbol}", "data": [{"start": 1}]},
        bybit(11, symbol=symbol, b=[["99.9", "5"]]),
    )
    result = verified(run, "bybit-linear", path)
    assert list(result["symbols"]) == [symbol]
    assert (result["ignored"], result["depth_applied"]) == (2, 1)
    assert run("replay", "--feed", feed, "--venue", "bybit-linear", "--speed", "max", path).returncode == 0
    ring = RingFile(feed)
    at = ring.number("directory_offset")
    assert bytes(ring.bytes[at : at + 32]).rstrip(b"\0").decode() == symbol
    assert ring.ladder() == ([[1000, 1], [999, 5]], [[1001, 3]])
