"""What the gateway needs of a venue: orders out, their fate back."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol


class Endpoints(NamedTuple):
    """Where a venue is reached: scheme and host only; the venue's module adds its paths.

    ``order_websocket``: "" where orders go by REST alone. ``disconnect_cancel``: the venue shall take the end of the
    private stream for the end of this client, and cancel what it has.
    """

    rest: str
    private_websocket: str
    tls_ca: str = ""
    order_websocket: str = ""
    disconnect_cancel: bool = False


class Target(NamedTuple):
    """One kind of access to a host, and what is asked of it when it is measured.

    ``path``: of the request or of the stream; ``ping``: text that a stream answers.
    """

    kind: str  # "websocket" or "rest"
    host: str
    port: int
    tls: bool
    path: str
    ping: str = ""

    @property
    def url(self) -> str:
        """Scheme and host, with the port where it is not the scheme's own."""
        scheme = {"websocket": "ws", "rest": "http"}[self.kind] + ("s" if self.tls else "")
        port = "" if self.port == (443 if self.tls else 80) else f":{self.port}"
        return f"{scheme}://{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key with its secret; its text form hides both."""

    key: str = field(repr=False)
    secret: bytes = field(repr=False)


class Instrument(NamedTuple):
    """The venue's own rules for one symbol.

    ``status``: the venue's word for an instrument that does not trade normally, "" for one that does; ``price``: about
    what it trades at, 0 where the venue did not say.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    min_price: Decimal = Decimal(0)
    max_price: Decimal = Decimal("Infinity")
    max_post_only: Decimal = Decimal("Infinity")
    status: str = ""
    price: Decimal = Decimal(0)


class OrderRequest(NamedTuple):
    """A limit order as it goes out: decimals in plain notation."""

    client_id: str
    symbol: str
    buy: bool
    quantity: str
    price: str
    post_only: bool = False


class Fate(enum.Enum):
    """What the venue says of an order."""

    ACKNOWLEDGED = "acknowledged"  # accepted, not necessarily resting
    OPEN = "open"
    PARTIALLY_FILLED = "partially filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        """Whether nothing can come after it."""
        return self in (Fate.FILLED, Fate.CANCELLED, Fate.REJECTED)


class OrderUpdate(NamedTuple):
    """The venue's view of one order. ``filled``: cumulative quantity.

    ``listed``: False where the venue has executions of the order but shows the order itself nowhere.
    """

    client_id: str
    order_id: str
    fate: Fate
    filled: Decimal
    reason: str = ""
    listed: bool = True


class Fill(NamedTuple):
    """One execution, unique by (order_id, execution_id). Without ``client_id``: match by ``order_id``.

    ``fee`` is in the quote coin; ``symbol`` and ``buy`` tell what a trade of somebody else's order moved. ``kind``: the
    venue's word for an execution that is no ordinary trade (a liquidation, a delivery), "" for one that is.
    """

    client_id: str
    order_id: str
    execution_id: str
    quantity: Decimal
    price: Decimal
    symbol: str = ""
    buy: bool | None = None
    fee: Decimal = Decimal(0)
    kind: str = ""


class Position(NamedTuple):
    """What the venue holds of a symbol: negative when short, at the average price ``entry`` (0: flat)."""

    quantity: Decimal
    entry: Decimal


class NotUnderstood(NamedTuple):
    """Something on the private stream that this version cannot read. It may have changed an order or the position.

    ``what``: the field and its value, in the venue's words; the ids of its order and its symbol, "" where they cannot
    be read either. ``harmless``: what it tells of is an order, and moves no position.
    """

    what: str
    client_id: str = ""
    order_id: str = ""
    symbol: str = ""
    harmless: bool = False


class StreamUp(NamedTuple):
    """The private stream is authenticated and subscribed; what happened before it is not in it."""


class StreamDown(NamedTuple):
    """The private stream is lost, and being connected again. ``refused``: the venue does not want the key."""

    reason: str
    refused: bool = False
    remedy: str = ""


Event = OrderUpdate | Fill | NotUnderstood | StreamUp | StreamDown


class Sent(NamedTuple):
    """What came back. ``written_ns``: UTC ns when the request had been handed to the socket, 0: never."""

    order_id: str
    written_ns: int


class Nature(enum.Enum):
    """What a refusal says of the requests that come after it."""

    REQUEST = "this request alone"
    PASSING = "every request, for a while"
    ACCESS = "every request, until somebody mends it"


class Trouble(NamedTuple):
    """Why the venue did not do something.

    ``found``: the venue's own code and text; ``meaning`` and ``remedy``: ours, "" where there is none; ``wait``:
    seconds for which the venue wants no further request, counted from when it said so.
    """

    found: str
    meaning: str = ""
    nature: Nature = Nature.REQUEST
    remedy: str = ""
    wait: float = 0.0

    def line(self) -> str:
        """Return all of it as one line."""
        meaning = f" ({self.meaning})" if self.meaning else ""
        remedy = f"; remedy: {self.remedy}" if self.remedy else ""
        return f"{self.found}{meaning}{remedy}"


class RefusedError(Exception):
    """The venue refused a request for certain: it had no effect."""

    def __init__(self, code: int, text: str, written_ns: int = 0, trouble: Trouble | None = None) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.written_ns = written_ns
        self.trouble = trouble or Trouble(str(self))


class UncertainError(Exception):
    """Nobody knows whether the request had an effect: time-out, lost connection, the venue's own failure.

    Ask for the order; never send it again. A question that was refused is uncertain too: it says nothing of what it
    asked about. ``trouble`` then is the refusal.
    """

    def __init__(self, text: str, written_ns: int = 0, trouble: Trouble | None = None) -> None:
        super().__init__(text)
        self.written_ns = written_ns
        self.trouble = trouble or Trouble(text, nature=Nature.PASSING)


class OrderWays(NamedTuple):
    """How order requests went out. ``problem``: why none can go by the socket now, "" where that is as wished."""

    by_websocket: int = 0
    by_rest: int = 0
    problem: str = ""


class OrderVenue(Protocol):
    """A venue's order entry."""

    @property
    def name(self) -> str:
        """The venue's name in configurations."""

    @property
    def request_lifetime(self) -> float:
        """Seconds after which a request that has not arrived will be refused by the venue as too old."""

    async def open(self) -> None:
        """Open the session; raise QuietcoreError where the venue does not answer or refuses the key."""

    async def close(self) -> None:
        """Close everything."""

    async def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's rules."""

    async def place(self, order: OrderRequest) -> Sent:
        """Send an order. Raises RefusedError or UncertainError."""

    async def cancel(self, symbol: str, client_id: str) -> Sent:
        """Ask for a cancel. Raises RefusedError (also: no such open order) or UncertainError."""

    async def query(self, symbol: str, client_id: str) -> OrderUpdate | None:
        """Return the venue's view of an order, None where it knows none. Raises UncertainError.

        Every place where the venue may keep an order is looked at: the live ones, the history, the executions.
        """

    async def open_orders(self, symbol: str) -> list[OrderUpdate]:
        """Return every open order of the account in a symbol, "" for all of them. Raises UncertainError."""

    async def executions(self, symbol: str, since_ms: int) -> Sequence[Fill | NotUnderstood]:
        """Return every execution in a symbol since a venue time (UTC ms), oldest first. Raises UncertainError.

        One of a kind that is not known here is named: what it moved, the position tells.
        """

    async def position(self, symbol: str) -> Position:
        """Return the account's position in a symbol. Raises UncertainError, also where the account's mode has two."""

    async def cancel_all(self, symbol: str) -> None:
        """Ask for a cancel of every open order in a symbol, "" for all. Raises RefusedError or UncertainError."""

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        """Let the venue cancel everything when the private stream is gone for ``seconds``.

        Raises RefusedError where the account may not, UncertainError.
        """

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        """Go over to other hosts, make before break; return the seconds that it took, 0 where there are none.

        Raises QuietcoreError where one of them does not come up; what did come up is in use then, the rest as before.
        """

    def order_ways(self) -> OrderWays:
        """Return how order requests went out until now."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Yield the private stream's events, connecting again by itself, until closed."""
