"""The venue's rules for the words of an order request: what is possible, what is refused, with which code.

Source: bybit-exchange.github.io/docs/v5/order/create-order, /amend-order and /docs/v5/error, linear contracts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.sim.instruments import Instrument
from quietcore.sim.orders import Side, Trigger
from quietcore.sim.parameters import NOTHING, check_category
from quietcore.sim.refusal import Reject

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
LAST, MARK, INDEX = "LastPrice", "MarkPrice", "IndexPrice"


class Wanted(NamedTuple):
    """An order request, understood."""

    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    link_id: str
    reduce_only: bool
    position_index: int
    trigger: Trigger | None


def instrument_of(instruments: Mapping[str, Instrument], request: Mapping[str, Any]) -> Instrument:
    """Return the request's instrument; raise Reject."""
    check_category(request)
    instrument = instruments.get(str(request.get("symbol")))
    if instrument is None:
        raise Reject(10001, "params error: symbol invalid")
    return instrument


def wanted(instruments: Mapping[str, Instrument], request: Mapping[str, Any]) -> Wanted:
    """Read a create request; raise Reject."""
    instrument = instrument_of(instruments, request)
    try:
        side = Side(request.get("side"))
    except ValueError:
        raise Reject(10001, "params error: side invalid") from None
    kind = request.get("orderType")
    if kind not in ("Market", "Limit"):
        raise Reject(10001, "params error: orderType invalid")
    quantity = size(request.get("qty"), instrument)
    price = None
    force = str(request.get("timeInForce") or ("IOC" if kind == "Market" else "GTC"))
    if force == "RPI":
        raise Reject(110119, "Order failed. RPI orders are restricted to approved market makers only")
    if force not in TIMES_IN_FORCE:
        raise Reject(10001, "params error: timeInForce invalid")
    if kind == "Limit":
        price = price_of(request.get("price"), instrument)
    else:
        force = "IOC"
    link_id = str(request.get("orderLinkId") or "")
    if link_id and not LINK_ID.fullmatch(link_id):
        raise Reject(10001, "params error: orderLinkId invalid")
    reduce_only = _truth(request, "reduceOnly")
    trigger = None
    if request.get("triggerPrice") not in (*NOTHING, "0"):
        trigger = trigger_of(request, instrument)
    elif request.get("triggerDirection") not in (*NOTHING, 0, "0"):
        raise Reject(10001, "params error: triggerDirection without triggerPrice")
    return Wanted(
        *(instrument, side, quantity, price, force, link_id, reduce_only),
        *(position_index(request), trigger),
    )


def position_index(request: Mapping[str, Any]) -> int:
    """Return 0 (one-way), 1 (the long position of hedge mode) or 2 (the short one); raise Reject."""
    found = request.get("positionIdx")
    text = "0" if found in NOTHING else str(found)
    if text not in ("0", "1", "2"):
        raise Reject(10001, "params error: positionIdx invalid")
    return int(text)


def trigger_of(request: Mapping[str, Any], instrument: Instrument) -> Trigger:
    """Read what a conditional order waits for; raise Reject."""
    price = multiple(request.get("triggerPrice"), instrument.tick, "params error: triggerPrice invalid")
    direction = str(request.get("triggerDirection"))
    if direction not in ("1", "2"):
        raise Reject(10001, "params error: triggerDirection invalid")
    return Trigger(price, direction == "1", trigger_by(request))


def trigger_by(request: Mapping[str, Any], usual: str = LAST) -> str:
    """Read by which price a conditional order is triggered; raise Reject. The simulated market has no index."""
    found = request.get("triggerBy")
    if found in NOTHING:
        return usual
    if found == INDEX:
        raise Reject(10001, f"params error: triggerBy {INDEX} is not supported by this simulator")
    if found not in (LAST, MARK):
        raise Reject(10001, "params error: triggerBy invalid")
    return str(found)


def _truth(request: Mapping[str, Any], name: str) -> bool:
    found = request.get(name)
    if found in (*NOTHING, False, "false"):
        return False
    if found in (True, "true"):
        return True
    raise Reject(10001, f"params error: {name} invalid")


def price_of(value: object, instrument: Instrument) -> Decimal:
    """Read the price of a limit order; raise Reject."""
    price = multiple(value, instrument.tick, "params error: price invalid")
    if not instrument.lowest_price <= price <= instrument.highest_price:
        raise Reject(110003, "Order price exceeds the allowable range")
    return price


def size(value: object, instrument: Instrument) -> Decimal:
    """Read a quantity; raise Reject."""
    quantity = multiple(value, instrument.lot, "Qty invalid")
    if quantity > instrument.most:
        raise Reject(10001, "The number of contracts exceeds maximum limit allowed")
    return quantity


def multiple(value: object, step: Decimal, refusal: str) -> Decimal:
    """Read a positive multiple of `step`; raise Reject with the words of `refusal`."""
    if not isinstance(value, str) or not PLAIN.fullmatch(value):
        raise Reject(10001, refusal)
    number = Decimal(value)
    if number <= 0 or number % step:
        raise Reject(10001, refusal)
    return number
