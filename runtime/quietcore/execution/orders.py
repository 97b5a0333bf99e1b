"""The runtime's own orders: their states, their fills, and what they make of the position.

How much of an order is filled is the larger of two sums, each of which only grows: the venue's cumulative
quantity, and the executions, each counted once by (order id, execution id). So either channel may be late,
doubled, or lost for a while. What no execution explains yet is taken at the order's own price. Trades of orders
that are not this run's move the position too: the limits are about what the account holds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.execution.order_states import State, may_follow
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import BUY, POST_ONLY, SELL, Intent
from quietcore.venues.interface import Fate, Fill, OrderRequest, OrderUpdate, Position

KEPT_ORPHANS = 1024
KEPT_ORDERS = 16384  # an event of an older one counts as foreign
KEPT_FOREIGN = 65536  # executions


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
    doubtful: bool = False  # a time-out left it so; ends with the venue's first word on it
    heard: bool = False  # by the private stream
    assumed: bool = False  # it is final without the venue's word on the order itself
    missing_since: float | None = None  # the venue was asked, and knew no such order, since then
    cash: int = 0  # what its executions brought, ticks × lots
    charged: int = 0  # what the account was told of
    executions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def unknown(self) -> bool:
        """Whether nobody knows if it arrived."""
        return self.doubtful and not self.state.final

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
    reconciliations: int = 0
    corrections: int = 0  # of the position, where nothing else explained the venue's


@dataclass
class OrderLedger:
    """All orders of this run; tells the account what they came to."""

    run_id: str
    symbol: str
    tick: Step
    lot: Step
    account: Account
    arena: OrderArena | None = None
    version: int = 0  # raised by whatever changes a fill or a state
    counts: OrderCounts = field(default_factory=OrderCounts)
    orders: OrderedDict[str, Order] = field(default_factory=OrderedDict)
    _open: dict[str, Order] = field(default_factory=dict)
    _by_order_id: dict[str, Order] = field(default_factory=dict)
    _unnamed: set[str] = field(default_factory=set)  # open, without the venue's order id
    _orphans: OrderedDict[str, list[Fill]] = field(default_factory=OrderedDict)
    _foreign: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    def create(self, intent: Intent) -> Order:
        """Return a new order for an intent. Its client id follows from run and intent number alone."""
        order = Order(f"{self.run_id}-{intent.number}", intent)
        if order.client_id in self.orders:
            raise AssertionError(f"intent {intent.number} was taken twice")
        self.orders[order.client_id] = self._open[order.client_id] = order
        self._unnamed.add(order.client_id)
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
            post_only=bool(order.intent.flags & POST_ONLY),
        )

    def open(self) -> list[Order]:
        """Return the orders that are not final."""
        return list(self._open.values())

    def find(self, client_id: str, order_id: str) -> Order | None:
        """Return the order of either id, None where it is not this run's."""
        return self.orders.get(client_id) or self._by_order_id.get(order_id)

    # what happened

    def sent(self, order: Order) -> None:
        """The request is on its way."""
        self._move(order, State.SENT)
        self.counts.sent += 1

    def acknowledged(self, order: Order, order_id: str) -> None:
        """The venue accepted it. Fills may have come first, and it may be over already."""
        self._acknowledge(order)
        if order.state in (State.SENT, State.UNKNOWN):
            self._move(order, State.ACKNOWLEDGED)
        self._name(order, order_id)

    def rejected(self, order: Order, reason: str) -> None:
        """The venue refused it for certain."""
        order.reason = reason
        order.assumed = order.assumed or not order.state.final
        self._finish(order, State.REJECTED)

    def forgotten(self, order: Order) -> None:
        """The venue does not know it, for longer than a request can be on its way: it is over."""
        if order.state.final:
            return
        order.assumed = True
        if order.acknowledged or order.filled:
            order.reason = "the venue does not know it any more"
            self._finish(order, State.CANCELLED)
        else:
            order.reason = "never arrived"
            self._finish(order, State.REJECTED)

    def withheld(self, order: Order) -> None:
        """It was never sent."""
        order.reason = "withheld"
        self._finish(order, State.REJECTED, count=False)
        self.counts.withheld += 1

    def uncertain(self, order: Order, reason: str) -> None:
        """Nobody knows whether it arrived, unless the stream has told already."""
        self.counts.uncertain += 1
        if not order.acknowledged and not order.state.final:
            order.doubtful = True
            order.reason = reason
            if order.state is State.SENT:
                self._move(order, State.UNKNOWN)

    def cancelling(self, order: Order) -> None:
        """A cancel is wanted and will be asked for until the order is over."""
        order.cancel_wanted = True
        if not order.state.final:
            self._move(order, State.CANCELLING)

    def apply(self, update: OrderUpdate) -> Order | None:
        """Take the venue's view of an order; None where it is not ours."""
        order = self.find(update.client_id, update.order_id)
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
        else:
            self._progress(order)
        return order

    def fill(self, fill: Fill, *, repeated: bool = False) -> bool:
        """Take one execution; False where it was known, is not ours, or waits for its order's name.

        ``repeated``: it comes from a list of what may have been told already.
        """
        order = self.find(fill.client_id, fill.order_id)
        if order is None:
            # What is no ordinary trade is of no order of ours.
            if not fill.client_id and not fill.kind and self._unnamed:
                # It may belong to an order whose acknowledgement is still on its way.
                self._orphans.setdefault(fill.order_id, []).append(fill)
                while len(self._orphans) > KEPT_ORPHANS:
                    for orphan in self._orphans.popitem(last=False)[1]:
                        self._take_foreign(orphan)
            else:
                self._take_foreign(fill)
            return False
        key = (fill.order_id, fill.execution_id)
        if key in order.executions:
            self.counts.duplicate_fills += not repeated
            return False
        lots = self._lots(fill.quantity)
        if lots is None:
            return False
        order.executions.add(key)
        self.counts.fills += 1
        self._acknowledge(order)
        order.executed += lots
        order.cash += self._cash(fill, order.side, lots)
        self._name(order, fill.order_id)
        self._fill_up_to(order, order.executed)
        self._charge(order)
        if order.filled >= order.intent.size:
            self._finish(order, State.FILLED)
        else:
            self._progress(order)
        return True

    # what the venue holds

    def begin(self, position: Position, executions: list[Fill]) -> None:
        """Start from what the account holds; those executions are in it already."""
        for fill in executions:
            self._remember_foreign((fill.order_id, fill.execution_id))
        self._set_position(position)

    def agree(self, position: Position, executions: list[Fill]) -> int:
        """Take executions, some of them known, and the position they led to; return lots of difference, corrected."""
        for fill in executions:
            self.fill(fill, repeated=True)
        held = self._lots(abs(position.quantity)) or 0
        held = held if position.quantity >= 0 else -held
        difference = held - self.account.position
        if difference:
            self.counts.corrections += 1
            self._set_position(position)
        return difference

    def _set_position(self, position: Position) -> None:
        lots = self._lots(abs(position.quantity)) or 0
        change = (lots if position.quantity >= 0 else -lots) - self.account.position
        price = int((position.entry / self.tick.value).to_integral_value())
        if change:
            side = BUY if change > 0 else SELL
            self.account.filled(side, abs(change), outstanding=False, cash=-change * price)
        self.version += 1

    # inner

    def _acknowledge(self, order: Order) -> None:
        order.doubtful = False
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
        self._unnamed.discard(order.client_id)
        for fill in self._orphans.pop(order_id, []):
            self.fill(fill._replace(client_id=order.client_id))
        self._judge_orphans()

    def _judge_orphans(self) -> None:
        """What waited for a name, and finds nobody left who could have it, is not ours."""
        if self._unnamed:
            return
        while self._orphans:
            for fill in self._orphans.popitem(last=False)[1]:
                self._take_foreign(fill)

    def _take_foreign(self, fill: Fill) -> None:
        self.counts.foreign += 1
        lots = self._lots(fill.quantity)
        if fill.symbol != self.symbol or fill.buy is None or lots is None:
            return
        if self._remember_foreign((fill.order_id, fill.execution_id)):
            side = BUY if fill.buy else SELL
            self.account.filled(side, lots, outstanding=False, cash=self._cash(fill, side, lots))
            self.version += 1

    def _remember_foreign(self, key: tuple[str, str]) -> bool:
        if key in self._foreign:
            return False
        self._foreign[key] = None
        if len(self._foreign) > KEPT_FOREIGN:
            self._foreign.popitem(last=False)
        return True

    def _cash(self, fill: Fill, side: int, lots: int) -> int:
        """Return what an execution brought, less its fee, in ticks × lots."""
        price = int((fill.price / self.tick.value).to_integral_value())
        fee = int((fill.fee / (self.tick.value * self.lot.value)).to_integral_value(ROUND_CEILING))
        return -side * price * lots - fee

    def _fill_up_to(self, order: Order, filled: int) -> None:
        more = filled - order.filled
        if more > 0:
            order.filled = filled
            self.version += 1
            # Of a final order nothing is outstanding any more: the cancel and this fill crossed.
            outstanding = not order.state.final
            self.account.filled(order.side, more, outstanding=outstanding, cash=self._uncharged(order))

    def _uncharged(self, order: Order) -> int:
        """Return what the account has not been told of yet of an order's cost, and count it as told."""
        unexplained = max(0, order.filled - order.executed)
        target = order.cash - order.side * order.intent.price * unexplained
        change, order.charged = target - order.charged, target
        return change

    def _charge(self, order: Order) -> None:
        self.account.paid(self._uncharged(order))

    def _progress(self, order: Order) -> None:
        """Move an open order on, by what is known of it."""
        if order.state.final or order.state is State.CANCELLING:
            return
        if order.filled:
            self._move(order, State.PARTIALLY_FILLED)
        elif order.state in (State.SENT, State.UNKNOWN):
            self._move(order, State.ACKNOWLEDGED)

    def _move(self, order: Order, state: State) -> None:
        if not may_follow(order.state, state):
            raise AssertionError(f"order {order.client_id}: {order.state.value} → {state.value}")
        order.state = state
        self.version += 1

    def _finish(self, order: Order, state: State, *, count: bool = True) -> None:
        if order.state.final:
            return
        self._move(order, state)
        del self._open[order.client_id]
        self._unnamed.discard(order.client_id)
        if not count:
            pass
        elif state is State.FILLED:
            self.counts.filled += 1
        elif state is State.CANCELLED:
            self.counts.cancelled += 1
        else:
            self.counts.rejected += 1
        self.account.resolved(order.side, max(0, order.intent.size - order.filled))
        if self.arena is not None:
            self.arena.over(order.intent.slot)
        self._judge_orphans()
