"""Another runtime on the same account, where no claim on this host can know of it: on another host, for example.

What an earlier run left was cancelled when ledger and venue agreed, and what a dead run sent is refused once the
lifetime of a request is over. Orders of another run that are new after that are of one that lives. The later started
of the two ends; the other cancels its orders meanwhile, as those of a dead run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from quietcore.errors import QuietcoreError
from quietcore.execution.process import Warn

SIGNS = 3  # new orders; one or two may be a venue's own delay
KEPT_IDS = 64


class Rivals:
    """Counts orders of other runs. ``found`` hears of it where this run is the one to end."""

    def __init__(self, run_id: str, warn: Warn) -> None:
        self.found: Callable[[QuietcoreError], object] = lambda error: None
        self._run_id, self._warn = run_id, warn
        self._from: float | None = None
        self._ids: dict[str, set[str]] = {}
        self._said: set[str] = set()

    def begin(self, at: float) -> None:
        """Take orders of other runs for a sign of life from ``at`` on (loop time); the first call counts."""
        if self._from is None:
            self._from = at

    def met(self, client_id: str, now: float) -> None:
        """Note an open order of another run."""
        if self._from is None or now < self._from:
            return
        run = client_id.rpartition("-")[0]
        ids = self._ids.setdefault(run, set())
        if len(ids) < KEPT_IDS:
            ids.add(client_id)
        if len(ids) < SIGNS or run in self._said:
            return
        self._said.add(run)
        what = f"run {run}, started {started(run)}, which goes on sending orders"
        # Ids begin with the start in hexadecimal digits: what is greater is later.
        if self._run_id > run:
            self.found(
                QuietcoreError(
                    "another runtime has this account",
                    found=what,
                    expected="one runtime for an account",
                    remedy="end that one first, on whatever host it is, or give this one a key of its own",
                )
            )
        else:
            self._warn(f"another runtime trades on this account ({what}): its orders are being cancelled")


def started(run: str) -> str:
    """Return when a run began, by its id."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(run[1:9], 16)))
    except ValueError:
        return "nobody knows when"
