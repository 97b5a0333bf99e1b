"""Lets the running gateway use the endpoints that the scouter elects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from quietcore.config import RuntimeConfig
from quietcore.errors import QuietcoreError
from quietcore.execution.process import Warn
from quietcore.scout import DynamicAPIScouter
from quietcore.venues.registry import targets_of_urls

AGAIN_SECONDS = 5.0

Switch = Callable[[str, str], Awaitable[float]]


def scouter_of(config: RuntimeConfig) -> DynamicAPIScouter:
    """Return the scouter that a configuration asks for."""
    venue, scout = config.venue, config.scout
    # A simulator is none of the venue's own hosts.
    near = [venue.private_websocket, venue.rest] if config.mode == "sim" else None
    return DynamicAPIScouter(
        scout.check_interval,
        scout.switch_interval,
        scout.top_n,
        config.mode == "testnet",
        venue=venue.name,
        region=scout.region,
        policy=scout.policy,
        targets=None if near is None else targets_of_urls(venue.name, near),
        tls_ca=venue.tls_ca,
        history=Path(scout.history) if scout.history else None,
    )


class EndpointFollower:
    """Measures on the loop that starts it. ``switch(websocket, rest)`` makes the gateway go over.

    ``pins``: the addresses that the gateway's connections go to; the elected ones are put there.
    """

    def __init__(self, scouter: DynamicAPIScouter, pins: dict[str, str], switch: Switch, warn: Warn) -> None:
        self.scouter = scouter
        self.switches = 0
        self.failures = 0
        self.took_ms = 0.0  # the last one
        self.in_use = ("", "")  # WebSocket and REST, as elected; "": as configured
        self._pins, self._switch, self._warn = pins, switch, warn
        self._elected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Measure and follow in the background; trading does not wait for it."""
        self._tasks = [asyncio.create_task(self._scout()), asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        """End both."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.scouter.stop()

    def figures(self) -> dict[str, Any]:
        """Return what the status shows."""
        websocket, rest = self.in_use
        return {
            "websocket": websocket,
            "rest": rest,
            "addresses": dict(self._pins),
            "rounds": self.scouter.rounds,
            "switches": self.switches,
            "failures": self.failures,
            "took_ms": self.took_ms,
        }

    async def _scout(self) -> None:
        self.scouter.set_endpoint_change_callback(lambda *_: self._elected.set())
        while True:
            try:
                await self.scouter.start()
                break
            except Exception as error:  # also what nobody foresaw: else nobody would measure any more
                self._warn(f"endpoints stay as configured: {described(error)}")
                await asyncio.sleep(self.scouter.check_interval)
        self._elected.set()

    async def _follow(self) -> None:
        while True:
            await self._elected.wait()
            self._elected.clear()
            wish = self.scouter.get_fastest_endpoints()
            # The addresses that new connections go to; those in use stay where they are.
            self._pins.update(self.scouter.pins)
            try:
                took = await self._switch(*wish)
            except (
                Exception
            ) as error:  # also what nobody foresaw: else no election would be followed any more
                self.failures += 1
                self._warn(f"elected endpoint is not taken: {described(error)}")
                self._elected.set()
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self.switches += 1
            self.took_ms, self.in_use = round(took * 1000, 3), wish


def described(error: Exception) -> str:
    """Return an error for a message: ours say it all, of others the kind matters."""
    return str(error) if isinstance(error, QuietcoreError) else repr(error)
