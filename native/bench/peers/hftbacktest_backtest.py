"""hftbacktest: a strategy compiled by numba over events in memory, a book by hash map, queues that trades shrink."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_BBO_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)
from numba import njit

from serve_backtests import FAST, LOT, SIZE, SLOW, TICK, Outcome, messages, serve

BOTH = EXCH_EVENT | LOCAL_EVENT
END = 1


def events(path: Path) -> tuple[int, Any]:
    """Return how many messages a recording has, and its events: each level, quote and trade is one."""
    rows: list[tuple[int, int, int, float, float, int, int, float]] = []
    count = 0

    def add(kind: int, at: int, price: str, size: str) -> None:
        rows.append((kind | BOTH, at, at, float(price), float(size), 0, 0, 0.0))

    for at, data in messages(path):
        count += 1
        kind = data.get("e")
        if kind == "trade":
            add(TRADE_EVENT | (SELL_EVENT if data["m"] else BUY_EVENT), at, data["p"], data["q"])
        elif kind == "bookTicker":
            add(DEPTH_BBO_EVENT | BUY_EVENT, at, data["b"], data["B"])
            add(DEPTH_BBO_EVENT | SELL_EVENT, at, data["a"], data["A"])
        else:
            depth = DEPTH_EVENT if kind == "depthUpdate" else DEPTH_SNAPSHOT_EVENT
            for side, levels in ((BUY_EVENT, ("b", "bids")), (SELL_EVENT, ("a", "asks"))):
                for price, size in data.get(levels[0]) or data.get(levels[1]) or ():
                    add(depth | side, at, price, size)
    return count, np.array(rows, dtype=event_dtype)


@njit
def play(hbt: Any, fast_alpha: float, slow_alpha: float, warm_up: int, size: float) -> int:
    """Run to the end of the data; return the number of crossings."""
    fast = slow = bid = ask = bid_size = ask_size = 0.0
    samples = above = signals = 0
    while hbt.wait_next_feed(False, 1_000_000_000_000) != END:
        depth = hbt.depth(0)
        sizes = depth.best_bid_qty, depth.best_ask_qty
        if depth.best_bid == bid and depth.best_ask == ask and sizes == (bid_size, ask_size):
            continue
        bid, ask = depth.best_bid, depth.best_ask
        bid_size, ask_size = sizes
        if not (bid > 0.0 and ask > bid):
            continue
        mid = 0.5 * (bid + ask)
        if samples == 0:
            fast = slow = mid
        fast += fast_alpha * (mid - fast)
        slow += slow_alpha * (mid - slow)
        samples += 1
        if samples < warm_up or fast == slow:
            continue
        now = 1 if fast > slow else -1
        before, above = above, now
        if before in (0, now):
            continue
        signals += 1
        hbt.clear_inactive_orders(0)
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.cancellable:
                hbt.cancel(0, order.order_id, False)
        if now == 1:
            hbt.submit_buy_order(0, signals, ask, size, GTC, LIMIT, False)
        else:
            hbt.submit_sell_order(0, signals, bid, size, GTC, LIMIT, False)
    return signals


def run(path: Path) -> Outcome:
    """The conversion to hftbacktest's format is not counted."""
    count, rows = events(path)
    asset = (
        BacktestAsset()
        .data(rows)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(TICK)
        .lot_size(LOT)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    begin = time.perf_counter()
    signals = play(hbt, 2 / (FAST + 1), 2 / (SLOW + 1), SLOW, float(SIZE))
    seconds = time.perf_counter() - begin
    fills = int(hbt.state_values(0).num_trades)
    hbt.close()
    return Outcome(count, seconds, int(signals), fills)


if __name__ == "__main__":
    serve("hftbacktest", run)
