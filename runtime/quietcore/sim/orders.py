"""Orders, fills and positions as the simulated venue keeps them; exact decimals, no venue wording."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


class Side(enum.Enum):
    """Side of an order, as Bybit writes it."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class Status(enum.Enum):
    """State of an order, as Bybit writes it."""

    UNTRIGGERED = "Untriggered"  # a conditional order that waits for its price
    TRIGGERED = "Triggered"  # for a moment, between waiting and the book
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    DEACTIVATED = "Deactivated"  # cancelled before it was triggered
    REJECTED = "Rejected"


OPEN = frozenset({Status.UNTRIGGERED, Status.NEW, Status.PARTIALLY_FILLED})


@dataclass(frozen=True)
class Trigger:
    """What a conditional order waits for: `by` (LastPrice or MarkPrice) rising, or falling, to `price`."""

    price: Decimal
    rising: bool
    by: str

    def met(self, price: Decimal) -> bool:
        """Return whether the market at `price` triggers the order."""
        return price >= self.price if self.rising else price <= self.price


@dataclass
class Order:
    """One order. `price` is None for a market order; times are venue ms.

    `position_index`: 0 in one-way mode, 1 the long and 2 the short position in hedge mode. `archived`: it is final
    and only the history still has it.
    """

    order_id: str
    link_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    reduce_only: bool
    created_ms: int
    updated_ms: int
    status: Status = Status.NEW
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fee: Decimal = ZERO
    reject_reason: str = "EC_NoError"
    cancel_type: str = "UNKNOWN"
    ahead: Decimal = ZERO  # of others, at its price and before it
    position_index: int = 0
    trigger: Trigger | None = None
    last_price: Decimal | None = None  # when it was created
    create_type: str = "CreateByUser"
    archived: bool = False

    @property
    def leaves(self) -> Decimal:
        """Quantity that may still fill."""
        return self.quantity - self.filled if self.open else ZERO

    @property
    def open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN

    @property
    def average(self) -> Decimal | None:
        """Average price of its fills."""
        return self.value / self.filled if self.filled else None


@dataclass
class Fill:
    """One execution; `closed` is the part that reduced the position, `pnl` what that part realised.

    `kind` is the venue's execType; only a Trade is of an order that somebody sent.
    """

    execution_id: str
    order: Order
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_rate: Decimal
    maker: bool
    closed: Decimal
    leaves: Decimal
    time_ms: int
    sequence: int
    kind: str = "Trade"
    pnl: Decimal = ZERO
    mark: Decimal | None = None


@dataclass
class Position:
    """Position of a symbol: `size` is negative when short.

    `index`: 0 in one-way mode, 1 the long and 2 the short position in hedge mode. `sequence` -1: never traded.
    """

    symbol: str
    index: int = 0
    size: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    sequence: int = -1
    created_ms: int = 0
    updated_ms: int = 0

    def fill(self, side: Side, price: Decimal, quantity: Decimal) -> Decimal:
        """Apply a fill; return the part of it that reduced the position."""
        signed = quantity * side.sign
        closed = min(abs(self.size), quantity) if self.size * signed < 0 else ZERO
        if closed:
            self.realised += (price - self.entry) * closed * (1 if self.size > 0 else -1)
        opened = quantity - closed
        size = self.size + signed
        if opened:
            held = abs(self.size) - closed
            self.entry = (self.entry * held + price * opened) / (held + opened)
        elif not size:
            self.entry = ZERO
        self.size = size
        return closed


@dataclass
class Wallet:
    """Settlement coin of the account; margin is a tenth of the notional."""

    balance: Decimal = Decimal(1_000_000)
    leverage: Decimal = Decimal(10)
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)  # by symbol and index

    def position(self, symbol: str, index: int = 0) -> Position:
        """Return the symbol's position, flat where there was none."""
        return self.positions.setdefault((symbol, index), Position(symbol, index))

    def net(self, symbol: str) -> Decimal:
        """Return what all positions of a symbol come to."""
        return sum((one.size for one in self.positions.values() if one.symbol == symbol), ZERO)

    def equity(self) -> Decimal:
        """Balance with what was realised and paid."""
        moves = sum((one.realised - one.fees for one in self.positions.values()), ZERO)
        return self.balance + moves

    def margin(self) -> Decimal:
        """Margin that open positions hold."""
        return sum((abs(one.size) * one.entry for one in self.positions.values()), ZERO) / self.leverage
