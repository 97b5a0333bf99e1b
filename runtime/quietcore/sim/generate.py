"""A generated session: seeded random-walk books with true deltas, and trades, as Bybit v5 frames.

The same seed gives the same bytes, whatever the pace: times inside come from a clock of the session's own and
are restamped when the frames are sent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from quietcore.sim.frames import Frame, Kind
from quietcore.sim.frames.bybit import BybitFrames
from quietcore.sim.instruments import Instrument

START_MS = 1_750_000_000_000
PUSH_MS = {1: 10, 50: 20, 200: 100, 500: 100, 1000: 200}  # how often the venue pushes a depth
# name, tick decimals, lot decimals, first price in ticks
MARKETS = (
    ("BTCUSDT", 1, 3, 650_000),
    ("ETHUSDT", 2, 2, 250_000),
    ("SOLUSDT", 2, 1, 15_000),
    ("XRPUSDT", 4, 0, 21_000),
    ("DOGEUSDT", 5, 0, 16_000),
    ("BNBUSDT", 1, 2, 6_000),
    ("ADAUSDT", 4, 0, 6_000),
    ("LINKUSDT", 3, 1, 14_000),
)


def instruments(count: int) -> dict[str, Instrument]:
    """Return the first `count` symbols: known names first, then numbered ones."""
    listed = {}
    for number in range(count):
        name, price, size, _ = _market(number)
        listed[name] = Instrument(name, price, size)
    return listed


def _market(number: int) -> tuple[str, int, int, int]:
    return MARKETS[number] if number < len(MARKETS) else (f"QC{number:04d}USDT", 3, 1, 9_000 + 37 * number)


def _text(value: int, decimals: int) -> str:
    if not decimals:
        return str(value)
    return f"{value // 10**decimals}.{value % 10**decimals:0{decimals}d}"


@dataclass
class Market:
    """One symbol's book in ticks and lots: `depth` levels a side, the venue's window."""

    name: str
    price_decimals: int
    lot_decimals: int
    middle: int
    depth: int
    rng: random.Random
    trend: int = 0
    swing: int = 0  # steps left of the present swing
    update_id: int = 1_000_000
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def step(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Move the book once; return changed (price, lots) of bids and asks, 0 lots for one that is gone."""
        rng = self.rng
        if not self.swing:
            # Swings of one to three seconds, up and down in turn: averages cross, there is something to see.
            self.swing, self.trend = rng.randint(60, 160), -self.trend or rng.choice((-1, 1))
        self.swing -= 1
        if rng.random() < 0.35:
            self.middle = max(self.depth * 4, self.middle + rng.choice((-2, -1, 1, 2)) + self.trend)
        half = 1 if rng.random() < 0.9 else 2
        return (
            self._move(self.bids, self.middle - half, -1),
            self._move(self.asks, self.middle + half - 1, 1),
        )

    def _move(self, side: dict[int, int], best: int, away: int) -> list[tuple[int, int]]:
        """Let `best` be the side's best price; the window keeps `depth` levels, some prices stay empty."""
        rng = self.rng
        before = dict(side)
        for price in [price for price in side if (best - price) * away > 0]:
            del side[price]
        if best not in side:
            side[best] = self._lots()
        prices = sorted(side, reverse=away < 0)
        for price in rng.choices(prices, k=rng.randint(1, 5)):
            if price in side and price != best and rng.random() < 0.15:
                del side[price]
            else:
                side[price] = self._lots()
        price = best
        while len(side) < self.depth:
            price += away
            if price not in side and rng.random() < 0.85:
                side[price] = self._lots()
        for price in sorted(side, reverse=away < 0)[self.depth :]:
            del side[price]
        gone = [(price, 0) for price in before if price not in side]
        return gone + [(price, lots) for price, lots in side.items() if before.get(price) != lots]

    def _lots(self) -> int:
        return int(self.rng.lognormvariate(7, 1.2)) + 1

    def levels(self, changes: list[tuple[int, int]]) -> str:
        """Write levels as JSON."""
        price, lot = self.price_decimals, self.lot_decimals
        return ",".join(f'["{_text(p, price)}","{_text(s, lot) if s else "0"}"]' for p, s in changes)


