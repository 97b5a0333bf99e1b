"""The dead man's switch: when the runtime's heartbeat stops, everything is cancelled.

It is a process of its own with a connection of its own, and needs nothing of the runtime but the sign of life.
An order that was on its way when the runtime died may still arrive: so the sweep goes on until nothing is open *and*
the venue would refuse every request that the dead process can have sent.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass

from quietcore.execution.process import Warn
from quietcore.venues.interface import OrderVenue, RefusedError, UncertainError

POLL_SECONDS = 0.05
SWEEP_FIRST_SECONDS = 0.1
SWEEP_MOST_SECONDS = 1.0
LIFETIME_MARGIN_SECONDS = 1.0
EVERY_SYMBOL = ""


class Pulse(enum.Enum):
    """What the sign of life says."""

    ALIVE = "alive"
    STOPPED = "stopped"
    ENDED = "ended in good order"


@dataclass
class GuardCounts:
    """What the guard has done."""

    fired: int = 0
    sweeps: int = 0
    failures: int = 0
    found_open: int = 0  # orders seen open while sweeping, the most at once


class Guard:
    """Watches a pulse. ``say`` takes one line for each thing that happens.

    ``report`` gets its state and counts by name, at the start of the watch and whenever one has changed.
    """

    def __init__(
        self,
        venue: OrderVenue,
        pulse: Callable[[], Pulse],
        say: Warn,
        report: Callable[[dict[str, int]], None] = lambda state: None,
    ) -> None:
        self.counts = GuardCounts()
        self.armed = False
        self.done = False  # after firing: nothing is open, nothing can arrive
        self._venue, self._pulse, self._say, self._report = venue, pulse, say, report
        self._reported: dict[str, int] = {}

    async def watch(self, stop: asyncio.Event) -> None:
        """Watch until told to stop; fire once each time the pulse stops, and at the start where there is none."""
        while not stop.is_set():
            pulse = self._pulse()
            if pulse is Pulse.ALIVE:
                if not self.armed:
                    self._say("runtime is alive: armed")
                self.armed, self.done = True, False
            elif pulse is Pulse.ENDED:
                if self.armed:
                    self._say("runtime ended in good order: not armed")
                self.armed, self.done = False, True
            elif not self.done:
                await self.fire()
            self._tell()
            await _wait(stop, POLL_SECONDS)

    async def fire(self) -> None:
        """Cancel everything until nothing is open and nothing can arrive, or the runtime is back."""
        self.counts.fired += 1
        self.armed = False
        self._tell()
        self._say("runtime's heartbeat has stopped: cancelling everything")
        loop = asyncio.get_running_loop()
        until = loop.time() + self._venue.request_lifetime + LIFETIME_MARGIN_SECONDS
        delay = SWEEP_FIRST_SECONDS
        while True:
            clean_at = await self._sweep()
            self._tell()
            if clean_at is not None and clean_at >= until:
                break
            if self._pulse() is Pulse.ALIVE:
                self._say("runtime is back: it looks after its orders itself")
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, SWEEP_MOST_SECONDS)
        self.done = True
        self._say(f"nothing is open any more ({self.counts.sweeps} sweeps)")

    def _tell(self) -> None:
        state = {"armed": int(self.armed), "done": int(self.done), **asdict(self.counts)}
        if state != self._reported:
            self._reported = state
            self._report(state)

    async def _sweep(self) -> float | None:
        """Cancel everything once; return when it was begun where nothing was open after it, else None."""
        began = asyncio.get_running_loop().time()
        self.counts.sweeps += 1
        try:
            await self._venue.cancel_all(EVERY_SYMBOL)
            still_open = await self._venue.open_orders(EVERY_SYMBOL)
        except (RefusedError, UncertainError) as error:
            self.counts.failures += 1
            self._say(f"venue did not do it: {error}; again")
            return None
        self.counts.found_open = max(self.counts.found_open, len(still_open))
        return None if still_open else began


async def arm_disconnect_cancel(venue: OrderVenue, seconds: int, say: Warn) -> bool:
    """Arm the venue's own switch; False, and a word why, where it has none for this account."""
    try:
        await venue.arm_disconnect_cancel(seconds)
    except (RefusedError, UncertainError) as error:
        say(f"venue's own cancel at disconnection is not armed: {error}")
        return False
    say(f"venue cancels everything when the private stream is gone for {seconds} s")
    return True


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
