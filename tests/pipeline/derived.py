"""Seeded recordings of what the published ones lack: several symbols, snapshots in mid-stream, restarts.

Each function returns the recording's lines, without receive times; `with_times` puts those before them. The
books behind the deltas are plain dictionaries of ticks, so a recording is right by construction.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_MS = 1_700_000_000_000


def compact(message: dict[str, Any]) -> str:
    """Return JSON without spaces, as venues send it."""
    return json.dumps(message, separators=(",", ":"))


def text(value: int, decimals: int, *, pad: bool = True) -> str:
    """Write `value` steps of 10**-decimals as venues do; without `pad` trailing zeros are left out."""
    if not decimals:
        return str(value)
    written = f"{value // 10**decimals}.{value % 10**decimals:0{decimals}d}"
    return written if pad else written.rstrip("0").rstrip(".")


@dataclass
class Walk:
    """A book that walks: integer ticks and lots, bids below `mid`, asks above, `depth` levels a side."""

    name: str
    random: random.Random
    depth: int
    price_decimals: int
    size_decimals: int
    mid: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refill()

    def refill(self) -> None:
        """Bring both sides to `depth` levels and cut what is beyond; sizes of new levels are random."""
        for side, step in ((self.bids, -1), (self.asks, 1)):
            price = self.mid + step
            while len(side) < self.depth:
                if price not in side and self.random.random() < 0.7:
                    side[price] = self.random.randint(1, 90_000)
                price += step
            for worst in sorted(side, key=lambda price: -step * price)[: len(side) - self.depth]:
                del side[worst]

    def step(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Change the book; return (bids, asks) changes, size 0 for a level that is gone."""
        old = (dict(self.bids), dict(self.asks))
        self.mid += self.random.choice((-2, -1, 0, 0, 0, 0, 1, 2))
        for price in [price for price in self.bids if price >= self.mid]:
            del self.bids[price]
        for price in [price for price in self.asks if price <= self.mid]:
            del self.asks[price]
        for side in (self.bids, self.asks):
            prices = sorted(side)
            for price in self.random.sample(prices, min(len(prices), self.random.randint(0, 6))):
                if self.random.random() < 0.3:
                    del side[price]
                else:
                    side[price] = self.random.randint(1, 90_000)
        self.refill()
        changes = []
        for before, after in zip(old, (self.bids, self.asks), strict=True):
            gone = [(price, 0) for price in before if price not in after]
            changes.append(
                gone + [(price, size) for price, size in after.items() if before.get(price) != size]
            )
        return changes[0], changes[1]

    def write(self, levels: Iterable[tuple[int, int]], *, pad: bool = True) -> list[list[str]]:
        """Write levels as the venue's pairs of strings."""
        return [
            [
                text(price, self.price_decimals, pad=pad),
                text(size, self.size_decimals, pad=pad) if size else "0",
            ]
            for price, size in levels
        ]

    def best(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return best bid and best ask."""
        bid, ask = max(self.bids), min(self.asks)
        return (bid, self.bids[bid]), (ask, self.asks[ask])


def bybit(
    seed: int,
    messages: int = 400,
    *,
    symbols: int = 3,
    depth: int = 50,
    snapshot_every: int = 0,
    restart_at: int = 0,
    early_deltas: int = 0,
    trades: bool = True,
) -> list[str]:
    """Write a Bybit v5 linear recording.

    `snapshot_every`: each so many messages of a symbol a snapshot comes in mid-stream (at depth 1 all are).
    `restart_at`: that message of each symbol restarts the service, a snapshot with ``u`` 1. `early_deltas`:
    so many deltas come before the first snapshot.
    """
    rng = random.Random(seed)
    walks = [
        Walk(f"C{number}USDT", rng, depth, 1 + number % 4, number % 3, 20_000 + 7_000 * number)
        for number in range(symbols)
    ]
    update = {walk.name: 1000 * (number + 1) for number, walk in enumerate(walks)}
    written = dict.fromkeys(update, 0)
    lines: list[str] = []
    sequence, now = 5_000, START_MS
    while len(lines) < messages:
        walk = rng.choice(walks)
        now += rng.randint(1, 30)
        if trades and rng.random() < 0.2 and written[walk.name]:
            (bid, _), (ask, _) = walk.best()
            fills = [
                {
                    **{
                        "T": now,
                        "s": walk.name,
                        "S": side,
                        "v": text(rng.randint(1, 999), walk.size_decimals),
                    },
                    **{"p": text(bid if side == "Sell" else ask, walk.price_decimals), "L": "PlusTick"},
                    **{"i": f"{rng.getrandbits(64):016x}", "BT": False},
                }
                for side in rng.choices(("Buy", "Sell"), k=rng.randint(1, 4))
            ]
            topic = f"publicTrade.{walk.name}"
            lines.append(compact({"topic": topic, "type": "snapshot", "ts": now, "data": fills}))
            continue
        bids, asks = walk.step()
        count, sequence = written[walk.name], sequence + rng.randint(1, 9)
        written[walk.name] += 1
        update[walk.name] += 1
        full = (
            depth == 1
            or count == early_deltas
            or (snapshot_every and count > early_deltas and count % snapshot_every == 0)
        )
        if restart_at and count == restart_at:
            update[walk.name], full = 1, True
        if full:
            bids, asks = sorted(walk.bids.items(), reverse=True), sorted(walk.asks.items())
        head = {"topic": f"orderbook.{depth}.{walk.name}", "type": "snapshot" if full else "delta", "ts": now}
        pad = bool(rng.getrandbits(1))  # a size of 1.50 may come as 1.5: the same book
        data = {
            **{"s": walk.name, "b": walk.write(bids, pad=pad), "a": walk.write(asks, pad=pad)},
            **{"u": update[walk.name], "seq": sequence},
        }
        lines.append(compact({**head, "data": data, "cts": now - 2}))
    return lines


def binance(
    seed: int,
    messages: int = 400,
    *,
    levels: int = 200,
    snapshot_at: int = 12,
    again_at: int = 0,
    gap_at: int = 0,
    symbol: str = "ETHUSDT",
    middle: int = 250_000,
) -> list[str]:
    """Write a Binance USD-M recording of one symbol: diffs without a window, tickers, trades, a snapshot.

    `snapshot_at`: the snapshot's line; it tells a state a few deltas older. `again_at`: a second one's line.
    `gap_at`: the delta of about that line is lost, so that the book must wait for a snapshot.
    """
    rng = random.Random(seed)
    walk = Walk(symbol, rng, levels, 2, 3, middle)
    lines: list[str] = []
    update, previous, now, trade = 7_000_000, 6_999_990, START_MS, 100
    past: list[tuple[int, dict[str, int], dict[int, int], dict[int, int]]] = []
    while len(lines) < messages:
        now += rng.randint(1, 40)
        if past and len(lines) in (snapshot_at, again_at or -1):
            told, stamp, bids_then, asks_then = past[max(0, len(past) - 4)]
            full = {"bids": walk.write(sorted(bids_then.items(), reverse=True)[:1000])}
            full |= {"asks": walk.write(sorted(asks_then.items())[:1000])}
            lines.append(compact({"lastUpdateId": told, **stamp, **full}))
            continue
        kind = rng.random()
        (bid, bid_size), (ask, ask_size) = walk.best()
        time = {"T": now - 1, "E": now}
        if kind < 0.3 and past:
            quote = walk.write([(bid, bid_size), (ask, ask_size)])
            data = {"e": "bookTicker", "u": previous, "s": walk.name, "b": quote[0][0], "B": quote[0][1]}
            data |= {"a": quote[1][0], "A": quote[1][1], **time}
            lines.append(compact({"stream": f"{symbol.lower()}@bookTicker", "data": data}))
        elif kind < 0.45 and past:
            trade += 1
            data = {
                "e": "trade",
                **time,
                "s": walk.name,
                "t": trade,
                "p": text(bid, 2),
                "q": text(7 + trade, 3),
            }
            lines.append(
                compact({"stream": f"{symbol.lower()}@trade", "data": {**data, "X": "MARKET", "m": True}})
            )
        else:
            bids, asks = walk.step()
            first, update = update + rng.randint(1, 40), update + rng.randint(50, 200)
            data = {"e": "depthUpdate", **time, "s": walk.name, "U": first, "u": update, "pu": previous}
            data |= {"b": walk.write(bids), "a": walk.write(asks)}
            previous = update
            past = [*past[-8:], (update, time, dict(walk.bids), dict(walk.asks))]
            if gap_at and len(lines) >= gap_at:
                gap_at = 0  # lost on the way
                continue
            lines.append(compact({"stream": f"{symbol.lower()}@depth@0ms", "data": data}))
    return lines


def interleaved(recordings: list[list[str]], seed: int = 1) -> list[str]:
    """Mix recordings of one venue into one; each keeps its order."""
    rng, left, mixed = random.Random(seed), [iter(lines) for lines in recordings], []
    while left:
        lines = rng.choice(left)
        try:
            mixed.append(next(lines))
        except StopIteration:
            left.remove(lines)
    return mixed


def several_binance(seed: int, messages: int = 400, **options: Any) -> list[str]:
    """Write a Binance USD-M recording of three symbols, whose REST snapshots do not say whose they are."""
    markets = (("ETHUSDT", 250_000), ("BTCUSDT", 6_100_000), ("SOLUSDT", 15_000))
    return interleaved(
        [
            binance(seed + number, messages // 3, symbol=symbol, middle=middle, **options)
            for number, (symbol, middle) in enumerate(markets)
        ],
        seed,
    )


def with_times(lines: list[str], seed: int = 1) -> list[str]:
    """Put a rising receive time in ns and a space before each line."""
    rng, now, timed = random.Random(seed), START_MS * 1_000_000, []
    for line in lines:
        now += rng.randint(1_000, 40_000_000)
        timed.append(f"{now} {line}")
    return timed


def save(lines: list[str], path: Path) -> Path:
    """Write lines to `path`, packed where its name ends in .gz."""
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