class GeneratedSession:
    """An endless, or `messages` long, session of `symbols` symbols; each iteration gives the same frames."""

    def __init__(self, seed: int, symbols: int, *, depth: int = 50, messages: int | None = None) -> None:
        self.seed = seed
        self.depth = depth
        self.messages = messages
        self.instruments = instruments(symbols)
        markets = [_market(number) for number in range(symbols)]
        self.prices = {name: _text(first, price) for name, price, _, first in markets}
        self.topics = [f"orderbook.{depth}.{name}" for name in self.instruments]
        self.topics += [f"publicTrade.{name}" for name in self.instruments]

    def frames(self, reader: BybitFrames) -> Iterator[Frame]:
        """Yield the session's frames; `receive_ns` is the session's own clock."""
        for count, (kind, time_ms, raw) in enumerate(self.raw()):
            if count == self.messages:
                return
            frame = reader.parse(raw, time_ms * 1_000_000)
            assert frame.kind is kind
            yield frame

    def raw(self) -> Iterator[tuple[Kind, int, bytes]]:
        """Yield (kind, venue time in ms, frame) without end."""
        rng = random.Random(self.seed)  # noqa: S311 - a reproducible walk, no secret
        markets = [
            Market(name, price, lot, first, self.depth, random.Random(rng.getrandbits(64)))  # noqa: S311
            for name, price, lot, first in map(_market, range(len(self.instruments)))
        ]
        sequence = 10_000_000
        for market in markets:
            market.step()
            sequence += 1
            yield Kind.BOOK, START_MS, self._book(market, START_MS, sequence, None)
        push = PUSH_MS.get(self.depth, 100)
        turn = 0
        while True:
            turn += 1
            for place, market in enumerate(markets):
                # Symbols take their turns spread over the push interval, as a venue's do.
                now = START_MS + turn * push + place * push // len(markets)
                changes = market.step()
                market.update_id += 1
                sequence += rng.randint(1, 20)
                if rng.random() < 0.3:
                    yield Kind.TRADE, now, self._trades(market, now, sequence, rng)
                yield Kind.BOOK, now, self._book(market, now, sequence, changes)

    def _book(
        self,
        market: Market,
        now: int,
        sequence: int,
        changes: tuple[list[tuple[int, int]], list[tuple[int, int]]] | None,
    ) -> bytes:
        kind = "delta"
        if changes is None:
            kind = "snapshot"
            changes = (sorted(market.bids.items(), reverse=True), sorted(market.asks.items()))
        bids, asks = changes
        return (
            f'{{"topic":"orderbook.{self.depth}.{market.name}","type":"{kind}","ts":{now},'
            f'"data":{{"s":"{market.name}","b":[{market.levels(bids)}],"a":[{market.levels(asks)}],'
            f'"u":{market.update_id},"seq":{sequence}}},"cts":{now - 2}}}'
        ).encode()

    def _trades(self, market: Market, now: int, sequence: int, rng: random.Random) -> bytes:
        buys = rng.random() < 0.5
        best = min(market.asks) if buys else max(market.bids)
        price = _text(best, market.price_decimals)
        trades = ",".join(
            f'{{"T":{now - 3},"s":"{market.name}","S":"{"Buy" if buys else "Sell"}",'
            f'"v":"{_text(rng.randint(1, 2000), market.lot_decimals)}","p":"{price}","L":"PlusTick",'
            f'"i":"{rng.getrandbits(128):032x}","BT":false,"seq":{sequence}}}'
            for _ in range(rng.choice((1, 1, 1, 2, 3)))
        )
        return (
            f'{{"topic":"publicTrade.{market.name}","type":"snapshot","ts":{now},"data":[{trades}]}}'.encode()
        )
