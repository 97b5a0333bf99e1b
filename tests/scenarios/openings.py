"""Starts that must fail, and say why: the venue refuses them, or the account is not as the runtime needs it."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from tests.scenarios.server import SYMBOL, SimulatedVenue

from quietcore.sim.externals import External
from quietcore.sim.faults import Fault
from quietcore.sim.orders import Side

REFUSED_SECONDS = 120.0  # longer than a start waits
FOREIGN = "of-another-program"


class Opening(NamedTuple):
    """A fault that a start meets, and words of which each must stand in what the start says."""

    fault: Fault
    words: tuple[str, ...]

    def prepare(self, venue: SimulatedVenue) -> None:
        """Let the venue refuse."""
        if self.fault is Fault.ODD_STATUS:
            rest(venue, SYMBOL)
        venue.faults.arm(self.fault, seconds=REFUSED_SECONDS)


# The venue's own code, and what the remedy is about.
OPENINGS = (
    Opening(Fault.CLOCK_SKEW, ("10002", "clock")),
    Opening(Fault.WRONG_KEY, ("10003", "domain")),
    Opening(Fault.BAD_SIGNATURE, ("10004", "secret")),
    Opening(Fault.NO_PERMISSION, ("10005", "allow the key")),
    Opening(Fault.WRONG_ADDRESS, ("10010", "address")),
    Opening(Fault.EXPIRED_KEY, ("33004", "expired")),
    Opening(Fault.SERVER_ERROR, ("10016", "again")),
    Opening(Fault.BAD_GATEWAY, ("502", "again")),
    Opening(Fault.FORBIDDEN, ("403", "shut out")),
    Opening(Fault.ADDRESS_RATE, ("10018", "too many requests")),
    Opening(Fault.ODD_STATUS, ("Suspended", "orderStatus")),
)
HEDGE_WORDS = ("hedge mode", "one-way")


def rest(venue: SimulatedVenue, symbol: str) -> None:
    """Let an order of another program rest in the account."""
    words = {"category": "linear", "symbol": symbol, "side": "Buy", "orderType": "Limit", "qty": "0.01"}
    link = f"{FOREIGN}-{symbol}-{venue.now_ms()}"  # it may do so again
    order = venue.exchange.create({**words, "price": "950", "orderLinkId": link})
    venue.external_lots += order.quantity  # it may fill
    venue.tell(venue.exchange.activate(order))


def hedge(venue: SimulatedVenue) -> None:
    """Bring the account to hedge mode, with both sides held."""
    venue.exchange.switch_mode([SYMBOL], hedge=True)
    sides = [(Side.BUY, "0.5", 1), (Side.SELL, "0.2", 2)]
    venue.chance.shuffle(sides)
    for side, quantity, index in sides:
        wish = External("BlockTrade", SYMBOL, side, Decimal(quantity), Decimal(1000), position_index=index)
        venue.tell(venue.exchange.external(wish))
