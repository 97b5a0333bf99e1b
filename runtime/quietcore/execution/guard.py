"""The dead man's switch: when the runtime's heartbeat stops, everything is cancelled.

It is a process of its own with a connection of its own, and needs nothing of the runtime but the sign of life.
An order that was on its way when the runtime died may still arrive: so the sweep goes on until nothing is open *and*
the venue would refuse every request that the dead process can have sent. And a runtime whose sign of life is lost may
not be dead: so it goes on looking, and cancels again what a runtime of ours has open without one.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass

from quietcore.errors import QuietcoreError
from quietcore.execution.client_ids import is_ours
from quietcore.execution.process import Warn
from quietcore.execution.reserve import Reserve
from quietcore.venues.interface import Nature, OrderVenue, RefusedError, UncertainError

POLL_SECONDS = 0.05
SWEEP_FIRST_SECONDS = 0.1
SWEEP_MOST_SECONDS = 1.0
LIFETIME_MARGIN_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0
PROVE_FIRST_SECONDS, PROVE_MOST_SECONDS = 0.5, 30.0
PROVE_REFUSED_MOST = 3
REPORT_AGAIN_SECONDS = 1.0
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

    Args:
        venue: where it cancels.
        pulse: looks at the sign of life.
        say: takes one line.
        report: gets state and counts by name, at the start of the watch and whenever one has changed; where it raises
            QuietcoreError, it is asked again until it does not.
        why: says in a few words why the pulse is as it is, for a message.
        reserve: descriptors to let go of when it fires.
    """

    def __init__(
        self,
        venue: OrderVenue,
        pulse: Callable[[], Pulse],
        say: Warn,
        report: Callable[[dict[str, int]], None] = lambda state: None,
        *,
        why: Callable[[], str] = lambda: "",
        reserve: Reserve | None = None,
    ) -> None:
        self.counts = GuardCounts()
        self.armed = False
        self.needed = False  # a runtime is alive, or has stopped and not everything of it is cancelled
        self.done = False  # after firing: nothing is open, nothing can arrive
        self._venue, self._pulse, self._say, self._report = venue, pulse, say, report
        self._why, self._reserve = why, reserve
        self._reported: dict[str, int] = {}
        self._report_problem = ""
        self._report_at = 0.0
        self._look_at = 0.0
        self._look_failed = False
        self._resume_at = 0.0  # until then the venue wants no request

    async def watch(self, stop: asyncio.Event) -> None:
        """Watch until told to stop; fire each time the pulse stops, and at the start where there is none."""
        while not stop.is_set():
            pulse = self._pulse()
            if pulse is Pulse.ALIVE:
                if not self.armed:
                    self._say("runtime is alive: armed")
                    if self._reserve is not None:
                        self._reserve.fill()
                self.armed, self.needed, self.done = True, True, False
            elif pulse is Pulse.ENDED:
                if self.armed:
                    self._say("runtime ended in good order: not armed")
                self.armed, self.needed, self.done = False, False, True
                await self._look_again()
            elif not self.done:
                await self.fire(stop)
                self._look_at = asyncio.get_running_loop().time() + LOOK_AGAIN_SECONDS
            else:
                await self._look_again()
            self._tell()
            await _wait(stop, POLL_SECONDS)

    async def fire(self, stop: asyncio.Event | None = None) -> None:
        """Cancel everything until nothing is open and nothing can arrive, the runtime is back, or ``stop`` is set."""
        self.counts.fired += 1
        self.armed = False
        self._tell()
        if self._reserve is not None:
            self._reserve.release()
        why = self._why()
        self._say("runtime's heartbeat has stopped: cancelling everything" + (f" ({why})" if why else ""))
        loop = asyncio.get_running_loop()
        until = loop.time() + self._venue.request_lifetime + LIFETIME_MARGIN_SECONDS
        delay = SWEEP_FIRST_SECONDS
        while True:
            # In a pause that the venue asked for, it goes on looking for the runtime.
            clean_at = await self._sweep() if loop.time() >= self._resume_at else None
            self._tell()
            if clean_at is not None and clean_at >= until:
                break
            if self._pulse() is Pulse.ALIVE:
                self._say("runtime is back: it looks after its orders itself")
                return
            if stop is None:
                await asyncio.sleep(delay)
            else:
                await _wait(stop, delay)
                if stop.is_set():
                    self._say("stopped while cancelling: look at the venue for what is still open")
                    return
            delay = min(2 * delay, SWEEP_MOST_SECONDS)
        self.done, self.needed = True, False
        self._say(f"nothing is open any more ({self.counts.sweeps} sweeps)")

    async def _look_again(self) -> None:
        """Look for orders of a runtime of ours that shows no sign of life, every few seconds; they make it fire again.

        Orders that somebody placed by hand are let alone.
        """
        now = asyncio.get_running_loop().time()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_AGAIN_SECONDS
        try:
            found = [
                order for order in await self._venue.open_orders(EVERY_SYMBOL) if is_ours(order.client_id)
            ]
        except Exception as error:
            if not self._look_failed:
                self._say(
                    f"cannot see whether orders are open: {error}; again every {LOOK_AGAIN_SECONDS:g} s"
                )
            self._look_failed = True
            return
        if self._look_failed:
            self._look_failed = False
            self._say("sees again which orders are open")
        if found and self._pulse() is not Pulse.ALIVE:
            self._say(f"{len(found)} orders are open of a runtime without a heartbeat")
            self.done = False

    def _tell(self) -> None:
        state = {"armed": int(self.armed), "done": int(self.done), **asdict(self.counts)}
        now = asyncio.get_running_loop().time()
        if state == self._reported and not self._report_problem:
            return
        if self._report_problem and now < self._report_at:
            return
        self._reported = state
        problem = ""
        try:
            self._report(state)
        except QuietcoreError as error:
            problem = str(error)
            self._report_at = now + REPORT_AGAIN_SECONDS
        if problem != self._report_problem:
            self._say(problem or "its report is written again")
        self._report_problem = problem

    async def _sweep(self) -> float | None:
        """Cancel everything once; return when it was begun where nothing was open after it, else None."""
        began = asyncio.get_running_loop().time()
        self.counts.sweeps += 1
        try:
            await self._venue.cancel_all(EVERY_SYMBOL)
            still_open = await self._venue.open_orders(EVERY_SYMBOL)
        except (RefusedError, UncertainError) as error:
            self.counts.failures += 1
            self._resume_at = asyncio.get_running_loop().time() + error.trouble.wait
            self._say(f"venue did not do it: {error.trouble.line()}; again")
            return None
        except Exception as error:  # what nobody foresaw: this process is here to go on
            self.counts.failures += 1
            self._say(f"sweep failed: {error!r}; again")
            return None
        self.counts.found_open = max(self.counts.found_open, len(still_open))
        return None if still_open else began


