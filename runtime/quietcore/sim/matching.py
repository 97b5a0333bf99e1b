"""Takes orders and matches them against the replayed book: exact decimals, no network.

A taking order walks the book from the best price, at each level at most the size shown. A resting order fills
at its own price, as maker, for at most the size shown, when the opposite best price reaches it. Size that was
taken from a level is gone until the level changes. Queue position is not modelled. Rules and codes are those
of Bybit v5 linear (bybit-exchange.github.io/docs/v5/order/create-order, /docs/v5/error, /docs/v5/enum).
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from quietcore.sim.book import Book
from quietcore.sim.instruments import MAXIMUM_LOTS, MINIMUM_NOTIONAL, Instrument
from quietcore.sim.orders import ZERO, Fill, Order, Position, Side, Status, Wallet

TAKER_FEE = Decimal("0.00055")
MAKER_FEE = Decimal("0.0002")
LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
KEPT_ORDERS = 10_000


class Reject(Exception):  # noqa: N818 - an answer to a client
    """A request that the venue refuses: its code and its words."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass
class Report:
    """What one event did: fills in order, orders whose state changed, positions touched."""

    fills: list[Fill] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fills or self.orders)


class Exchange:
    """Orders, fills and positions of one account.

    `book` finds a symbol's current book, `now_ms` is the venue's clock. Ids are `prefix`, by default another
    one in each run, and a counter.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        book: Callable[[str], Book | None],
        now_ms: Callable[[], int],
        *,
        prefix: int | None = None,
    ) -> None:
        self.instruments = instruments
        self.wallet = Wallet()
        self.orders: dict[str, Order] = {}
        self.open_orders: dict[str, dict[str, Order]] = {}
        self.fills = 0
        self.accepted = 0
        self.rejected = 0
        self._by_link: dict[str, Order] = {}
        self._book = book
        self._now_ms = now_ms
        self._prefix = secrets.randbits(32) if prefix is None else prefix
        self._ids = itertools.count(1)
        self._taken: dict[tuple[str, Side, Decimal], tuple[Decimal, Decimal]] = {}

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
        levels = self._reachable(order)
        takes = order.time_in_force != "PostOnly"
        if levels and not takes:
            self._cancel(order, "EC_PostOnlyWillTakeLiquidity")
            return report
        if order.time_in_force == "FOK" and sum((size for _, size in levels), ZERO) < order.quantity:
            self._cancel(order, "EC_NoEnoughQtyToFill")
            return report
        for price, size in levels:
            if not order.open:
                break
            self._take(order, price, min(order.leaves, size))
            self._fill(order, price, min(order.leaves, size), report, maker=False)
        if order.open:
            if order.price is None or order.time_in_force in ("IOC", "FOK"):
                self._cancel(order, "EC_NoImmediateQtyToFill")
            else:
                self.open_orders.setdefault(order.symbol, {})[order.order_id] = order
        return report

    def cancel(self, request: Mapping[str, Any]) -> Order:
        """Find the open order of a cancel request; `cancelled` carries it out. Raises Reject."""
        self._instrument(request)
        order = self.find(request)
        if order is None or not order.open:
            raise Reject(110001, "order not exists or too late to cancel")
        return order

    def cancelled(self, order: Order) -> Report:
        """Cancel an order, unless it was done in the meantime."""
        if order.open:
            self._cancel(order, "EC_PerCancelRequest", cancel_type="CancelByUser")
            return Report(orders=[order])
        return Report()

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
        for order in list(resting.values()):
            assert order.price is not None
            for level, size in self._reachable(order, best_only=True):
                self._take(order, level, min(order.leaves, size))
                self._fill(order, order.price, min(order.leaves, size), report, maker=True)
                report.orders.append(order)
        return report

    # checks -------------------------------------------------------------------------------------------------
    def _instrument(self, request: Mapping[str, Any]) -> Instrument:
        if request.get("category") != "linear":
            raise Reject(10001, "params error: category only supports linear")
        instrument = self.instruments.get(str(request.get("symbol")))
        if instrument is None:
            raise Reject(10001, "params error: symbol invalid")
        return instrument

    def _checked(self, request: Mapping[str, Any]) -> Order:
        instrument = self._instrument(request)
        try:
            side = Side(request.get("side"))
        except ValueError:
            raise Reject(10001, "params error: side invalid") from None
        kind = request.get("orderType")
        if kind not in ("Market", "Limit"):
            raise Reject(10001, "params error: orderType invalid")
        if str(request.get("positionIdx", 0)) != "0":
            raise Reject(10001, "position idx not match position mode")
        quantity = self._multiple(request.get("qty"), instrument.lot, "Qty invalid")
        if quantity > instrument.lot * MAXIMUM_LOTS:
            raise Reject(10001, "The number of contracts exceeds maximum limit allowed")
        price = None
        force = str(request.get("timeInForce") or ("IOC" if kind == "Market" else "GTC"))
        if kind == "Limit":
            price = self._multiple(request.get("price"), instrument.tick, "params error: price invalid")
            if force not in TIMES_IN_FORCE:
                raise Reject(10001, "params error: timeInForce invalid")
        else:
            force = "IOC"
        link_id = str(request.get("orderLinkId") or "")
        if link_id and not LINK_ID.fullmatch(link_id):
            raise Reject(10001, "params error: orderLinkId invalid")
        if link_id in self._by_link:
            raise Reject(110072, "OrderLinkedID is duplicate")
        reduce_only = request.get("reduceOnly") in (True, "true")
        if reduce_only:
            quantity = self._reduction(instrument.symbol, side, quantity)
        else:
            self._affordable(instrument.symbol, side, quantity, price)
        now = self._now_ms()
        order_id = f"{self._prefix:08x}-0000-4000-8000-{next(self._ids):012x}"
        return Order(
            order_id, link_id, instrument.symbol, side, quantity, price, force, reduce_only, now, now
        )

    @staticmethod
    def _multiple(value: object, step: Decimal, refusal: str) -> Decimal:
        if not isinstance(value, str) or not PLAIN.fullmatch(value):
            raise Reject(10001, refusal)
        try:
            number = Decimal(value)
            if number <= 0 or number % step:
                raise Reject(10001, refusal)
        except InvalidOperation:
            raise Reject(10001, refusal) from None
        return number

    def _reduction(self, symbol: str, side: Side, quantity: Decimal) -> Decimal:
        position = self.wallet.position(symbol)
        if position.size * side.sign >= 0:
            raise Reject(110017, "current position is zero, cannot fix reduce-only order qty")
        return min(quantity, abs(position.size))

    def _affordable(self, symbol: str, side: Side, quantity: Decimal, price: Decimal | None) -> None:
        book = self._book(symbol)
        reference = price
        if reference is None and book is not None:
            best = (book.asks if side is Side.BUY else book.bids).best()
            reference = best[0] if best else None
        if reference is None:
            return
        notional = quantity * reference
        if notional < MINIMUM_NOTIONAL:
            raise Reject(110094, f"Order does not meet minimum order value {MINIMUM_NOTIONAL}USDT")
        resting = sum(
            (
                one.leaves * one.price
                for orders in self.open_orders.values()
                for one in orders.values()
                if one.price
            ),
            ZERO,
        )
        wallet = self.wallet
        if notional / wallet.leverage > wallet.equity() - wallet.margin() - resting / wallet.leverage:
            raise Reject(110007, "ab not enough for new order")

    # matching -----------------------------------------------------------------------------------------------
    def _reachable(self, order: Order, *, best_only: bool = False) -> list[tuple[Decimal, Decimal]]:
        """Return the (price, size) levels that the order may take now, best first."""
        book = self._book(order.symbol)
        if book is None:
            return []
        buys = order.side is Side.BUY
        opposite = book.asks if buys else book.bids
        best = opposite.best()
        if best is None or not self._reaches(order, best[0]):
            return []
        if best_only:
            levels = [best]
        else:
            levels, wanted = [], order.leaves
            for price, size in opposite.ladder():
                if wanted <= 0 or not self._reaches(order, price):
                    break
                levels.append((price, size))
                wanted -= self._left(order, price, size)
        free = [(price, self._left(order, price, size)) for price, size in levels]
        return [(price, size) for price, size in free if size > 0]

    @staticmethod
    def _reaches(order: Order, price: Decimal) -> bool:
        if order.price is None:
            return True
        return order.price >= price if order.side is Side.BUY else order.price <= price

    def _left(self, order: Order, price: Decimal, shown: Decimal) -> Decimal:
        seen, taken = self._taken.get((order.symbol, order.side, price), (shown, ZERO))
        return shown - taken if seen == shown else shown

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
        report.fills.append(
            Fill(
                f"{self._prefix:08x}-0000-4000-9000-{number:012x}",
                *(order, price, quantity, fee, rate, maker, closed, order.leaves, now, number),
            )
        )
        if position not in report.positions:
            report.positions.append(position)

    def _take(self, order: Order, price: Decimal, quantity: Decimal) -> None:
        """Remember what was taken from the opposite level at `price`, so that it is not given twice."""
        book = self._book(order.symbol)
        assert book is not None
        opposite = book.asks if order.side is Side.BUY else book.bids
        shown = opposite.size(price)
        key = (order.symbol, order.side, price)
        seen, taken = self._taken.get(key, (shown, ZERO))
        self._taken[key] = (shown, quantity + (taken if seen == shown else ZERO))
        if len(self._taken) > KEPT_ORDERS:
            self._taken.pop(next(iter(self._taken)))

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
