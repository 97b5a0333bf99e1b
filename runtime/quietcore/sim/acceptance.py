"""Whether an account may have an order: position mode, margin, price limits, what it can reduce, the market's state."""

from __future__ import annotations

from decimal import Decimal

from quietcore.sim import rules
from quietcore.sim.instruments import MINIMUM_NOTIONAL, PRICE_LIMIT
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.orders import ZERO, Order, Side, Wallet
from quietcore.sim.refusal import Reject

MOST_ORDERS_A_SYMBOL = 500


class Acceptance:
    """The checks of one account; it owns wallet, position modes and the list of resting orders (by symbol and id)."""

    def __init__(self, liquidity: Liquidity) -> None:
        self.wallet = Wallet()
        self.hedged: set[str] = set()  # symbols in hedge mode; all others are in one-way mode
        self.resting: dict[str, dict[str, Order]] = {}
        self._liquidity = liquidity

    def quantity(self, wanted: rules.Wanted) -> Decimal:
        """Return the quantity that an order for the book may have; raise Reject."""
        symbol, side, index = wanted.instrument.symbol, wanted.side, wanted.position_index
        if len(self.resting.get(symbol, ())) >= MOST_ORDERS_A_SYMBOL:
            raise Reject(110020, f"Not allowed to have more than {MOST_ORDERS_A_SYMBOL} active orders.")
        if wanted.price is None and self._liquidity.book(symbol) is None:
            raise Reject(
                110118,
                "Unable to retrieve a price of the market order due to low liquidity: "
                "the simulated market has not begun",
            )
        # In hedge mode a sale from the long position, and a purchase from the short one, can only reduce it.
        if wanted.reduce_only or (index == 1 and side is Side.SELL) or (index == 2 and side is Side.BUY):
            return self.reduction(symbol, side, wanted.quantity, index)
        reference = wanted.price or self._liquidity.best(symbol, side)
        if reference is not None:
            self.affordable(symbol, wanted.quantity, reference)
        return wanted.quantity

    def match_mode(self, symbol: str, index: int) -> None:
        """Refuse the position index of the other mode; raise Reject."""
        if (index != 0) is not (symbol in self.hedged):
            raise Reject(10001, "position idx not match position mode")

    def price_by(self, symbol: str, by: str) -> Decimal | None:
        """Return the price that a conditional order looks at."""
        return self._liquidity.last(symbol) if by == rules.LAST else self._liquidity.mark(symbol)

    def within_limits(self, symbol: str, side: Side, price: Decimal) -> None:
        """Refuse a price too far beyond the market, a buy above it, a sale below it; raise Reject."""
        mark = self._liquidity.mark(symbol)
        if mark is not None and (price - mark) * side.sign > mark * PRICE_LIMIT:
            raise Reject(110003, "Order price exceeds the allowable range")

    def reduction(self, symbol: str, side: Side, quantity: Decimal, index: int) -> Decimal:
        """Return how much of an order reduces the position; raise Reject where nothing does."""
        position = self.wallet.position(symbol, index)
        if position.size * side.sign >= 0:
            raise Reject(110017, "current position is zero, cannot fix reduce-only order qty")
        return min(quantity, abs(position.size))

    def affordable(self, symbol: str, quantity: Decimal, price: Decimal, *, freed: Decimal = ZERO) -> None:
        """Hold an order's value against the venue's least value and the account's margin; raise Reject."""
        notional = quantity * price
        if notional < MINIMUM_NOTIONAL:
            raise Reject(110094, f"Order does not meet minimum order value {MINIMUM_NOTIONAL}USDT")
        wallet = self.wallet
        held = wallet.margin() + self.order_margin() - freed / wallet.leverage
        if notional / wallet.leverage > wallet.equity() - held:
            raise Reject(110007, "ab not enough for new order")

    def order_margin(self) -> Decimal:
        """Return the margin that resting orders hold."""
        resting = (one for orders in self.resting.values() for one in orders.values())
        return sum((one.leaves * one.price for one in resting if one.price), ZERO) / self.wallet.leverage
