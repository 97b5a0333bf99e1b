"""Trying a strategy without a feed: ticks go straight to its ``on_tick``, and every wish is looked at.

For the tests of strategies, and for the check before a strategy is packed for a host.
"""

from __future__ import annotations

import random
import time
from typing import Any, NamedTuple

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.books import apply_level
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follow import ASK, ASK_SIZE, BID, BID_SIZE, QUOTES, STATE, TRADES
from quietcore.bridge.follower import new_books
from quietcore.bridge.scale import Step
from quietcore.bridge.ticks import decode
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.strategy.choice import Definition
from quietcore.strategy.intents import BUY, SELL
from quietcore.strategy.interface import WISH_WORDS, Context, Parameters, Strategy
from quietcore.strategy.python import Ladders

SAMPLE_CONTEXT = Context("BTCUSDT", Step(1, 1), Step(1, 3), 1)
DEPTH = 20
SAMPLE_TICKS = 20_000


class Wish(NamedTuple):
    """An order that a strategy wants: BUY or SELL, price in ticks, size in lots."""

    side: int
    price: int
    size: int


@compiled
def set_level(prices: Any, sizes: Any, counts: Any, row: int, price: int, size: int) -> None:
    """Apply one change of a ladder."""
    apply_level(prices, sizes, counts, row, price, size)


class Trial:
    """One strategy with a market of the caller's. Prices in ticks, sizes in lots."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.books = new_books(1, DEPTH)
        self.books.marks[0, STATE] = layout.STATE_LIVE
        self.ticks = 0
        self.seconds = 0.0
        self._wish = np.zeros(WISH_WORDS, dtype=np.int64)
        self._ladders = Ladders(self.books, 0)

    @property
    def state(self) -> Any:
        """The strategy's state record."""
        return self.strategy.state[0]

    def level(self, price: int, size: int, *, ask: bool) -> Wish | None:
        """Change one level of the ladder; size 0 deletes it."""
        books, row = self.books, int(ask)
        set_level(books.prices, books.sizes, books.counts, row, price, size)
        return self.tick(layout.KIND_LEVEL, layout.FLAG_SELL if ask else 0, price, size)

    def quote(self, bid: int, bid_size: int, ask: int, ask_size: int) -> Wish | None:
        """Give a best bid and offer, as the feed derives it from the book."""
        marks = self.books.marks[0]
        marks[BID], marks[BID_SIZE], marks[ASK], marks[ASK_SIZE] = bid, bid_size, ask, ask_size
        marks[QUOTES] += 1
        return self.tick(layout.KIND_BBO, 0, bid, bid_size, ask, ask_size)

    def trade(self, price: int, size: int, *, sell: bool = False) -> Wish | None:
        """Give a trade; ``sell``: the taker sold."""
        self.books.marks[0, TRADES] += 1
        return self.tick(layout.KIND_TRADE, layout.FLAG_SELL if sell else 0, price, size, self.ticks)

    def tick(self, kind: int, flags: int, *payload: int) -> Wish | None:
        """Give any tick; return what the strategy wants, checked."""
        words = [*payload, 0, 0, 0, 0][:4]
        self.ticks += 1
        strategy, begin = self.strategy, time.perf_counter()
        if strategy.python is not None:
            slot = np.zeros(1, dtype=layout.SLOT)
            slot[0] = (2 * self.ticks, 0, kind, layout.TIME_SOURCE_USER, flags, 0, 0, 0, 0, *words)
            order = strategy.python.on_tick(decode(slot[0]), self._ladders)
            self.seconds += time.perf_counter() - begin
            return None if order is None else self._checked(Wish(*order))
        wants = strategy.on_tick(
            strategy.state, strategy.params, self.books, np.int64(0), kind, flags, *words, self._wish
        )
        self.seconds += time.perf_counter() - begin
        if wants not in (0, 1):
            raise self._wrong("on_tick() returns neither 0 nor 1", wants, "0 or 1")
        return self._checked(Wish(*self._wish[:3].tolist())) if wants else None

    def _checked(self, wish: Wish) -> Wish:
        if wish.side not in (BUY, SELL):
            raise self._wrong("strategy wants neither to buy nor to sell", wish.side, f"{BUY} or {SELL}")
        if wish.price <= 0 or wish.size <= 0:
            raise self._wrong("strategy wants an order without price or size", wish, "both above 0")
        return wish

    def _wrong(self, what: str, found: object, expected: str) -> QuietcoreError:
        where = f"{self.strategy.name}, tick {self.ticks}"
        return QuietcoreError(what, where=where, found=found, expected=expected, code=ExitCode.FOUND)


class Outcome(NamedTuple):
    """What a strategy did in a sample session."""

    name: str
    ticks: int
    wishes: int
    parameters: dict[str, int | float]


def try_out(definition: Definition, parameters: Parameters, *, seed: int = 1) -> Outcome:
    """Make, compile and run a strategy over a generated session, a crash and an empty book within it.

    Raises:
        QuietcoreError: it cannot be made or compiled, fails, wants what cannot be wanted, or keeps figures that
            are no numbers.
    """
    strategy = definition.make(parameters, SAMPLE_CONTEXT)
    trial = Trial(strategy)
    chance = random.Random(seed)  # noqa: S311 -- a sample session, no secret
    wishes = 0
    price = 600_000
    last: list[int] = []
    try:
        for i in range(SAMPLE_TICKS // 4):
            crash = SAMPLE_TICKS // 8 < i < SAMPLE_TICKS // 8 + 60
            price += -40 if crash else chance.randint(-3, 3)
            bid, ask = price, price + chance.randint(1, 9 if crash else 2)
            bid_size, ask_size = chance.randint(1, 5 if crash else 50), chance.randint(1, 50)
            found = [
                *(trial.level(old, 0, ask=False) for old in last[:1] if old != bid),
                *(trial.level(old, 0, ask=True) for old in last[1:] if old != ask),
                trial.level(bid, bid_size, ask=False),
                trial.level(ask, ask_size, ask=True),
                trial.quote(bid, bid_size, ask, ask_size if i % 500 else 0),
                trial.trade(price, chance.randint(1, 99), sell=crash or chance.random() < 0.5),
            ]
            last = [bid, ask]
            wishes += sum(wish is not None for wish in found)
    except QuietcoreError:
        raise
    except Exception as error:
        raise QuietcoreError(
            "strategy fails", where=definition.where, found=one_line(error), code=ExitCode.FOUND
        ) from error
    figures = strategy.figures(strategy.state)
    wrong = {name: value for name, value in figures.items() if not np.isfinite(value)}
    if wrong:
        raise QuietcoreError(
            "strategy keeps figures that are no numbers",
            where=definition.where,
            found=wrong,
            code=ExitCode.FOUND,
        )
    return Outcome(definition.name, trial.ticks, wishes, {**definition.parameters, **parameters})


def one_line(error: BaseException) -> str:
    """Return an error's kind and text as one line of at most 400 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}"
