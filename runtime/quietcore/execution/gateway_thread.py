"""The gateway on an event loop of its own, and what the main thread's loop may ask of it.

The main thread keeps the signals, the status and the clocks of the watchers; nothing of that delays an order.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from dataclasses import asdict
from typing import Any, NamedTuple

from quietcore.bridge.segment import Segment
from quietcore.errors import QuietcoreError
from quietcore.execution.gateway import Gateway
from quietcore.execution.paper import PaperVenue
from quietcore.execution.process import Warn, make_room
from quietcore.execution.venue_loop import LoopSettings, VenueLoop
from quietcore.venues.interface import Instrument, OrderWays

# How long the main thread may keep the interpreter from the gateway, seconds. Python's own 5 ms would be the delay of
# an order.
SWITCH_SECONDS = 0.0002
COUNT_SECONDS = 0.2
STUCK_SECONDS = 0.3  # beyond what closing may take


class Figures(NamedTuple):
    """Of one moment."""

    orders: dict[str, int]  # counts by name, and ``open``
    open: list[str]  # client ids
    ways: OrderWays
    venue: dict[str, Any]  # what it refused, and what of it was out of the ordinary


class GatewayThread:
    """Awaitables are for the main thread's loop; they run in the gateway's."""

    def __init__(self, gateway: Gateway, settings: LoopSettings, warn: Warn) -> None:
        self.gateway = gateway
        # A gateway that polls for intents at each turn keeps its loop from sleeping.
        self.loop = VenueLoop(settings._replace(spin=False), warn)
        self._cpu, self._warn = settings.cpu, warn
        self._killed = False

    def start(self) -> None:
        """Start the thread, and make room for it on its core."""
        self.loop.start()
        if self.loop.pinned:
            make_room(self._cpu)
        sys.setswitchinterval(SWITCH_SECONDS)

    async def connect(self, symbol: str) -> Instrument:
        """Open the venue and return the symbol's rules there."""

        async def work() -> Instrument:
            await self.gateway.venue.open()
            return await self.gateway.venue.instrument(symbol)

        return await self.loop.do(work())

    async def open(self, seconds: float) -> None:
        """Bring the gateway up."""
        await self.loop.do(self.gateway.open(seconds))

    def trade(self) -> None:
        """Allow orders."""
        self.loop.tell(self.gateway.trade)

    def kill(self) -> None:
        """Send nothing any more, cancel everything; called in any thread."""
        self._killed = True
        self.loop.tell(self.gateway.sweep.kill)

    def clear(self) -> None:
        """Allow orders again; called in any thread."""
        self._killed = False

        def clear() -> None:
            if not self._killed:  # since then
                self.gateway.sweep.clear()

        self.loop.tell(clear)

    def open_count(self) -> int | None:
        """Return how many orders are open, None where the loop does not answer; for threads without a loop."""

        async def work() -> int:
            return len(self.gateway.ledger.open())

        try:
            asked = self.loop.submit(work())
        except QuietcoreError:
            return None
        try:
            return asked.result(COUNT_SECONDS)
        except (TimeoutError, concurrent.futures.CancelledError):
            asked.cancel()
            return None

    def follow(self, segment: Segment) -> None:
        """Let paper orders follow the feed to its new segment."""
        venue = self.gateway.venue
        if isinstance(venue, PaperVenue):
            self.loop.tell(lambda: venue.follow(segment))

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        """Go over to other hosts."""
        return await self.loop.do(self.gateway.venue.switch_endpoints(websocket, rest))

    async def answer(self) -> None:
        """Return when the loop has turned: what does not return is stuck."""

        async def work() -> None: ...

        await self.loop.do(work())

    async def figures(self) -> Figures:
        """Return what happened until now, of one moment."""

        async def work() -> Figures:
            return figures(self.gateway)

        return await self.loop.do(work())

    async def close(self, seconds: float) -> Figures:
        """Cancel what is open, end the loop, and return the last figures."""

        async def work() -> Figures:
            try:
                await self.gateway.close(seconds)
            finally:
                found = figures(self.gateway)
            return found

        try:
            async with asyncio.timeout(seconds + STUCK_SECONDS):
                return await self.loop.do(work())
        except TimeoutError:
            self._warn("the gateway's loop does not answer: something blocks it")
            return figures(self.gateway)
        except QuietcoreError as error:  # it has ended by itself
            self._warn(str(error))
            return figures(self.gateway)
        finally:
            self.loop.stop()


def figures(gateway: Gateway) -> Figures:
    """Return a gateway's figures; call it in the gateway's own loop, or where that is stuck."""
    ledger = gateway.ledger
    standing = [order.client_id for order in ledger.open()]
    counts: dict[str, Any] = {**asdict(ledger.counts), "open": len(standing)}
    return Figures(counts, standing, gateway.venue.order_ways(), gateway.standing.figures())
