"""Takes the orders of one account and matches them against the replayed book: exact decimals, no network.

A taking order walks the book from the best price, at each level at most the size shown. A resting order stands
behind what its level showed when it came; trades at its price, and levels that shrink, shorten the queue, and what
trades beyond it fills the order, in part where it is less. When the opposite best price reaches a resting order it
fills at its own price for at most the size shown. Fills are never at a better price than the order's own, and
another account's orders stand in no queue. A conditional order waits outside the book (`conditional`). Rules and codes
are those of Bybit v5 linear (bybit-exchange.github.io/docs/v5/order/create-order, /docs/v5/error, /docs/v5/enum).
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.sim import externals, rules
from quietcore.sim.acceptance import Acceptance
from quietcore.sim.conditional import Conditionals, check_direction
from quietcore.sim.instruments import Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.orders import ZERO, Fill, Order, Position, Side, Status, Trigger
from quietcore.sim.refusal import Reject

TAKER_FEE = Decimal("0.00055")
MAKER_FEE = Decimal("0.0002")
KEPT_ORDERS = 10_000
KEPT_FILLS = 10_000


def never() -> bool:
    """Say no: the usual answer of a `Whims` function."""
    return False


@dataclass
class Report:
    """What one event did: fills in order, orders whose state changed, positions touched."""

    fills: list[Fill] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fills or self.orders)

    def add(self, other: Report) -> None:
        """Append what happened next."""
        self.fills += other.fills
        self.orders += other.orders
        self.positions += [one for one in other.positions if one not in self.positions]


class Change(NamedTuple):
    """An accepted amendment: what the order shall have."""

    order: Order
    quantity: Decimal
    price: Decimal | None
    trigger: Trigger | None


class Whims(NamedTuple):
    """Faults of the matching itself, asked for at each order that they can happen to."""

    post_only: Callable[[], bool] = never  # cancelled as if it took liquidity
    reject_later: Callable[[], bool] = never  # acknowledged, then rejected
    used_id: Callable[[], bool] = never  # the id of a final order is taken again


class Exchange:
    """Orders, fills and positions of one account.

    `liquidity` is what all accounts trade against, `now_ms` the venue's clock. Ids are `prefix`, by default another
    one in each run, and a counter.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        liquidity: Liquidity,
        now_ms: Callable[[], int],
        *,
        prefix: int | None = None,
        whims: Whims | None = None,
    ) -> None:
        self.instruments = instruments
        self.accepts = Acceptance(liquidity)
        self.wallet, self.hedged = self.accepts.wallet, self.accepts.hedged
        self.open_orders = self.accepts.resting
        self.conditionals = Conditionals()
        self.orders: dict[str, Order] = {}
        self.executions: deque[Fill] = deque(maxlen=KEPT_FILLS)
        self.fills = 0
        self.accepted = 0
        self.rejected = 0
        self._by_link: dict[str, Order] = {}
        self._liquidity = liquidity
        self.now_ms = self._now_ms = now_ms
        self._prefix = secrets.randbits(32) if prefix is None else prefix
        self._ids = itertools.count(1)
        self._whims = whims or Whims()

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
        """Bring an accepted order to the book: fill, rest or cancel it. A conditional one begins to wait."""
        if not order.open:
            return Report()  # cancelled before it got here
        report = Report(orders=[order])
        if self._whims.reject_later():
            self._end(order, Status.REJECTED, "EC_Others")
            return report
        if order.status is Status.UNTRIGGERED:
            self.conditionals.add(order)
            return report
        levels = self._liquidity.reachable(order.symbol, order.side, order.price, order.leaves)
        if order.time_in_force == "PostOnly" and (self._whims.post_only() or levels):
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
        price, quantity, trigger = order.price, order.quantity, order.trigger
        if request.get("price") not in (None, "", "0"):
            if order.price is None:
                raise Reject(10001, "params error: a market order has no price")
            price = rules.price_of(request["price"], instrument)
        if request.get("qty"):
            quantity = rules.size(request["qty"], instrument)
        if order.status is Status.UNTRIGGERED and trigger is not None:
            trigger = self._amended_trigger(request, instrument, trigger)
        elif request.get("triggerPrice") not in (None, "", "0"):
            raise Reject(
                10001, "params error: triggerPrice of an order that is not conditional, or was triggered"
            )
        if (price, quantity, trigger) == (order.price, order.quantity, order.trigger):
            raise Reject(
                10001, "The order remains unchanged as the parameters entered match the existing ones."
            )
        if quantity <= order.filled:
            raise Reject(
                110064, "The modified contract quantity cannot be less than or equal to the filled quantity."
            )
        if price is not None and order.status is not Status.UNTRIGGERED and not order.reduce_only:
            assert order.price is not None  # only a limit order rests
            self.accepts.affordable(
                order.symbol,
                quantity - order.quantity + order.leaves,
                price,
                freed=order.leaves * order.price,
            )
        if price is not None and price != order.price:
            self.accepts.within_limits(order.symbol, order.side, price)
        return Change(order, quantity, price, trigger)

    def _amended_trigger(
        self, request: Mapping[str, Any], instrument: Instrument, trigger: Trigger
    ) -> Trigger:
        price, by = trigger.price, rules.trigger_by(request, trigger.by)
        if request.get("triggerPrice") not in (None, "", "0"):
            price = rules.multiple(
                request["triggerPrice"], instrument.tick, "params error: triggerPrice invalid"
            )
        changed = Trigger(price, trigger.rising, by)
        if changed != trigger:
            check_direction(changed, self.accepts.price_by(instrument.symbol, by))
        return changed

    def amended(self, change: Change) -> Report:
        """Carry out an amendment, unless the order was done in the meantime. Less at the same price keeps its place."""
        order = change.order
        if not order.open or change.quantity <= order.filled:
            return Report()
        if order.status is not Status.UNTRIGGERED and change.price is None:
            return Report()  # a market order that was triggered in the meantime
        keeps_place = change.price == order.price and change.quantity <= order.quantity
        waits = order.status is Status.UNTRIGGERED
        order.price, order.quantity, order.updated_ms = change.price, change.quantity, self._now_ms()
        if waits:
            order.trigger = change.trigger
        if keeps_place or waits:
            return Report(orders=[order])
        self.open_orders.get(order.symbol, {}).pop(order.order_id, None)
        return self.activate(order)

    def cancel(self, request: Mapping[str, Any]) -> Order:
        """Find the open order of a cancel request; `cancelled` carries it out. Raises Reject."""
        rules.instrument_of(self.instruments, request)
        return self._open_order(request)

    def cancelled(self, order: Order, cancel_type: str = "CancelByUser") -> Report:
        """Cancel an order, unless it was done in the meantime."""
        if not order.open:
            return Report()
        end = Status.DEACTIVATED if order.status is Status.UNTRIGGERED else Status.CANCELLED
        self._end(order, end, "EC_PerCancelRequest", cancel_type=cancel_type)
        return Report(orders=[order])

    def cancel_all(
        self, symbol: str | None = None, *, base_coin: str | None = None, settle_coin: str | None = None
    ) -> list[Order]:
        """Return the open orders that a cancel-all is about: of a symbol or a coin, all of them without either."""
        found = [order for order in self.orders.values() if order.open and symbol in (None, order.symbol)]
        if base_coin is None and settle_coin is None:
            return found
        coins = {order.symbol: self.instruments[order.symbol].coins for order in found}
        return [
            order
            for order in found
            if base_coin in (None, coins[order.symbol][0]) and settle_coin in (None, coins[order.symbol][1])
        ]

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

    # what the venue does by itself ---------------------------------------------------------------------------
    def external(self, wish: externals.External) -> Report:
        """Execute what no order of the account caused. Raises Reject."""
        wish.check()
        if wish.symbol not in self.instruments:
            raise Reject(10001, "params error: symbol invalid")
        self.accepts.match_mode(wish.symbol, wish.position_index)
        now, number = self._now_ms(), next(self._ids)
        position = self.wallet.position(wish.symbol, wish.position_index)
        fill = externals.execute(wish, position, self._prefix, number, now)
        fill.mark = self._liquidity.mark(wish.symbol)
        self._note(position, now, number)
        self.fills += wish.kind != externals.FUNDING
        self.executions.append(fill)
        return Report(fills=[fill], positions=[position] if wish.kind != externals.FUNDING else [])

    def restarted(self) -> None:
        """Do what a restart of the venue does: orders that are final stand in the history alone."""
        for order in self.orders.values():
            order.archived = order.archived or not order.open

    def forget(self) -> None:
        """Lose every order, fill and position: a venue that comes back empty."""
        self.orders.clear()
        self.open_orders.clear()
        self.executions.clear()
        self.wallet.positions.clear()
        self.conditionals = Conditionals()
        self._by_link.clear()

    def switch_mode(self, symbols: list[str], *, hedge: bool) -> None:
        """Bring symbols to hedge or one-way mode. Raises Reject where a position or an order is open."""
        for symbol in symbols:
            if (symbol in self.hedged) is hedge:
                continue
            if any(one.size for one in self.wallet.positions.values() if one.symbol == symbol):
                raise Reject(
                    110024, "You have an existing position, so the position mode cannot be switched."
                )
            if self.cancel_all(symbol):
                raise Reject(
                    110028, "You have existing open orders, so the position mode cannot be switched."
                )
        change = self.hedged.update if hedge else self.hedged.difference_update
        change(symbols)

    # the market ---------------------------------------------------------------------------------------------
    def mark(self, symbol: str) -> Decimal | None:
        """Return the mark price, None before the market has begun."""
        return self._liquidity.mark(symbol)

    def watches(self, symbol: str) -> bool:
        """Return whether anything here depends on what is traded in `symbol`."""
        return bool(self.open_orders.get(symbol)) or symbol in self.conditionals

    def on_book(self, symbol: str) -> Report | None:
        """Match resting orders against a book that changed; None where nothing rests there."""
        resting = self.open_orders.get(symbol)
        if not resting and symbol not in self.conditionals:
            return None
        report = Report()
        liquidity = self._liquidity
        for order in list(resting.values()) if resting else ():
            if not order.open or order.price is None:
                continue  # a fill of another one left nothing for it to reduce
            order.ahead = min(order.ahead, liquidity.queue(symbol, order.side, order.price))
            for level, size in liquidity.reachable(
                symbol, order.side, order.price, order.leaves, best_only=True
            ):
                quantity = min(order.leaves, size)
                liquidity.take(symbol, order.side, level, quantity)
                self._fill(order, order.price, quantity, report, maker=True)
                report.orders.append(order)
        if symbol in self.conditionals:
            report.add(self._trigger(symbol, rules.MARK, liquidity.mark(symbol)))
        return report

    def on_trade(self, symbol: str, price: Decimal, size: Decimal, taker: Side) -> Report | None:
        """Let a trade of others shorten the queues and fill what stands at their end; None where nothing does."""
        resting = self.open_orders.get(symbol, {})
        if not resting and symbol not in self.conditionals:
            return None
        traded = price
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
        if symbol in self.conditionals:
            report.add(self._trigger(symbol, rules.LAST, traded))
        return report

    def fill_now(self, order: Order) -> Report:
        """Fill an open limit order whole at its own price, whatever the book: for a fault on command."""
        report = Report()
        if order.open and order.status is not Status.UNTRIGGERED and order.price is not None:
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
        symbol, quantity, index = wanted.instrument.symbol, wanted.quantity, wanted.position_index
        self.accepts.match_mode(symbol, index)
        if wanted.link_id in self._by_link and (
            self._by_link[wanted.link_id].open or not self._whims.used_id()
        ):
            raise Reject(110072, "OrderLinkedID is duplicate")
        if wanted.price is not None:
            self.accepts.within_limits(symbol, wanted.side, wanted.price)
        if wanted.trigger is not None:
            self.conditionals.check_room(symbol)
            check_direction(wanted.trigger, self.accepts.price_by(symbol, wanted.trigger.by))
        else:
            quantity = self.accepts.quantity(wanted)
        now = self._now_ms()
        order_id = f"{self._prefix:08x}-0000-4000-8000-{next(self._ids):012x}"
        return Order(
            *(order_id, wanted.link_id, symbol, wanted.side, quantity, wanted.price),
            *(wanted.time_in_force, wanted.reduce_only, now, now),
            status=Status.NEW if wanted.trigger is None else Status.UNTRIGGERED,
            position_index=index,
            trigger=wanted.trigger,
            last_price=self._liquidity.last(symbol),
            create_type="CreateByUser" if wanted.trigger is None else "CreateByStopOrder",
        )

    # matching -----------------------------------------------------------------------------------------------
    def _trigger(self, symbol: str, by: str, price: Decimal | None) -> Report:
        """Bring the conditional orders to the book whose price has come."""
        report = Report()
        for order in [] if price is None else self.conditionals.take_due(symbol, by, price):
            order.updated_ms = self._now_ms()
            # Told as it is for this moment: the order itself goes on.
            report.orders.append(replace(order, status=Status.TRIGGERED))
            order.status = Status.NEW
            report.add(self._enter(order))
        return report

    def _enter(self, order: Order) -> Report:
        """Activate a triggered order, where margin and position still allow it."""
        try:
            if order.reduce_only:
                order.quantity = self.accepts.reduction(
                    order.symbol, order.side, order.quantity, order.position_index
                )
            elif reference := order.price or self._liquidity.best(order.symbol, order.side):
                self.accepts.affordable(order.symbol, order.quantity, reference)
        except Reject:
            kind = "CancelByReduceOnly" if order.reduce_only else "UNKNOWN"
            self._end(order, Status.CANCELLED, "EC_Others", cancel_type=kind)
            return Report(orders=[order])
        return self.activate(order)

    def _fill(self, order: Order, price: Decimal, quantity: Decimal, report: Report, *, maker: bool) -> None:
        now = self._now_ms()
        rate = MAKER_FEE if maker else TAKER_FEE
        fee = price * quantity * rate
        order.filled += quantity
        order.value += price * quantity
        order.fee += fee
        order.updated_ms = now
        order.status = Status.FILLED if order.filled == order.quantity else Status.PARTIALLY_FILLED
        position = self.wallet.position(order.symbol, order.position_index)
        realised = position.realised
        closed = position.fill(order.side, price, quantity)
        position.fees += fee
        if not order.open:
            self.open_orders.get(order.symbol, {}).pop(order.order_id, None)
        self.fills += 1
        number = next(self._ids)
        fill = Fill(
            f"{self._prefix:08x}-0000-4000-9000-{number:012x}",
            *(order, price, quantity, fee, rate, maker, closed, order.leaves, now, number),
            pnl=position.realised - realised,
            mark=self._liquidity.mark(order.symbol),
        )
        self._note(position, now, number)
        self.executions.append(fill)
        report.fills.append(fill)
        if position not in report.positions:
            report.positions.append(position)
        if closed:
            self._trim(position, report)

    def _trim(self, position: Position, report: Report) -> None:
        """Cut resting reduce-only orders to what is left of the position, and cancel those that it leaves nothing."""
        for order in list(self.open_orders.get(position.symbol, {}).values()):
            if not order.reduce_only or order.position_index != position.index or not order.open:
                continue
            left = max(ZERO, -position.size * order.side.sign)
            if order.leaves <= left:
                continue
            if left:
                order.quantity, order.updated_ms = order.filled + left, self._now_ms()
            else:
                self._end(order, Status.CANCELLED, "EC_Others", cancel_type="CancelByReduceOnly")
            report.orders.append(order)

    def _note(self, position: Position, now_ms: int, sequence: int) -> None:
        position.created_ms = position.created_ms or now_ms
        position.updated_ms, position.sequence = now_ms, sequence

    def _cancel(self, order: Order, reason: str) -> None:
        self._end(order, Status.CANCELLED, reason)

    def _end(self, order: Order, status: Status, reason: str, *, cancel_type: str = "UNKNOWN") -> None:
        order.status = status
        order.reject_reason, order.cancel_type, order.updated_ms = reason, cancel_type, self._now_ms()
        self.open_orders.get(order.symbol, {}).pop(order.order_id, None)
        self.conditionals.remove(order)

    def _forget_oldest(self) -> None:
        for order_id, order in self.orders.items():
            if not order.open:
                del self.orders[order_id]
                if self._by_link.get(order.link_id) is order:
                    del self._by_link[order.link_id]
                return
