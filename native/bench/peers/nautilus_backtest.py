"""nautilus_trader's backtest engine: a Python strategy over quotes, deltas and trades, matched on an L2 book."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from serve_backtests import FAST, SIZE, SLOW, Outcome, messages, serve

INSTRUMENT = TestInstrumentProvider.btcusdt_perp_binance()
SIDES = (OrderSide.BUY, OrderSide.SELL)


class Crossing(Strategy):  # type: ignore[misc]
    """The crossing averages."""

    def __init__(self) -> None:
        super().__init__()
        self.fast = self.slow = 0.0
        self.samples = self.above = self.signals = 0

    def on_start(self) -> None:
        """Ask for the venue's own quotes."""
        self.subscribe_quote_ticks(INSTRUMENT.id)

    def on_quote_tick(self, quote: Any) -> None:
        """Take one; order at a crossing."""
        mid = 0.5 * (quote.bid_price.as_double() + quote.ask_price.as_double())
        if self.samples == 0:
            self.fast = self.slow = mid
        self.fast += 2 / (FAST + 1) * (mid - self.fast)
        self.slow += 2 / (SLOW + 1) * (mid - self.slow)
        self.samples += 1
        if self.samples < SLOW or self.fast == self.slow:
            return
        now = 1 if self.fast > self.slow else -1
        before, self.above = self.above, now
        if before in (0, now):
            return
        self.signals += 1
        self.cancel_all_orders(INSTRUMENT.id)
        side, price = (OrderSide.BUY, quote.ask_price) if now == 1 else (OrderSide.SELL, quote.bid_price)
        order = self.order_factory.limit(
            INSTRUMENT.id, side, Quantity.from_str(f"{float(SIZE):.3f}"), price, time_in_force=TimeInForce.GTC
        )
        self.submit_order(order)


def deltas(at: int, data: dict[str, Any], number: int) -> Any:
    """Return a book message's levels; a REST answer clears the book first."""
    found = []
    snapshot = "bids" in data
    if snapshot:
        found.append(OrderBookDelta.clear(INSTRUMENT.id, number, at, at))
    for side, names in zip(SIDES, (("b", "bids"), ("a", "asks")), strict=True):
        for price, size in data.get(names[0]) or data.get(names[1]) or ():
            action = BookAction.UPDATE if float(size) else BookAction.DELETE
            order = BookOrder(side, Price.from_str(f"{float(price):.1f}"), Quantity.from_str(size), 0)
            found.append(OrderBookDelta(INSTRUMENT.id, action, order, 0, number, at, at))
    return OrderBookDeltas(INSTRUMENT.id, found) if found else None


def converted(path: Path) -> tuple[int, list[Any]]:
    """Return how many messages a recording has, and its data."""
    out: list[Any] = []
    count = 0
    for at, data in messages(path):
        count += 1
        kind = data.get("e")
        if kind == "trade":
            side = AggressorSide.SELLER if data["m"] else AggressorSide.BUYER
            price, size = Price.from_str(f"{float(data['p']):.1f}"), Quantity.from_str(data["q"])
            if size > 0:
                out.append(TradeTick(INSTRUMENT.id, price, size, side, TradeId(str(data["t"])), at, at))
        elif kind == "bookTicker":
            prices = [Price.from_str(f"{float(data[name]):.1f}") for name in ("b", "a")]
            sizes = [Quantity.from_str(data[name]) for name in ("B", "A")]
            out.append(QuoteTick(INSTRUMENT.id, *prices, *sizes, at, at))
        elif (found := deltas(at, data, count)) is not None:
            out.append(found)
    return count, out


def run(path: Path) -> Outcome:
    """The conversion to nautilus_trader's objects is not counted."""
    count, data = converted(path)
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(10_000_000, USDT)],
        book_type=BookType.L2_MBP,
    )
    engine.add_instrument(INSTRUMENT)
    engine.add_data(data)
    strategy = Crossing()
    engine.add_strategy(strategy)
    begin = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - begin
    fills = sum(len(order.trade_ids) for order in engine.cache.orders())
    engine.dispose()
    return Outcome(count, seconds, strategy.signals, fills)


if __name__ == "__main__":
    serve("nautilus_trader", run)
