"""What the replayed book still has to give: size that orders took is gone until the level changes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from quietcore.sim.book import Book
from quietcore.sim.orders import ZERO, Side

KEPT_LEVELS = 10_000


class Liquidity:
    """The books of all symbols, with what the accounts together took from each level.

    `book` finds a symbol's current book, None while there is none; `last_trade` the price of its latest trade.
    """

    def __init__(
        self,
        book: Callable[[str], Book | None],
        last_trade: Callable[[str], Decimal | None] = lambda symbol: None,
    ) -> None:
        self.book = book
        self._last_trade = last_trade
        self._taken: dict[tuple[str, Side, Decimal], tuple[Decimal, Decimal]] = {}

    def left(self, symbol: str, side: Side, price: Decimal, shown: Decimal) -> Decimal:
        """Return what an order of `side` finds at a level that shows `shown`."""
        seen, taken = self._taken.get((symbol, side, price), (shown, ZERO))
        return shown - taken if seen == shown else shown

    def take(self, symbol: str, side: Side, price: Decimal, quantity: Decimal) -> None:
        """Remember what an order of `side` took from the opposite level at `price`."""
        book = self.book(symbol)
        assert book is not None
        shown = (book.asks if side is Side.BUY else book.bids).size(price)
        key = (symbol, side, price)
        seen, taken = self._taken.get(key, (shown, ZERO))
        self._taken[key] = (shown, quantity + (taken if seen == shown else ZERO))
        if len(self._taken) > KEPT_LEVELS:
            self._taken.pop(next(iter(self._taken)))

    def best(self, symbol: str, side: Side) -> Decimal | None:
        """Return the best price an order of `side` could trade at now, None without one."""
        book = self.book(symbol)
        best = None if book is None else (book.asks if side is Side.BUY else book.bids).best()
        return None if best is None else best[0]

    def last(self, symbol: str) -> Decimal | None:
        """Return the price of the latest trade, before the first one the middle of the book; None without either."""
        found = self._last_trade(symbol)
        if found is not None:
            return found
        bid, ask = self.best(symbol, Side.SELL), self.best(symbol, Side.BUY)
        return None if bid is None or ask is None else (bid + ask) / 2

    def mark(self, symbol: str) -> Decimal | None:
        """Return the median of best bid, best ask and last price: the mark price of a market without an index."""
        bid, ask = self.best(symbol, Side.SELL), self.best(symbol, Side.BUY)
        last = self.last(symbol)
        if bid is None or ask is None or last is None:
            return last
        return sorted((bid, ask, last))[1]

    def queue(self, symbol: str, side: Side, price: Decimal) -> Decimal:
        """Return the size that rests at `price` on an order's own side: what stands before a newcomer."""
        book = self.book(symbol)
        return ZERO if book is None else (book.bids if side is Side.BUY else book.asks).size(price)

    def reachable(
        self, symbol: str, side: Side, limit: Decimal | None, wanted: Decimal, *, best_only: bool = False
    ) -> list[tuple[Decimal, Decimal]]:
        """Return the (price, size) levels that an order may take now, best first; `limit` None: a market order."""
        book = self.book(symbol)
        if book is None:
            return []
        opposite = book.asks if side is Side.BUY else book.bids
        best = opposite.best()
        if best is None or not reaches(side, limit, best[0]):
            return []
        if best_only:
            levels = [best]
        else:
            levels = []
            for price, size in opposite.ladder():
                if wanted <= 0 or not reaches(side, limit, price):
                    break
                levels.append((price, size))
                wanted -= self.left(symbol, side, price, size)
        free = [(price, self.left(symbol, side, price, size)) for price, size in levels]
        return [(price, size) for price, size in free if size > 0]


def reaches(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    """Return whether an order limited to `limit` may trade at `price`."""
    if limit is None:
        return True
    return limit >= price if side is Side.BUY else limit <= price
