"""The venue's rules for the words of an order request: what is possible, what is refused, with which code.

Source: bybit-exchange.github.io/docs/v5/order/create-order, /amend-order and /docs/v5/error, linear contracts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.sim.instruments import MAXIMUM_LOTS, Instrument
from quietcore.sim.orders import Side
from quietcore.sim.refusal import Reject

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")


class Wanted(NamedTuple):
    """An order request, understood."""

    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    link_id: str
    reduce_only: bool


def instrument_of(instruments: Mapping[str, Instrument], request: Mapping[str, Any]) -> Instrument:
    """Return the request's instrument; raise Reject."""
    if request.get("category") != "linear":
        raise Reject(10001, "params error: category only supports linear")
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
    if str(request.get("positionIdx", 0)) != "0":
        raise Reject(10001, "position idx not match position mode")
    quantity = size(request.get("qty"), instrument)
    price = None
    force = str(request.get("timeInForce") or ("IOC" if kind == "Market" else "GTC"))
    if kind == "Limit":
        price = multiple(request.get("price"), instrument.tick, "params error: price invalid")
        if force not in TIMES_IN_FORCE:
            raise Reject(10001, "params error: timeInForce invalid")
    else:
        force = "IOC"
    link_id = str(request.get("orderLinkId") or "")
    if link_id and not LINK_ID.fullmatch(link_id):
        raise Reject(10001, "params error: orderLinkId invalid")
    reduce_only = request.get("reduceOnly") in (True, "true")
    return Wanted(instrument, side, quantity, price, force, link_id, reduce_only)


def size(value: object, instrument: Instrument) -> Decimal:
    """Read a quantity; raise Reject."""
    quantity = multiple(value, instrument.lot, "Qty invalid")
    if quantity > instrument.lot * MAXIMUM_LOTS:
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
