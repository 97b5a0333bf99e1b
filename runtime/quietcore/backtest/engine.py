"""The backtest itself: message by message through the venue's books, the strategy, the risk check and the matching.

Assumptions, stated in every report: an order reaches the venue ``latency`` after the message that caused it, in the
recording's time, before the next message where it is 0; its fate is known at once; own orders move no market, but what
they took from a level is gone until the level changes; the queue before a resting order is as the simulator keeps it.
"""

from __future__ import annotations

import time
import types
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from quietcore.backtest import ticks
from quietcore.backtest.desk import Desk
from quietcore.bridge.compiled import lean
from quietcore.bridge.follow import COUNTERS, STATE, begin
from quietcore.bridge.follower import new_books
from quietcore.bridge.layout import STATE_LIVE
from quietcore.bridge.ring import READ, word_at
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, Symbol
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.orders import OrderLedger
from quietcore.sim.frames import Frame, Kind
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange
from quietcore.sim.orders import Fill, Side
from quietcore.sim.source import Source
from quietcore.strategy import risk
from quietcore.strategy.account import RESOLVED, Account
from quietcore.strategy.arena import NO_SLOT, OrderArena
from quietcore.strategy.intents import CANCEL, PLACE, Intent
from quietcore.strategy.interface import WISH_FLAGS, WISH_PRICE, WISH_SIDE, WISH_SIZE, WISH_WORDS, Strategy

RUN_ID = "q" + "0" * 16  # the same in every run: client ids follow from the recording
EQUITY_POINTS = 2000


@dataclass
class Trade:
    """One fill: recorded time, side, price and size as the venue writes them, whether the order is whole now."""

    time_ns: int
    buy: bool
    price: Decimal
    quantity: Decimal
    maker: bool
    whole: bool
    fee: Decimal
    client_id: str


@dataclass
class Result:
    """What a backtest came to. ``equity``: (recorded ns, quote coin) at most 2,000 of them, and after each fill."""

    symbol: str
    strategy: str
    source: str
    latency_ms: float
    messages: int = 0
    missing: int = 0  # that the recorder had no room for, by its own count
    ticks: int = 0
    signals: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    orders: dict[str, int] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    equity: list[tuple[int, Decimal]] = field(default_factory=list)
    position: Decimal = Decimal(0)
    first_ns: int = 0
    last_ns: int = 0
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)


