"""What protects a run, whatever else fails: nobody else on the account, the kill switch, the heartbeat.

All of it is there before the first order: made first, let go of last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from quietcore.config import ORDERING_MODES, RuntimeConfig
from quietcore.errors import QuietcoreError
from quietcore.execution import exclusive, heartbeat
from quietcore.execution.heartbeat import Heartbeat
from quietcore.execution.kill_keeper import KillKeeper
from quietcore.execution.kill_switch import KillSwitch
from quietcore.execution.process import Warn
from quietcore.execution.reserve import Reserve
from quietcore.observe import status as status_file

AGAIN_SECONDS = 1.0
REST_MOST_SECONDS = 30.0
NO_HEARTBEAT = "no heartbeat"


class Protections:
    """Claims, kill switch and heartbeat of one run; `claim`, `start`, `arm`, `beat` until `end`.

    ``key``: the account's. ``off``, ``on`` and ``open_orders``: see `KillKeeper`.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        key: str,
        status_path: Path | None,
        warn: Warn,
        *,
        off: Callable[[], None],
        on: Callable[[], None],
        open_orders: Callable[[], int | None],
    ) -> None:
        self.heart: Heartbeat | None = None
        self._mode, self._venue, self._key = config.mode, config.venue, key
        self._status_path = status_path
        self._heart_path = None if status_path is None else status_path.parent / "heartbeat"
        self._warn = warn
        self._noted = ""  # the kill that the heartbeat's file is to keep
        self._trouble = ""  # why there is no beat
        self._again = 0.0
        self._remade = 0
        self._held: list[object] = []
        self.keeper = KillKeeper(
            KillSwitch(Path(config.kill_file)),
            warn,
            off=off,
            on=on,
            open_orders=open_orders,
            note=self._note,
            reserve=Reserve(),
            spare=config.mode in ORDERING_MODES,
        )

    def claim(self) -> None:
        """Keep account and status folder for this run. Raises QuietcoreError where another run has them."""
        if self._status_path is not None:
            self._held.append(exclusive.claim_folder(self._status_path.parent, self._warn))
        if self._mode in ORDERING_MODES:
            account = exclusive.account_of(self._venue.name, self._mode, self._venue.rest, self._key)
            self._held.append(exclusive.claim_account("runtime", account, self._warn))

    def start(self) -> None:
        """Begin to listen for a kill; one that was given before is in force when this returns."""
        self.keeper.start("" if self._heart_path is None else heartbeat.killed(self._heart_path))

    def arm(self) -> None:
        """Make the heartbeat. Raises QuietcoreError in mode live: real orders that no guard can look after."""
        if self._heart_path is None:
            return
        try:
            self.heart = Heartbeat(self._heart_path, self._noted)
        except QuietcoreError as error:
            if self._mode == "live":
                raise
            self._trouble = str(error)
            self._warn(self._trouble)

    def beat(self) -> None:
        """Say that this run lives. Without a heartbeat that was there before, nothing is ordered until it is back."""
        if self._heart_path is None:
            return
        try:
            if self.heart is None:
                if time.monotonic() < self._again:
                    return
                self._again = time.monotonic() + AGAIN_SECONDS
                self.heart = Heartbeat(self._heart_path, self._noted)
            self.heart.beat()
        except QuietcoreError as error:
            said, self._trouble = self._trouble, str(error)
            if self.heart is not None and self._mode in ORDERING_MODES:
                self.keeper.hold(NO_HEARTBEAT, f"no guard can look after them: {error}")
            elif not said:
                self._warn(self._trouble)
            return
        if self._trouble:
            self._trouble = ""
            self.keeper.release(NO_HEARTBEAT)
            self._warn("heartbeat is written again")
        elif self.heart.remade != self._remade:
            self._warn(f"{self._heart_path} was gone, or not this run's: made again")
        self._remade = self.heart.remade

    def end(self, *, in_good_order: bool) -> None:
        """Let go; ``in_good_order``: nothing is open, so that the guard need not look after it."""
        self.keeper.stop()
        if self.heart is not None and in_good_order:
            self.heart.end()

    async def let_the_dead_rest(self, request_lifetime: float) -> None:
        """Wait until no request of an earlier run, which died, can arrive any more."""
        if self._status_path is None:
            return
        try:
            last = status_file.read(self._status_path)
            written, final = float(last["written"]), bool(last["final"])
        except (QuietcoreError, KeyError, TypeError, ValueError):
            return
        wait = written + status_file.PERIOD_SECONDS + request_lifetime - time.time()
        if not final and 0 < wait < REST_MOST_SECONDS:
            self._warn(f"the last run died: waiting {wait:.1f} s until nothing of it can arrive")
            await asyncio.sleep(wait)

    def _note(self, reason: str) -> bool:
        self._noted = reason
        return self.heart is not None and self.heart.mark(reason)
