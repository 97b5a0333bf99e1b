"""When each frame is due: at recorded speed or a multiple, at a rate, or at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

YIELD_EVERY = 64


class Pacer:
    """Waits until a frame is due.

    `speed`: multiple of the recording's own pace; `rate`: messages per second instead; neither: flat out. A
    replay that fell behind (a slow reader) catches up without waiting: the pace is kept on the average, no
    frame is lost.
    """

    def __init__(
        self,
        *,
        speed: float | None = None,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        for name, value in (("speed", speed), ("rate", rate)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} {value}")
        self._speed = speed
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._started: float | None = None
        self._first_ns = 0
        self._count = 0

    def restart(self) -> None:
        """Begin anew with the next frame: the recording is replayed again."""
        self._started = None
        self._count = 0

    async def wait(self, at_ns: int) -> None:
        """Return when the next frame, recorded at `at_ns`, is due."""
        if self._started is None:
            self._started = self._clock()
            self._first_ns = at_ns
        count = self._count
        self._count += 1
        if self._rate is not None:
            due = count / self._rate
        elif self._speed is not None:
            due = (at_ns - self._first_ns) / 1e9 / self._speed
        else:
            due = 0.0
        early = self._started + due - self._clock() if due else 0.0
        if early > 0:
            await self._sleep(early)
        elif not count % YIELD_EVERY:
            await self._sleep(0)  # orders, pings and subscriptions get their turn