class Backtest:
    """One run. ``bound``: a record of risk.LIMITS; ``segment``: a ring with every tick of ``source``."""

    def __init__(
        self,
        segment: Segment,
        source: Source,
        symbol: Symbol,
        strategy: Strategy,
        bound: Any,
        *,
        latency_ms: float = 0.0,
    ) -> None:
        self.segment, self.source, self.symbol, self.strategy = segment, source, symbol, strategy
        self.tick = Step(symbol.tick_mantissa, symbol.tick_exponent)
        self.lot = Step(symbol.lot_mantissa, symbol.lot_exponent)
        self.result = Result(symbol.name, strategy.name, source.title, latency_ms, missing=source.missing)
        self.account, arena = Account(), OrderArena()
        self.account.ready(True)
        self.ledger = OrderLedger(RUN_ID, symbol.name, self.tick, self.lot, self.account, arena)
        rate = risk.new_rate(int(bound[0]["max_order_rate"]))
        emitted = np.zeros(risk.EMITTED_WORDS, dtype=np.int64)
        self.risk = risk.Risk(self.account.address, emitted, rate, bound, arena.slots)
        self._reader = source.reader()
        self._now_ns = 0
        self._intents = 0
        liquidity = Liquidity(self._reader.book)
        self._exchange = Exchange(source.instruments, liquidity, lambda: self._now_ns // 1_000_000, prefix=0)
        self._desk = Desk(self._exchange, self.ledger, int(latency_ms * 1e6), self._filled)
        self._books = new_books(segment.ring.symbols, segment.ring.depth)
        self._counters = np.zeros(COUNTERS, dtype=np.int64)
        self._allowed = np.zeros(ticks.UPDATES + segment.ring.symbols, dtype=np.int64)
        self._wish, self._within = np.zeros(WISH_WORDS, dtype=np.int64), np.zeros(1, dtype=np.int64)
        self._numbers = {one.name: one.number for one in segment.symbols}
        self._advance = build(strategy)
        begin(segment.ring, self._books, self._counters)

    def run(self) -> Result:
        """Play the whole recording."""
        began = time.perf_counter()
        result = self.result
        step = max(1, (self.source.total or 1) // EQUITY_POINTS)
        for frame in self.source.frames(self._reader):
            assert frame.receive_ns is not None
            # Requests of before that arrive between the two messages meet the book as it was.
            self._desk.arrive(frame.receive_ns - 1)
            self._now_ns = frame.receive_ns
            self._venue(frame)
            result.messages += 1
            result.first_ns = result.first_ns or self._now_ns
            while (found := self._step()) == ticks.WISH:
                self._act()
                self._desk.arrive(self._now_ns)
            if found == ticks.OVERRUN:
                raise QuietcoreError("ring lost ticks", where=self.segment.feed, code=ExitCode.UNKNOWN)
            if result.messages % step == 0:
                self._note_equity()
        result.last_ns = self._now_ns
        self._note_equity()
        result.ticks = int(self._counters[READ])
        left = int(self.segment.statistics["ticks"]) - result.ticks
        if left:
            raise QuietcoreError(
                "ticks and messages of the recording do not fit together",
                where=self.source.title,
                found=f"{left} ticks left at its end",
                code=ExitCode.UNKNOWN,
            )
        counts = self.ledger.counts
        names = ("sent", "acknowledged", "filled", "cancelled", "rejected", "fills")
        result.orders = {name: getattr(counts, name) for name in names}
        result.orders["open"] = len(self.ledger.open())
        result.position = self.lot.decimal(self.account.position)
        result.figures = self.strategy.figures(self.strategy.state)
        result.seconds = time.perf_counter() - began
        return result

    # one message

    def _venue(self, frame: Frame) -> None:
        """Let the venue's side see a message first, as it does."""
        self._reader.track(frame)
        allowed = self._allowed
        if frame.kind is Kind.BOOK:
            self._desk.tell(self._exchange.on_book(frame.symbol))
            self._allow(frame)
        elif frame.kind is Kind.SNAPSHOT:
            self._allow(frame)
        elif frame.kind is Kind.TRADE:
            allowed[ticks.TRADES] += self._reader.published(frame)
            if self._exchange.open_orders.get(frame.symbol):
                for one in self._reader.trades(frame):
                    taker = Side.SELL if one.sell else Side.BUY
                    self._desk.tell(
                        self._exchange.on_trade(frame.symbol, Decimal(one.price), Decimal(one.size), taker)
                    )
        elif frame.kind is Kind.TICKER:
            allowed[ticks.QUOTES] += 1

    def _allow(self, frame: Frame) -> None:
        number = self._numbers.get(frame.symbol)
        if number is not None:
            at = ticks.UPDATES + number
            self._allowed[at] = max(int(self._allowed[at]), update_id(frame))

    def _step(self) -> int:
        strategy = self.strategy
        return int(
            self._advance(
                self.segment.ring,
                self._books,
                self._counters,
                strategy.state,
                strategy.params,
                self.symbol.number,
                self._allowed,
                self._wish,
                self._within,
            )
        )

    def _act(self) -> None:
        """Do what the compiled loop does with a wish."""
        self.result.signals += 1
        side, price = int(self._wish[WISH_SIDE]), int(self._wish[WISH_PRICE])
        size = int(risk.allowed_size(self.risk, self._wish[WISH_SIZE]))
        reason = self._check(side, price, size)
        if self.risk.emitted[risk.EMITTED] != word_at(self.account.address + RESOLVED):
            self._emit(CANCEL, side, price, size, NO_SLOT)
        if reason != risk.ALLOWED:
            self.result.refused[risk.REASON_NAMES[reason]] += 1
            return
        slot = risk.count_order(self.risk, side, price, size, self._now_ns)
        self._emit(PLACE, side, price, size, int(slot))

    def _check(self, side: int, price: int, size: int) -> int:
        row = 2 * self.symbol.number
        books = self._books
        live = int(books.marks[self.symbol.number, STATE]) == STATE_LIVE
        if price > 0 and size > 0 and not (live and books.counts[row] and books.counts[row + 1]):
            return risk.BOOK
        twice_mid = int(books.prices[row, 0] + books.prices[row + 1, 0])
        return int(risk.check_order(self.risk, side, price, size, twice_mid, self._now_ns))

    def _emit(self, kind: int, side: int, price: int, size: int, slot: int) -> None:
        now, flags = self._now_ns, int(self._wish[WISH_FLAGS])
        tick = int(self._counters[READ]) - 1
        intent = Intent(
            self._intents, kind, self.symbol.number, side, price, size, tick, now, now, slot, flags
        )
        self._intents += 1
        self._desk.take(intent, now)

    # results

    def _filled(self, fill: Fill) -> None:
        self.result.trades.append(
            Trade(
                *(self._now_ns, fill.order.side is Side.BUY, fill.price, fill.quantity, fill.maker),
                *(fill.leaves == 0, fill.fee, fill.order.link_id),
            )
        )

    def _note_equity(self) -> None:
        row, books = 2 * self.symbol.number, self._books
        if not books.counts[row] or not books.counts[row + 1]:
            return
        twice = int(books.prices[row, 0] + books.prices[row + 1, 0])
        units = Decimal(2 * self.account.cash + self.account.position * twice) / 2
        self.result.equity.append((self._now_ns, units * self.tick.value * self.lot.value))


def update_id(frame: Frame) -> int:
    """Return the update id of a book message."""
    body = frame.body
    return int(body.data.u if hasattr(body, "data") else body.last)


def build(strategy: Strategy) -> Any:
    """Return `ticks.advance` with the strategy's on_tick, compiled."""
    if strategy.python is not None:
        raise QuietcoreError(
            "strategy is not compiled",
            where=strategy.name,
            expected="a compiled on_tick",
            remedy="try it in mode replay or sim",
        )
    name = f"advance_{strategy.key or strategy.name}"
    made = types.FunctionType(
        ticks.advance.__code__, {**ticks.advance.__globals__, "on_tick": strategy.on_tick}, name
    )
    made.__qualname__, made.__module__ = name, ticks.__name__
    return lean(made)
