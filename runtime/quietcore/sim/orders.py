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

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"


@dataclass
class Order:
    """One order. `price` is None for a market order; times are venue ms."""

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

    @property
    def leaves(self) -> Decimal:
        """Quantity that may still fill."""
        return self.quantity - self.filled if self.open else ZERO

    @property
    def open(self) -> bool:
        """Whether it may still fill."""
        return self.status in (Status.NEW, Status.PARTIALLY_FILLED)

    @property
    def average(self) -> Decimal | None:
        """Average price of its fills."""
        return self.value / self.filled if self.filled else None


@dataclass
class Fill:
    """One execution; `closed` is the part that reduced the position."""

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


@dataclass
class Position:
    """One-way position of a symbol: `size` is negative when short."""

    symbol: str
    size: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO

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
    positions: dict[str, Position] = field(default_factory=dict)

    def position(self, symbol: str) -> Position:
        """Return the symbol's position, flat where there was none."""
        return self.positions.setdefault(symbol, Position(symbol))

    def equity(self) -> Decimal:
        """Balance with what was realised and paid."""
        moves = sum((one.realised - one.fees for one in self.positions.values()), ZERO)
        return self.balance + moves

    def margin(self) -> Decimal:
        """Margin that open positions hold."""
        return sum((abs(one.size) * one.entry for one in self.positions.values()), ZERO) / self.leverage
