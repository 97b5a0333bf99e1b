"""Orders that go nowhere: filled by the simulator's matching against the live book in shared memory.

A resting order stands behind what its level showed; the book table tells no trades, so only shrinking levels and a
crossing best price bring it forward. Nothing but the top levels of the table is known, and there is no money at stake:
position and orders begin empty at each start.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from quietcore.bridge.books import HEAD_WORDS, WORD_COUNTS, WORD_STATE, WORD_TICK, book_words, read_book
from quietcore.bridge.layout import STATE_LIVE
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, Symbol
from quietcore.sim.book import Book
from quietcore.sim.events import events, update_of
from quietcore.sim.instruments import MAXIMUM_LOTS, MINIMUM_NOTIONAL
from quietcore.sim.instruments import Instrument as Listed
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.refusal import Reject
from quietcore.venues.interface import (
    Event,
    Fill,
    Instrument,
    OrderRequest,
    OrderUpdate,
    OrderWays,
    Position,
    RefusedError,
    Sent,
    StreamUp,
)

POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Scaled(Listed):
    """An instrument whose steps need not be powers of ten."""

    tick_step: Step
    lot_step: Step

    @property
    def tick(self) -> Decimal:
        """Smallest step of a price."""
        return self.tick_step.value

    @property
    def lot(self) -> Decimal:
        """Smallest step of a quantity."""
        return self.lot_step.value


class PaperVenue:
    """An `OrderVenue` within this process, for one symbol of a feed."""

    request_lifetime = 0.0

    def __init__(self, segment: Segment, symbol: Symbol) -> None:
        self.name = "paper"
        self._segment, self._symbol = segment, symbol
        self._tick = Step(symbol.tick_mantissa, symbol.tick_exponent)
        self._lot = Step(symbol.lot_mantissa, symbol.lot_exponent)
        self._book = Book(symbol.name)
        self._scratch = np.zeros(book_words(segment.ring.depth), dtype=np.int64)
        self._seen = -1
        listed = Scaled(symbol.name, symbol.tick_exponent, symbol.lot_exponent, self._tick, self._lot)
        self._exchange = Exchange(
            {symbol.name: listed},
            Liquidity(lambda name: self._book if self._book.synced else None),
            lambda: time.time_ns() // 1_000_000,
            prefix=secrets.randbits(32),
        )
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look at the book from now on."""
        self._look()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()

    def follow(self, segment: Segment) -> None:
        """Go on with the segment that the feed has now."""
        if segment is self._segment:
            return
        self._segment, self._seen = segment, -1
        self._scratch = np.zeros(book_words(segment.ring.depth), dtype=np.int64)

    async def instrument(self, symbol: str) -> Instrument:
        """Return the rules: the feed's steps, and the simulator's least value."""
        tick, lot = self._tick.value, self._lot.value
        return Instrument(symbol, tick, lot, lot, lot * MAXIMUM_LOTS, MINIMUM_NOTIONAL)

    async def place(self, order: OrderRequest) -> Sent:
        """Match an order against the book as it is now."""
        self._look()
        try:
            made = self._exchange.create(
                {
                    **{"category": "linear", "symbol": order.symbol, "side": "Buy" if order.buy else "Sell"},
                    **{"orderType": "Limit", "qty": order.quantity, "price": order.price},
                    **{"timeInForce": "PostOnly" if order.post_only else "GTC"},
                    "orderLinkId": order.client_id,
                }
            )
        except Reject as reject:
            raise RefusedError(reject.code, str(reject), time.time_ns()) from reject
        self._tell(self._exchange.activate(made))
        return Sent(made.order_id, time.time_ns())

    async def cancel(self, symbol: str, client_id: str) -> Sent:
        """Cancel an order."""
        try:
            order = self._exchange.cancel({"category": "linear", "symbol": symbol, "orderLinkId": client_id})
        except Reject as reject:
            raise RefusedError(reject.code, str(reject)) from reject
        self._tell(self._exchange.cancelled(order))
        return Sent(order.order_id, time.time_ns())

    async def query(self, symbol: str, client_id: str) -> OrderUpdate | None:
        """Return an order's standing."""
        order = self._exchange.find({"orderLinkId": client_id})
        return None if order is None else update_of(order)

    async def open_orders(self, symbol: str) -> list[OrderUpdate]:
        """Return every open order."""
        return [update_of(order) for order in self._exchange.cancel_all(symbol or None)]

    async def executions(self, symbol: str, since_ms: int) -> list[Fill]:
        """Return the fills since ``since_ms``."""
        found = [fill for fill in self._exchange.executions if fill.time_ms >= since_ms]
        return [event for event in events(Report(fills=found)) if isinstance(event, Fill)]

    async def position(self, symbol: str) -> Position:
        """Return the position."""
        held = self._exchange.wallet.position(symbol)
        return Position(held.size, held.entry)

    async def cancel_all(self, symbol: str) -> None:
        """Cancel every open order."""
        for order in self._exchange.cancel_all(symbol or None):
            self._tell(self._exchange.cancelled(order))

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        """Refuse: there is no connection."""
        raise RefusedError(0, "paper orders have no connection")

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        """Do nothing: there is no connection."""
        return 0.0

    def order_ways(self) -> OrderWays:
        """Return nothing: no request leaves the process."""
        return OrderWays()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens to the orders."""
        yield StreamUp()
        while True:
            yield await self._events.get()

    def _tell(self, report: Report | None) -> None:
        if report is not None:
            for event in events(report):
                self._events.put_nowait(event)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._look():
                self._tell(self._exchange.on_book(self._symbol.name))

    def _look(self) -> bool:
        """Take the book from the table; return whether it is another one than before."""
        depth, scratch = self._segment.ring.depth, self._scratch
        if not read_book(self._segment.ring, self._symbol.number, book_words(depth), scratch):
            return False
        book, tick = self._book, int(scratch[WORD_TICK])
        book.synced = int(scratch[WORD_STATE]) & 0xFFFFFFFF == STATE_LIVE
        if tick == self._seen:
            return False
        self._seen = tick
        book.bids.clear()
        book.asks.clear()
        counts = int(scratch[WORD_COUNTS])
        for side, first, count in (
            (book.bids, HEAD_WORDS, counts & 0xFFFFFFFF),
            (book.asks, HEAD_WORDS + 2 * depth, counts >> 32 & 0xFFFFFFFF),
        ):
            levels = scratch[first : first + 2 * count].reshape(count, 2).tolist()
            side.apply((self._tick.text(price), self._lot.text(size)) for price, size in levels)
        return True
