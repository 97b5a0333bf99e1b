"""Messages as the venues send them, with what a test wants in them."""

from __future__ import annotations

import time
from typing import Any


def bybit(
    u: int,
    kind: str = "delta",
    symbol: str = "BTCUSDT",
    seq: int | None = None,
    depth: int = 50,
    **sides: list[list[str]],
) -> dict[str, Any]:
    """An orderbook message; seq is u unless given."""
    now = time.time_ns() // 1_000_000
    number = u if seq is None else seq
    data = {"s": symbol, "b": sides.get("b", []), "a": sides.get("a", []), "u": u, "seq": number}
    return {"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": now, "data": data, "cts": now}


def bybit_snapshot(u: int, symbol: str = "BTCUSDT", seq: int | None = None) -> dict[str, Any]:
    """Bids 100.0 and 99.9, ask 100.1."""
    return bybit(u, "snapshot", symbol, seq, b=[["100.0", "1"], ["99.9", "2"]], a=[["100.1", "3"]])


def bybit_trade(key: str, symbol: str = "BTCUSDT") -> dict[str, Any]:
    """One trade with the id `key`."""
    trade = {"T": 1, "s": symbol, "S": "Buy", "v": "0.001", "p": "100.1", "i": key, "BT": False}
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": 1, "data": [trade]}


def binance(
    first: int, last: int, previous: int | None, stream: str = "depth@0ms", **sides: list[list[str]]
) -> dict[str, Any]:
    """A depthUpdate; without `previous` it is one of spot."""
    data: dict[str, Any] = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last}
    if previous is not None:
        data |= {"T": 1, "pu": previous}
    data |= {"b": sides.get("b", []), "a": sides.get("a", [])}
    return {"stream": f"btcusdt@{stream}", "data": data}


def binance_snapshot(last: int) -> dict[str, Any]:
    """Bid 100.0, ask 100.1."""
    return {"lastUpdateId": last, "bids": [["100.0", "1"]], "asks": [["100.1", "3"]]}
