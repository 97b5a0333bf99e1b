"""Executions that no order of the client's caused: the venue moves the position, or charges funding.

Source: bybit-exchange.github.io/docs/v5/enum, execType and createType. Such an execution has an order id, but no
orderLinkId, and stands in no list of orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from quietcore.sim.orders import ZERO, Fill, Order, Position, Side, Status
from quietcore.sim.refusal import Reject

FUNDING = "Funding"
CREATE_TYPES = {
    "Trade": "CreateByClosing",  # of an order given on the venue's own page
    "AdlTrade": "CreateByAdl_PassThrough",
    "BustTrade": "CreateByTakeOver_PassThrough",
    "Delivery": "CreateBySettle",
    "Settle": "CreateBySettle",
    "BlockTrade": "CreateByBlock_PassThrough",
    "MovePosition": "CreateByBlockTradeMovePosition_PassThrough",
    "FutureSpread": "CreateByFutureSpread",
    FUNDING: "",
}


class External(NamedTuple):
    """What shall be executed. `quantity`: of the contract; `fee`: in the settlement coin, for funding the charge."""

    kind: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal = ZERO
    position_index: int = 0

    def check(self) -> None:
        """Refuse a kind that the venue does not have; raise Reject."""
        if self.kind not in CREATE_TYPES:
            raise Reject(10001, f"execType {self.kind}: expected one of {', '.join(CREATE_TYPES)}")
        if self.quantity <= 0 or self.price <= 0:
            raise Reject(10001, "quantity and price must be positive")


def execute(wish: External, position: Position, prefix: int, number: int, now_ms: int) -> Fill:
    """Move the position by an execution of the venue's own and return it; funding moves nothing.

    Its ids are made of `prefix` and `number`, as those of orders and fills are.
    """
    order = Order(
        *(f"{prefix:08x}-0000-4000-a000-{number:012x}", "", wish.symbol, wish.side, wish.quantity),
        *(None, "IOC", False, now_ms, now_ms),
        status=Status.FILLED,
        filled=wish.quantity,
        value=wish.quantity * wish.price,
        fee=wish.fee,
        position_index=wish.position_index,
        create_type=CREATE_TYPES[wish.kind],
    )
    before = position.realised
    closed = ZERO
    if wish.kind != FUNDING:
        closed = position.fill(wish.side, wish.price, wish.quantity)
    position.fees += wish.fee
    return Fill(
        execution_id=f"{prefix:08x}-0000-4000-b000-{number:012x}",
        order=order,
        price=wish.price,
        quantity=wish.quantity,
        fee=wish.fee,
        fee_rate=wish.fee / (wish.price * wish.quantity),
        maker=False,
        closed=closed,
        leaves=ZERO,
        time_ms=now_ms,
        sequence=number,
        kind=wish.kind,
        pnl=position.realised - before,
    )
