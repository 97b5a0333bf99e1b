"""The runtime's own orders: their states, their fills, and what they make of the position.

How much of an order is filled is the larger of two sums, each of which only grows: the venue's cumulative
quantity, and the executions, each counted once by (order id, execution id). So either channel may be late,
doubled, or lost for a while.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal

from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.strategy.account import Account
from quietcore.strategy.intents import BUY, Intent
from quietcore.venues.interface import Fate, Fill, OrderRequest, OrderUpdate

KEPT_ORPHANS = 1024
KEPT_ORDERS = 16384  # an event of an older one counts as foreign


class State(enum.Enum):
    """Where an order stands."""

    NEW = "new"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    PARTIALLY_FILLED = "partially filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether nothing more is expected."""
        return self in (State.FILLED, State.CANCELLED, State.REJECTED)


FINAL_STATES = {Fate.FILLED: State.FILLED, Fate.CANCELLED: State.CANCELLED, Fate.REJECTED: State.REJECTED}


@dataclass(slots=True)
class Order:
    """One order. Sizes in lots, price in ticks."""

    client_id: str
    intent: Intent
    state: State = State.NEW
    order_id: str = ""
    filled: int = 0
    executed: int = 0
    acknowledged: bool = False
    cancel_wanted: bool = False
    reason: str = ""
    executions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def unknown(self) -> bool:
        """Whether nobody knows if it arrived."""
        return self.state is State.UNKNOWN

    @property
    def side(self) -> int:
        """BUY or SELL."""
        return self.intent.side


@dataclass(slots=True)
class OrderCounts:
    """Orders by what became of them. ``withheld``: emitted, but never sent, the runtime was stopping."""

    sent: int = 0
    acknowledged: int = 0
    rejected: int = 0
    filled: int = 0
    cancelled: int = 0
    withheld: int = 0
    uncertain: int = 0  # had to be asked about
    fills: int = 0
    duplicate_fills: int = 0
    foreign: int = 0  # events of orders that are not this run's
    not_understood: int = 0


