"""What order requests do, whatever brought them: REST, WebSocket, or a call from the same process.

An answer says what the client is told, and holds what happens when it has been sent: by the venue's own words an
acknowledgement means accepted, all else comes on the private topics. `delivery` says how a fault changes that order.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quietcore.sim import rules
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.orders import Order
from quietcore.sim.rate_limits import Quota, RateLimitedError, RateLimits
from quietcore.sim.refusal import Reject

BATCH_LIMIT = 20

CREATE, AMEND, CANCEL = "create", "amend", "cancel"
CREATE_BATCH, AMEND_BATCH, CANCEL_BATCH = "create-batch", "amend-batch", "cancel-batch"
CANCEL_ALL = "cancel-all"
SINGLE_OF = {CREATE_BATCH: CREATE, AMEND_BATCH: AMEND, CANCEL_BATCH: CANCEL}
OPERATIONS = (CREATE, AMEND, CANCEL, *SINGLE_OF, CANCEL_ALL)


class Delivery(enum.Enum):
    """How an answer and what follows it reach the client."""

    NORMAL = enum.auto()
    EFFECTS_FIRST = enum.auto()  # the private stream is faster
    NEVER = enum.auto()  # it takes effect, no answer comes
    LOST = enum.auto()  # it never arrived, and the connection breaks
    DISCONNECT = enum.auto()  # it takes effect, connection and private streams break
    RESTART = enum.auto()  # as LOST, and every connection breaks


@dataclass
class Answer:
    """One request's answer; `extra` is the venue's retExtInfo, `then` takes effect after it."""

    code: int = 0
    message: str = "OK"
    result: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    quota: Quota | None = None
    then: list[Callable[[], Report]] = field(default_factory=list)
    delivery: Delivery = Delivery.NORMAL


class OrderEntry:
    """Order requests of one account (`key`); `tell` takes the reports of what they did."""

    def __init__(
        self,
        key: str,
        exchange: Exchange,
        limits: RateLimits,
        faults: Faults,
        tell: Callable[[Report], None],
    ) -> None:
        self.key = key
        self._exchange, self._limits, self._faults, self._tell = exchange, limits, faults, tell

    def perform(self, operation: str, request: Mapping[str, Any]) -> Answer:
        """Carry out one operation; a refusal is an answer too."""
        for fault, delivery in ((Fault.LOST, Delivery.LOST), (Fault.RESTART, Delivery.RESTART)):
            if self._strikes(fault):
                return Answer(delivery=delivery)
        single = SINGLE_OF.get(operation)
        entries = request.get("request") if single else None
        quota = None
        try:
            if single and not (
                isinstance(entries, list)
                and 1 <= len(entries) <= BATCH_LIMIT
                and all(isinstance(one, dict) for one in entries)
            ):
                raise Reject(10001, f"params error: request must hold 1 to {BATCH_LIMIT} orders")
            cost = len(entries) if isinstance(entries, list) else 1
            if self._strikes(Fault.RATE_LIMIT):
                raise RateLimitedError(Quota(self._limits.rates.orders, 0, 0))
            quota = self._limits.charge(operation, cost)
            if operation == CANCEL_ALL:
                answer = self._cancel_all(request)
            elif single:
                assert isinstance(entries, list)
                answer = self._batch(single, str(request.get("category")), entries)
            else:
                answer = self._single(operation, request)
        except RateLimitedError as error:
            return Answer(error.code, str(error), quota=error.quota)
        except Reject as reject:
            return Answer(reject.code, str(reject), quota=quota)
        answer.quota = quota
        answer.delivery = self._delivery(operation)
        return answer

    def effects(self, answer: Answer) -> None:
        """Let an answered request take effect."""
        for effect in answer.then:
            self._tell(effect())

    def _strikes(self, fault: Fault) -> bool:
        return self._faults.strikes(fault, self.key)

    def _delivery(self, operation: str) -> Delivery:
        faults = [(Fault.TIMEOUT, Delivery.NEVER)]
        if operation in (CREATE, CREATE_BATCH):
            faults += [(Fault.FILL_FIRST, Delivery.EFFECTS_FIRST), (Fault.DISCONNECT, Delivery.DISCONNECT)]
        return next((delivery for fault, delivery in faults if self._strikes(fault)), Delivery.NORMAL)

    def _single(self, operation: str, request: Mapping[str, Any]) -> Answer:
        exchange = self._exchange
        effect: Callable[[], Report]
        if operation == CREATE:
            order = exchange.create(request)
            made = order

            def effect() -> Report:
                return exchange.activate(made)

        elif operation == AMEND:
            change = exchange.amend(request)
            order = change.order

            def effect() -> Report:
                return exchange.amended(change)

        elif operation == CANCEL:
            order = exchange.cancel(request)
            effect = self._cancelling(order)
        else:
            raise Reject(10001, f"params error: no operation {operation}")
        return Answer(result={"orderId": order.order_id, "orderLinkId": order.link_id}, then=[effect])

    def _cancelling(self, order: Order) -> Callable[[], Report]:
        exchange = self._exchange
        crossed = exchange.fill_now(order) if self._strikes(Fault.CANCEL_CROSSES) else None

        def effect() -> Report:
            # Told when the cancel was accepted: the fill was there first.
            return crossed if crossed is not None else exchange.cancelled(order)

        return effect

    def _batch(self, operation: str, category: str, entries: list[dict[str, Any]]) -> Answer:
        results, codes, then = [], [], []
        for entry in entries:
            try:
                one = self._single(operation, {"category": category, **entry})
            except Reject as reject:
                results.append({"orderId": "", "orderLinkId": str(entry.get("orderLinkId") or "")})
                codes.append({"code": reject.code, "msg": str(reject)})
            else:
                results.append(one.result)
                codes.append({"code": 0, "msg": "OK"})
                then += one.then
            results[-1] |= {"category": category, "symbol": str(entry.get("symbol") or "")}
        return Answer(result={"list": results}, extra={"list": codes}, then=then)

    def _cancel_all(self, request: Mapping[str, Any]) -> Answer:
        symbol = request.get("symbol") or None
        if symbol is not None:
            rules.instrument_of(self._exchange.instruments, request)
        elif request.get("category") != "linear":
            raise Reject(10001, "params error: category only supports linear")
        elif not (request.get("settleCoin") or request.get("baseCoin")):
            raise Reject(10001, "params error: symbol, settleCoin or baseCoin is required")
        orders = self._exchange.cancel_all(symbol)
        rows = [{"orderId": order.order_id, "orderLinkId": order.link_id} for order in orders]
        return Answer(
            result={"list": rows, "success": "1"}, then=[self._cancelling(order) for order in orders]
        )
