"""Recordings of all that venues send beside books and trades: feed handler and simulator see one market in them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quietcore.cli.main import main

TIME = 1_700_000_000_000
NAME = "币安人生USDT"


class Levels:
    """Levels that come and go, so that the best price moves."""

    def __init__(self) -> None:
        self._there: set[str] = set()

    def toggled(self, price: str) -> list[list[str]]:
        """Return the change that puts a level there or takes it away."""
        self._there ^= {price}
        return [[price, "2" if price in self._there else "0"]]


def save(path: Path, messages: list[Any]) -> Path:
    """Write them 10 ms apart, every second one with its names escaped."""
    with path.open("w", encoding="utf-8") as file:
        for number, message in enumerate(messages):
            text = json.dumps(message, ensure_ascii=number % 2 == 0)
            file.write(f"{(TIME + 10 * number) * 1_000_000} {text}\n")
    return path


def binance(bare: bool) -> list[Any]:
    """Return messages of Binance USD-M: 9 trades of the market among 11, books of a symbol that is not ASCII."""

    def stream(name: str, event: dict[str, Any], symbol: str = NAME) -> Any:
        return event if bare else {"stream": f"{symbol.lower()}@{name}", "data": event}

    def depth(last: int, previous: int, bids: Any, asks: Any) -> dict[str, Any]:
        times = {"E": TIME + last, "T": TIME + last}
        return {
            "e": "depthUpdate",
            **times,
            "s": NAME,
            "U": previous + 1,
            "u": last,
            "pu": previous,
            "b": bids,
            "a": asks,
        }

    def trade(number: int, price: str, size: str, **more: str) -> dict[str, Any]:
        return {
            "e": "trade",
            "E": TIME,
            "T": TIME,
            "s": NAME,
            "t": number,
            "p": price,
            "q": size,
            "m": True,
            **more,
        }

    rows: list[Any] = [
        {"stream": "!markPrice@arr@1s", "data": [{"e": "markPriceUpdate", "s": NAME, "p": "1"}]},
        [{"e": "markPriceUpdate"}],
        {
            "lastUpdateId": 10,
            "E": TIME,
            "T": TIME,
            "bids": [["99.5", "1"]],
            "asks": [["101.9", "2"], ["102", "7"]],
        },
        stream("depth", depth(12, 9, [["99.6", "1"]], [])),
        stream("trade", trade(1, "100", "1", X="MARKET")),
        stream("trade", trade(2, "0", "0", X="NA")),
        stream("trade", trade(3, "100", "3", X="ADL")),
        stream("trade", trade(4, "100.5", "1")),
    ]
    if not bare:
        rows += [
            stream("depth20@100ms", depth(500, 400, [["1", "1"]], [])),
            stream("rpiDepth@500ms", depth(600, 500, [], [])),
        ]
    levels = Levels()
    for last in range(13, 400):
        bids, asks = levels.toggled(f"99.{last % 90 // 10}8"), levels.toggled(f"101.{last % 70 // 10}")
        rows.append(stream("depth@100ms", depth(last, last - 1, bids, asks)))
        if last % 50 == 0:
            rows.append(stream("trade", trade(last, "100", "2")))
    return rows


def bybit() -> list[Any]:
    """Return messages of Bybit: 4 trades on the book, 2 beside it, and topics that nobody asked for."""

    def book(last: int, kind: str, bids: Any, asks: Any) -> Any:
        data = {"s": "XRPUSDT", "b": bids, "a": asks, "u": last, "seq": last}
        return {"topic": "orderbook.50.XRPUSDT", "type": kind, "ts": TIME + last, "data": data, "cts": TIME}

    rows: list[Any] = [
        {"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x"},
        {
            "topic": "orderbook.rpi.XRPUSDT",
            "type": "snapshot",
            "ts": TIME,
            "data": {"s": "XRPUSDT", "b": [["1", "1", "2"]]},
        },
        book(100, "snapshot", [["99.5", "1"]], [["101.9", "2"], ["102", "7"]]),
        {"topic": "priceLimit.XRPUSDT", "ts": TIME, "data": {"symbol": "XRPUSDT", "buyLmt": "1"}},
    ]
    levels = Levels()
    for last in range(101, 400):
        bids, asks = levels.toggled(f"99.{last % 90 // 10}8"), levels.toggled(f"101.{last % 70 // 10}")
        rows.append(book(last, "delta", bids, asks))
        if last % 100 == 0:
            one = {
                "T": TIME,
                "s": "XRPUSDT",
                "S": "Sell",
                "v": "2",
                "p": "100",
                "L": "PlusTick",
                "i": f"id-{last}",
            }
            rows.append(
                {
                    "topic": "publicTrade.XRPUSDT",
                    "type": "snapshot",
                    "ts": TIME + last,
                    "data": [
                        {**one, "BT": False},
                        {**one, "i": f"other-{last}", "BT": False},
                        {**one, "i": f"b-{last}", "BT": True},
                    ],
                }
            )
    return rows


@pytest.mark.parametrize(
    ("venue", "messages", "trades", "left_out", "symbol"),
    [
        ("binance-usdm", binance(bare=False), 9, 2, NAME),
        ("binance-usdm", binance(bare=True), 9, 2, NAME),
        ("bybit-linear", bybit(), 4, 2, "XRPUSDT"),
    ],
    ids=["binance", "binance-bare", "bybit"],
)
def test_both_see_the_same_market(
    feed_handler: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    venue: str,
    messages: list[Any],
    trades: int,
    left_out: int,
    symbol: str,
) -> None:
    path = save(tmp_path / "recording", messages)
    done = subprocess.run(
        [feed_handler, "verify", "--venue", venue, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["gaps"], seen["crossed"], seen["malformed"]) == (0, 0, 0)
    assert seen["trades_left_out"] == left_out
    assert list(seen["symbols"]) == [symbol]
    words = ["backtest", "--recording", str(path), "--price-band", "0.3", "--json"]
    assert main([*words, "--parameter", "fast=2", "--parameter", "slow=5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["symbol"] == symbol
    # At the end of a replay the book is marked as no longer followed: one tick more.
    assert found["ticks"] == sum(seen["ticks"].values()) + 1
    assert found["signals"] > 0
    assert seen["ticks"]["trade"] == trades