async def prove(
    venue: OrderVenue, where: str, window: int, say: Warn, needed: Callable[[], bool] = lambda: False
) -> None:
    """See that the key may look, and arm the venue's own switch (``window`` seconds; 0: not); wait where it is away.

    A venue that cannot be reached now is no reason not to watch, and while the guard is ``needed`` nothing is: what is
    refused now may be taken when it counts. Raises RefusedError or UncertainError where it is not needed, and the venue
    refuses the key, the address or the clock, three times in a row.
    """
    delay = PROVE_FIRST_SECONDS
    said = False
    refused = 0
    while True:
        try:
            await venue.open_orders(EVERY_SYMBOL)
            break
        except UncertainError as error:
            trouble = error.trouble
            refused = refused + 1 if trouble.nature is Nature.ACCESS else 0
            if refused >= PROVE_REFUSED_MOST and not needed():
                raise
            if not said:
                said = True
                say(f"venue does not answer yet: {where}: {trouble.line()}; it watches, and goes on asking")
        await asyncio.sleep(max(delay, trouble.wait))
        delay = min(2 * delay, PROVE_MOST_SECONDS)
    if said:
        say("venue answers: it can cancel")
    quiet = False
    while window and not await arm_disconnect_cancel(venue, window, (lambda line: None) if quiet else say):
        quiet = True  # said once, tried on
        await asyncio.sleep(PROVE_MOST_SECONDS)


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
