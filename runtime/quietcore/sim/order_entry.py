"""What order requests do, whatever brought them: REST, WebSocket, or a call from the same process.

An answer says what the client is told, and holds what happens when it has been sent: by the venue's own words an
acknowledgement means accepted, all else comes on the private topics. `delivery` says how a fault changes that order.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quietcore.sim import parameters, rules
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.orders import Order
from quietcore.sim.parameters import check_category, one_of
from quietcore.sim.rate_limits import Quota, RateLimitedError, RateLimits
from quietcore.sim.refusal import Reject
from quietcore.sim.statistics import Statistics

BATCH_LIMIT = 20
NO_MARKET = 110118
MOST_CANCELLED = 500  # by one cancel-all

CREATE, AMEND, CANCEL = "create", "amend", "cancel"
CREATE_BATCH, AMEND_BATCH, CANCEL_BATCH = "create-batch", "amend-batch", "cancel-batch"
CANCEL_ALL = "cancel-all"
SINGLE_OF = {CREATE_BATCH: CREATE, AMEND_BATCH: AMEND, CANCEL_BATCH: CANCEL}
OPERATIONS = (CREATE, AMEND, CANCEL, *SINGLE_OF, CANCEL_ALL)
PARAMETERS = {
    CREATE: parameters.CREATE,
    AMEND: parameters.AMEND,
    CANCEL: parameters.CANCEL,
    CANCEL_ALL: parameters.CANCEL_ALL,
}


class Delivery(enum.Enum):
    """How an answer and what follows it reach the client."""

    NORMAL = enum.auto()
    EFFECTS_FIRST = enum.auto()  # the private stream is faster
    NEVER = enum.auto()  # it takes effect, no answer comes
    LOST = enum.auto()  # it never arrived, and the connection breaks
    DISCONNECT = enum.auto()  # it takes effect, connection and private streams break
    RESTART = enum.auto()  # as LOST, and every connection breaks
    EMPTY_RESTART = enum.auto()  # as RESTART, and everything is forgotten


LOSSES = (
    (Fault.LOST, Delivery.LOST),
    (Fault.RESTART, Delivery.RESTART),
    (Fault.EMPTY_RESTART, Delivery.EMPTY_RESTART),
)


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
        statistics: Statistics | None = None,
    ) -> None:
        self.key = key
        self._statistics = statistics or Statistics()
        self._exchange, self._limits, self._faults, self._tell = exchange, limits, faults, tell

    def perform(self, operation: str, request: Mapping[str, Any]) -> Answer:
        """Carry out one operation; a refusal is an answer too."""
        for fault, delivery in LOSSES:
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
                left_ms = self._faults.left_ms(Fault.RATE_LIMIT, self.key)
                raise RateLimitedError(self._limits.pause(operation, left_ms))
            quota = self._limits.charge(operation, cost)
            if operation == CANCEL_ALL:
                answer = self._cancel_all(request)
            elif single:
                assert isinstance(entries, list)
                parameters.BATCH.check(f"/v5/order/{operation}", request, self._statistics)
                check_category(request)
                answer = self._batch(single, entries)
            else:
                answer = self._single(operation, request)
        except RateLimitedError as error:
            self._statistics.refusal(error.code)
            return Answer(error.code, str(error), quota=error.quota)
        except Reject as reject:
            self._refused(reject, request)
            return Answer(reject.code, str(reject), quota=quota)
        answer.quota = quota
        answer.delivery = self._delivery(operation)
        return answer

    def effects(self, answer: Answer) -> None:
        """Let an answered request take effect."""
        for effect in answer.then:
            self._tell(effect())

    def _refused(self, reject: Reject, request: Mapping[str, Any]) -> None:
        self._statistics.refusal(reject.code)
        if reject.code == NO_MARKET:
            self._statistics.no_market(str(request.get("symbol")))

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
        if (known := PARAMETERS.get(operation)) is not None:
            known.check(f"/v5/order/{operation}", request, self._statistics)
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

    def _batch(self, operation: str, entries: list[dict[str, Any]]) -> Answer:
        results, codes, then = [], [], []
        for entry in entries:
            try:
                one = self._single(operation, {**entry, "category": parameters.CATEGORY})
            except Reject as reject:
                self._refused(reject, entry)
                results.append({"orderId": "", "orderLinkId": str(entry.get("orderLinkId") or "")})
                codes.append({"code": reject.code, "msg": str(reject)})
            else:
                results.append(one.result)
                codes.append({"code": 0, "msg": "OK"})
                then += one.then
            results[-1] |= {"category": parameters.CATEGORY, "symbol": str(entry.get("symbol") or "")}
            if operation == CREATE:
                results[-1] |= {"createAt": str(self._exchange.now_ms()) if not codes[-1]["code"] else ""}
        return Answer(result={"list": results}, extra={"list": codes}, then=then)

    def _cancel_all(self, request: Mapping[str, Any]) -> Answer:
        """Cancel by symbol, else by base coin, else by settlement coin; one of them is needed."""
        parameters.CANCEL_ALL.check("/v5/order/cancel-all", request, self._statistics)
        check_category(request)
        kind = one_of(request, "orderFilter", ("Order", "StopOrder"))
        if one_of(request, "stopOrderType", ("Stop",)) and kind != "StopOrder":
            raise Reject(10001, "params error: stopOrderType without orderFilter StopOrder")
        symbol, base, settle = (request.get(name) or None for name in ("symbol", "baseCoin", "settleCoin"))
        if symbol is not None:
            rules.instrument_of(self._exchange.instruments, request)
            base = settle = None
        elif base is not None:
            settle = None
        elif settle is None:
            raise Reject(10001, "params error: symbol, settleCoin or baseCoin is required")
        elif settle not in parameters.SETTLE_COINS:
            raise Reject(10001, "params error: settleCoin invalid")
        orders = [
            order
            for order in self._exchange.cancel_all(symbol, base_coin=base, settle_coin=settle)
            if not kind or (order.trigger is None) is (kind == "Order")
        ][:MOST_CANCELLED]
        rows = [{"orderId": order.order_id, "orderLinkId": order.link_id} for order in orders]
        return Answer(
            result={"list": rows, "success": "1"}, then=[self._cancelling(order) for order in orders]
        )
