"""What `quietcore new strategy NAME` writes: a strategy that works as it is, and its test."""

from __future__ import annotations

COMPILED = '''"""{title}: buys where the averaged price turns up, sells where it turns down."""

from typing import Final

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.compiled import compiled
from quietcore.indicators import ema
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.interface import WISH_PRICE, WISH_SIDE, WISH_SIZE, Strategy, parameter_record

# Numbers that [strategy.parameters] may set: whole ones stay whole.
PARAMETERS: Final = {{"span": 50, "least_turn": 0.5}}

# What the strategy keeps from tick to tick; the status shows its plain numbers.
STATE: Final = np.dtype([("price", ema.STATE), ("turning", "<f8"), ("rising", "<i8")])

KIND_BBO: Final = layout.KIND_BBO


@compiled
def on_tick(state, params, books, symbol, kind, flags, a, b, c, d, wish):
    """Take one tick; return 1 with ``wish`` filled where an order is wanted, else 0. Prices in ticks, sizes in lots.

    BBO: a bid price, b bid size, c ask price, d ask size. TRADE: a price, b size. The ladder is in ``books``.
    """
    s, p = state[0], params[0]
    if kind != KIND_BBO or b <= 0 or d <= 0:
        return 0
    before = s.price.value
    first = s.price.count == 0
    after = ema.update(s.price, 0.5 * (a + c), 2.0 / (p.span + 1.0))
    if first:
        s.turning = after
        return 0
    rising = 1 if after > before else -1 if after < before else s.rising
    if rising != s.rising:
        moved = abs(before - s.turning)  # since the last turn
        s.turning = before
        known = s.rising != 0
        s.rising = rising
        if known and moved >= p.least_turn:
            wish[WISH_SIDE] = BUY if rising == 1 else SELL
            wish[WISH_PRICE] = c if rising == 1 else a
            wish[WISH_SIZE] = p.size
            return 1
    return 0


def make(parameters, context):
    """Return the strategy for the runtime; raise ValueError where a parameter makes no sense."""
    if parameters["span"] < 1:
        raise ValueError(f"span {{parameters['span']}}: expected 1 or more")
    state = np.zeros(1, dtype=STATE)
    return Strategy("{name}", on_tick, state, parameter_record({{**parameters, "size": context.order_size}}))
'''

PYTHON = '''"""{title}: buys where the averaged price turns up, sells where it turns down. Plain Python."""

from typing import Final

from quietcore.bridge.ticks import Quote
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.python import Order, PythonStrategy

# Numbers that [strategy.parameters] may set: whole ones stay whole.
PARAMETERS: Final = {{"span": 50, "least_turn": 0.5}}


class {title}(PythonStrategy):
    """One object, one symbol."""

    price = 0.0
    turning = 0.0
    rising = 0

    def on_tick(self, tick, ladders):
        """Take one tick of the traded symbol; return an Order or None. Prices in ticks, sizes in lots."""
        if not isinstance(tick, Quote) or tick.bid_size <= 0 or tick.ask_size <= 0:
            return None
        mid = 0.5 * (tick.bid + tick.ask)
        before = self.price
        if not before:
            self.price = self.turning = mid
            return None
        self.price += 2.0 / (self.parameters["span"] + 1.0) * (mid - before)
        rising = 1 if self.price > before else -1 if self.price < before else self.rising
        if rising == self.rising:
            return None
        moved, self.turning = abs(before - self.turning), before  # since the last turn
        known, self.rising = self.rising, rising
        if not known or moved < self.parameters["least_turn"]:
            return None
        size = self.context.order_size
        return Order(BUY, tick.ask, size) if rising == 1 else Order(SELL, tick.bid, size)

    def figures(self):
        """Return what the status shows."""
        return {{"price": self.price, "rising": self.rising}}


def make(parameters, context):
    """Return the strategy for the runtime; raise ValueError where a parameter makes no sense."""
    if parameters["span"] < 1:
        raise ValueError(f"span {{parameters['span']}}: expected 1 or more")
    return {title}(parameters, context).strategy("{name}")
'''

TEST = '''"""{title}, tick by tick. Run it with: pytest {test}"""

from pathlib import Path

from quietcore.strategy.choice import from_file
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.trial import SAMPLE_CONTEXT, Trial, try_out

STRATEGY = from_file(Path(__file__).with_name("{file}"))


def trial(**parameters):
    return Trial(STRATEGY.make(parameters, SAMPLE_CONTEXT))


def test_buys_where_it_turns_up_and_sells_where_it_turns_down():
    market = trial(span=2, least_turn=1.0)
    path = [100, 98, 96, 94, 100, 106, 112, 100, 90]
    wishes = [market.quote(price, 5, price + 1, 5) for price in path]
    found = [(path[i], wish.side) for i, wish in enumerate(wishes) if wish is not None]
    assert found == [(100, BUY), (100, SELL)]


def test_a_flat_market_is_left_alone():
    market = trial(span=2)
    assert [market.quote(100, 5, 101, 5) for _ in range(50)] == [None] * 50


def test_trades_and_empty_sides_are_not_quotes():
    market = trial(span=2)
    assert market.trade(50, 1) is None
    assert market.quote(100, 0, 101, 5) is None


def test_runs_a_whole_session():
    assert try_out(STRATEGY, {{}}).ticks > 1000
'''


def files(name: str, *, python: bool) -> dict[str, str]:
    """Return the texts by file name of a new strategy: ``name`` is lower-case with underscores."""
    title = "".join(part.capitalize() for part in name.split("_"))
    words = {"name": name, "title": title, "file": f"{name}.py", "test": f"test_{name}.py"}
    text = PYTHON if python else COMPILED
    return {words["file"]: text.format(**words), words["test"]: TEST.format(**words)}
