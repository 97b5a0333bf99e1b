"""Takes the orders of one account and matches them against the replayed book: exact decimals, no network.

A taking order walks the book from the best price, at each level at most the size shown. A resting order stands
behind what its level showed when it came; trades at its price, and levels that shrink, shorten the queue, and what
trades beyond it fills the order, in part where it is less. When the opposite best price reaches a resting order it
fills at its own price for at most the size shown. Fills are never at a better price than the order's own, and
another account's orders stand in no queue. Rules and codes are those of Bybit v5 linear
(bybit-exchange.github.io/docs/v5/order/create-order, /docs/v5/error, /docs/v5/enum).
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.sim import rules
from quietcore.sim.instruments import MINIMUM_NOTIONAL, Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.orders import ZERO, Fill, Order, Position, Side, Status, Wallet
from quietcore.sim.refusal import Reject

TAKER_FEE = Decimal("0.00055")
MAKER_FEE = Decimal("0.0002")
KEPT_ORDERS = 10_000
KEPT_FILLS = 10_000


@dataclass
class Report:
    """What one event did: fills in order, orders whose state changed, positions touched."""

    fills: list[Fill] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fills or self.orders)


class Change(NamedTuple):
    """An accepted amendment: what the order shall have."""

    order: Order
    quantity: Decimal
    price: Decimal


class Exchange:
    """Orders, fills and positions of one account.

    `liquidity` is what all accounts trade against, `now_ms` the venue's clock. Ids are `prefix`, by default another
    one in each run, and a counter. `refuses_post_only` is asked at each post-only order that comes to the book.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        liquidity: Liquidity,
        now_ms: Callable[[], int],
        *,
        prefix: int | None = None,
        refuses_post_only: Callable[[], bool] = lambda: False,
    ) -> None:
        self.instruments = instruments
        self.wallet = Wallet()
        self.orders: dict[str, Order] = {}
        self.open_orders: dict[str, dict[str, Order]] = {}
        self.executions: deque[Fill] = deque(maxlen=KEPT_FILLS)
        self.fills = 0
        self.accepted = 0
        self.rejected = 0
        self._by_link: dict[str, Order] = {}
        self._liquidity = liquidity
        self._now_ms = now_ms
        self._prefix = secrets.randbits(32) if prefix is None else prefix
        self._ids = itertools.count(1)
        self._refuses_post_only = refuses_post_only

    # requests -----------------------------------------------------------------------------------------------
    def create(self, request: Mapping[str, Any]) -> Order:
        """Check an order request and accept it; it matches when `activate` is called. Raises Reject."""
        try:
            order = self._checked(request)
        except Reject:
            self.rejected += 1
            raise
        self.accepted += 1
        self.orders[order.order_id] = order
        if order.link_id:
            self._by_link[order.link_id] = order
        if len(self.orders) > KEPT_ORDERS:
            self._forget_oldest()
        return order

    def activate(self, order: Order) -> Report:
        """Bring an accepted order to the book: fill, rest or cancel it."""
        if not order.open:
            return Report()  # cancelled before it got here
        report = Report(orders=[order])
        levels = self._liquidity.reachable(order.symbol, order.side, order.price, order.leaves)
        if order.time_in_force == "PostOnly" and (self._refuses_post_only() or levels):
            self._cancel(order, "EC_PostOnlyWillTakeLiquidity")
            return report
        if order.time_in_force == "FOK" and sum((size for _, size in levels), ZERO) < order.quantity:
            self._cancel(order, "EC_NoEnoughQtyToFill")
            return report
        for price, size in levels:
            if not order.open:
                break
            quantity = min(order.leaves, size)
            self._liquidity.take(order.symbol, order.side, price, quantity)
            self._fill(order, price, quantity, report, maker=False)
        if order.open:
            if order.price is None or order.time_in_force in ("IOC", "FOK"):
                self._cancel(order, "EC_NoImmediateQtyToFill")
            else:
                order.ahead = self._liquidity.queue(order.symbol, order.side, order.price)
                self.open_orders.setdefault(order.symbol, {})[order.order_id] = order
        return report

    def amend(self, request: Mapping[str, Any]) -> Change:
        """Check an amendment of an open order; `amended` carries it out. Raises Reject."""
        instrument = rules.instrument_of(self.instruments, request)
        order = self._open_order(request)
        assert order.price is not None  # only a limit order rests
        price, quantity = order.price, order.quantity
        if request.get("price"):
            price = rules.multiple(request["price"], instrument.tick, "params error: price invalid")
        if request.get("qty"):
            quantity = rules.size(request["qty"], instrument)
        if (price, quantity) == (order.price, order.quantity):
            raise Reject(
                10001, "The order remains unchanged as the parameters entered match the existing ones."
            )
        if quantity <= order.filled:
            raise Reject(10001, "params error: qty must be more than what is filled")
        self._affordable(
            order.symbol, quantity - order.quantity + order.leaves, price, freed=order.leaves * order.price
        )
        return Change(order, quantity, price)

    def amended(self, change: Change) -> Report:
        """Carry out an amendment, unless the order was done in the meantime. Less at the same price keeps its place."""
        order = change.order
        if not order.open or change.quantity <= order.filled:
            return Report()
        keeps_place = change.price == order.price and change.quantity <= order.quantity
        order.price, order.quantity, order.updated_ms = change.price, change.quantity, self._now_ms()
        if keeps_place:
            return Report(orders=[order])
        self.open_orders.get(order.symbol, {}).pop(order.order_id, None)
        return self.activate(order)

    def cancel(self, request: Mapping[str, Any]) -> Order:
        """Find the open order of a cancel request; `cancelled` carries it out. Raises Reject."""
        rules.instrument_of(self.instruments, request)
        return self._open_order(request)

    def cancelled(self, order: Order) -> Report:
        """Cancel an order, unless it was done in the meantime."""
        if order.open:
            self._cancel(order, "EC_PerCancelRequest", cancel_type="CancelByUser")
            return Report(orders=[order])
        return Report()

    def cancel_all(self, symbol: str | None = None) -> list[Order]:
        """Return the open orders that a cancel-all is about."""
        return [order for order in self.orders.values() if order.open and symbol in (None, order.symbol)]

    def find(self, request: Mapping[str, Any]) -> Order | None:
        """Find an order by orderId or orderLinkId; raise Reject where neither is given."""
        order_id, link_id = request.get("orderId"), request.get("orderLinkId")
        if order_id:
            order = self.orders.get(str(order_id))
        elif link_id:
            order = self._by_link.get(str(link_id))
        else:
            raise Reject(10001, "params error: orderId or orderLinkId is required")
        if order is not None and request.get("symbol") not in (None, order.symbol):
            return None
        return order

    # the market ---------------------------------------------------------------------------------------------
    def on_book(self, symbol: str) -> Report | None:
        """Match resting orders against a book that changed; None where nothing rests there."""
        resting = self.open_orders.get(symbol)
        if not resting:
            return None
        report = Report()
        liquidity = self._liquidity
        for order in list(resting.values()):
            assert order.price is not None
            order.ahead = min(order.ahead, liquidity.queue(symbol, order.side, order.price))
            for level, size in liquidity.reachable(
                symbol, order.side, order.price, order.leaves, best_only=True
            ):
                quantity = min(order.leaves, size)
                liquidity.take(symbol, order.side, level, quantity)
                self._fill(order, order.price, quantity, report, maker=True)
                report.orders.append(order)
        return report

    def on_trade(self, symbol: str, price: Decimal, size: Decimal, taker: Side) -> Report | None:
        """Let a trade of others shorten the queues and fill what stands at their end; None where nothing does."""
        resting = self.open_orders.get(symbol)
        if not resting:
            return None
        sign = 1 if taker is Side.SELL else -1  # a seller trades with bids, the highest first
        met = [
            order
            for order in resting.values()
            if order.side is not taker and order.price is not None and (order.price - price) * sign >= 0
        ]
        met.sort(key=lambda order: -sign * order.price if order.price is not None else ZERO)
        report = Report()
        for order in met:
            assert order.price is not None
            # Others before it at its price trade first; a level that was traded through is gone whole.
            before = min(order.ahead, size) if order.price == price else ZERO
            order.ahead = order.ahead - before if order.price == price else ZERO
            quantity = min(order.leaves, size - before)
            if quantity > 0:
                self._fill(order, order.price, quantity, report, maker=True)
                report.orders.append(order)
                size -= quantity
        return report

    def fill_now(self, order: Order) -> Report:
        """Fill an open limit order whole at its own price, whatever the book: for a fault on command."""
        report = Report()
        if order.open and order.price is not None:
            self._fill(order, order.price, order.leaves, report, maker=True)
            report.orders.append(order)
        return report

    # checks -------------------------------------------------------------------------------------------------
    def _open_order(self, request: Mapping[str, Any]) -> Order:
        order = self.find(request)
        if order is None or not order.open:
            raise Reject(110001, "order not exists or too late to cancel")
        return order

    def _checked(self, request: Mapping[str, Any]) -> Order:
        wanted = rules.wanted(self.instruments, request)
        symbol, quantity = wanted.instrument.symbol, wanted.quantity
        if wanted.link_id in self._by_link:
            raise Reject(110072, "OrderLinkedID is duplicate")
        if wanted.reduce_only:
            quantity = self._reduction(symbol, wanted.side, quantity)
        else:
            reference = wanted.price or self._liquidity.best(symbol, wanted.side)
            if reference is not None:
                self._affordable(symbol, quantity, reference)
        now = self._now_ms()
        order_id = f"{self._prefix:08x}-0000-4000-8000-{next(self._ids):012x}"
        return Order(
            *(order_id, wanted.link_id, symbol, wanted.side, quantity, wanted.price),
            *(wanted.time_in_force, wanted.reduce_only, now, now),
        )

    def _reduction(self, symbol: str, side: Side, quantity: Decimal) -> Decimal:
        position = self.wallet.position(symbol)
        if position.size * side.sign >= 0:
            raise Reject(110017, "current position is zero, cannot fix reduce-only order qty")
        return min(quantity, abs(position.size))

    def _affordable(self, symbol: str, quantity: Decimal, price: Decimal, *, freed: Decimal = ZERO) -> None:
        notional = quantity * price
        if notional < MINIMUM_NOTIONAL:
            raise Reject(110094, f"Order does not meet minimum order value {MINIMUM_NOTIONAL}USDT")
        resting = sum(
            (
                one.leaves * one.price
                for orders in self.open_orders.values()
                for one in orders.values()
                if one.price
            ),
            -freed,
        )
        wallet = self.wallet
        if notional / wallet.leverage > wallet.equity() - wallet.margin() - resting / wallet.leverage:
            raise Reject(110007, "ab not enough for new order")

    # matching -----------------------------------------------------------------------------------------------
    def _fill(self, order: Order, price: Decimal, quantity: Decimal, report: Report, *, maker: bool) -> None:
        now = self._now_ms()
        rate = MAKER_FEE if maker else TAKER_FEE
        fee = price * quantity * rate
        order.filled += quantity
        order.value += price * quantity
        order.fee += fee
        order.updated_ms = now
        order.status = Status.FILLED if order.filled == order.quantity else Status.PARTIALLY_FILLED
        position = self.wallet.position(order.symbol)
        closed = position.fill(order.side, price, quantity)
        position.fees += fee
        if not order.open:
            self.open_orders.get(order.symbol, {}).pop(order.order_id, None)
        self.fills += 1
        number = next(self._ids)
        fill = Fill(
            f"{self._prefix:08x}-0000-4000-9000-{number:012x}",
            *(order, price, quantity, fee, rate, maker, closed, order.leaves, now, number),
        )
        self.executions.append(fill)
        report.fills.append(fill)
        if position not in report.positions:
            report.positions.append(position)

    def _cancel(self, order: Order, reason: str, *, cancel_type: str = "UNKNOWN") -> None:
        order.status = Status.CANCELLED
        order.reject_reason, order.cancel_type, order.updated_ms = reason, cancel_type, self._now_ms()
        self.open_orders.get(order.symbol, {}).pop(order.order_id, None)

    def _forget_oldest(self) -> None:
        for order_id, order in self.orders.items():
            if not order.open:
                del self.orders[order_id]
                self._by_link.pop(order.link_id, None)
                return