@dataclass
class OrderLedger:
    """All orders of this run; tells the account what they came to."""

    run_id: str
    symbol: str
    tick: Step
    lot: Step
    account: Account
    counts: OrderCounts = field(default_factory=OrderCounts)
    orders: OrderedDict[str, Order] = field(default_factory=OrderedDict)
    _open: dict[str, Order] = field(default_factory=dict)
    _by_order_id: dict[str, Order] = field(default_factory=dict)
    _orphans: OrderedDict[str, list[Fill]] = field(default_factory=OrderedDict)

    def create(self, intent: Intent) -> Order:
        """Return a new order for an intent. Its client id follows from run and intent number alone."""
        order = Order(f"{self.run_id}-{intent.number}", intent)
        if order.client_id in self.orders:
            raise AssertionError(f"intent {intent.number} was taken twice")
        self.orders[order.client_id] = self._open[order.client_id] = order
        while len(self.orders) > KEPT_ORDERS:
            client_id, oldest = next(iter(self.orders.items()))
            if not oldest.state.final:
                break
            del self.orders[client_id]
            self._by_order_id.pop(oldest.order_id, None)
        return order

    def request(self, order: Order) -> OrderRequest:
        """Return the order as it goes out."""
        return OrderRequest(
            client_id=order.client_id,
            symbol=self.symbol,
            buy=order.side == BUY,
            quantity=self.lot.text(order.intent.size),
            price=self.tick.text(order.intent.price),
        )

    def open(self) -> list[Order]:
        """Return the orders that are not final."""
        return list(self._open.values())

    # what happened

    def sent(self, order: Order) -> None:
        """The request is on its way."""
        order.state = State.SENT
        self.counts.sent += 1

    def acknowledged(self, order: Order, order_id: str) -> None:
        """The venue accepted it. Fills may have come first, and it may be over already."""
        self._acknowledge(order)
        if order.state in (State.SENT, State.UNKNOWN):
            order.state = State.ACKNOWLEDGED
        self._name(order, order_id)

    def rejected(self, order: Order, reason: str) -> None:
        """The venue refused it for certain."""
        order.reason = reason
        self._finish(order, State.REJECTED)

    def withheld(self, order: Order) -> None:
        """It was never sent."""
        self.counts.withheld += 1
        order.reason = "withheld"
        order.state = State.REJECTED
        del self._open[order.client_id]
        self.account.resolved(order.side, order.intent.size)

    def uncertain(self, order: Order, reason: str) -> None:
        """Nobody knows whether it arrived."""
        self.counts.uncertain += 1
        if order.state is State.SENT:  # else the stream has told already
            order.state = State.UNKNOWN
            order.reason = reason

    def apply(self, update: OrderUpdate) -> Order | None:
        """Take the venue's view of an order; None where it is not ours."""
        order = self.orders.get(update.client_id) or self._by_order_id.get(update.order_id)
        if order is None:
            self.counts.foreign += 1
            return None
        if update.fate is not Fate.REJECTED:
            self._acknowledge(order)
        self._name(order, update.order_id)
        filled = self._lots(update.filled)
        if filled is not None:
            self._fill_up_to(order, filled)
        if update.fate.final:
            order.reason = order.reason or update.reason
            self._finish(order, FINAL_STATES[update.fate])
        elif not order.state.final:
            order.state = State.PARTIALLY_FILLED if order.filled else State.ACKNOWLEDGED
        return order

    def fill(self, fill: Fill) -> bool:
        """Take one execution; False where it was known, is not ours, or waits for its order's name."""
        order = self.orders.get(fill.client_id) or self._by_order_id.get(fill.order_id)
        if order is None:
            if not fill.client_id:
                # It may belong to an order whose acknowledgement is still on its way.
                self._orphans.setdefault(fill.order_id, []).append(fill)
                while len(self._orphans) > KEPT_ORPHANS:
                    self.counts.foreign += len(self._orphans.popitem(last=False)[1])
            else:
                self.counts.foreign += 1
            return False
        key = (fill.order_id, fill.execution_id)
        if key in order.executions:
            self.counts.duplicate_fills += 1
            return False
        lots = self._lots(fill.quantity)
        if lots is None:
            return False
        order.executions.add(key)
        self.counts.fills += 1
        self._acknowledge(order)
        order.executed += lots
        self._name(order, fill.order_id)
        self._fill_up_to(order, order.executed)
        if not order.state.final:
            if order.filled >= order.intent.size:
                self._finish(order, State.FILLED)
            else:
                order.state = State.PARTIALLY_FILLED
        return True

    # inner

    def _acknowledge(self, order: Order) -> None:
        if not order.acknowledged:
            order.acknowledged = True
            self.counts.acknowledged += 1

    def _lots(self, quantity: Decimal) -> int | None:
        try:
            lots = self.lot.steps(quantity, "quantity")
        except QuietcoreError:
            self.counts.not_understood += 1
            return None
        if lots < 0:
            self.counts.not_understood += 1
            return None
        return lots

    def _name(self, order: Order, order_id: str) -> None:
        if order.order_id or not order_id:
            return
        order.order_id = order_id
        self._by_order_id[order_id] = order
        for fill in self._orphans.pop(order_id, []):
            self.fill(fill._replace(client_id=order.client_id))

    def _fill_up_to(self, order: Order, filled: int) -> None:
        more = filled - order.filled
        if more > 0:
            order.filled = filled
            # Of a final order nothing is outstanding any more: the cancel and this fill crossed.
            self.account.filled(order.side, more, outstanding=not order.state.final)

    def _finish(self, order: Order, state: State) -> None:
        if order.state.final:
            return
        order.state = state
        del self._open[order.client_id]
        if state is State.FILLED:
            self.counts.filled += 1
        elif state is State.CANCELLED:
            self.counts.cancelled += 1
        else:
            self.counts.rejected += 1
        self.account.resolved(order.side, max(0, order.intent.size - order.filled))
