"""What the venue has, and what the ledger thinks it has, brought to agreement before orders go out.

Position and executions are read until two readings of the executions around one of the position are alike, and until
nothing happened here meanwhile: then the three are of one moment. Nothing is taken from the private stream while this
runs, so what comes later is later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from quietcore.execution.orders import OrderLedger
from quietcore.execution.process import Warn
from quietcore.venues.interface import (
    Fill,
    NotUnderstood,
    OrderUpdate,
    OrderVenue,
    Position,
    RefusedError,
    UncertainError,
)

AGAIN_FIRST_SECONDS = 0.05
AGAIN_MOST_SECONDS = 2.0
# How far back executions are asked for, beyond the last agreement: clocks differ, and requests take their time.
MARGIN_MS = 30_000


class Moment(NamedTuple):
    """The venue's state at one moment."""

    position: Position
    executions: list[Fill]
    not_understood: list[NotUnderstood]
    open_orders: list[OrderUpdate]


class Reconciler:
    """Agreement of one ledger with one venue. ``now_ms``: UTC.

    ``refused`` hears why the venue did not tell, ``unknown`` of executions whose kind is not known here: what they
    moved is in the position.
    """

    def __init__(
        self,
        venue: OrderVenue,
        ledger: OrderLedger,
        warn: Warn,
        now_ms: Callable[[], int],
        refused: Callable[[RefusedError | UncertainError], object],
        unknown: Callable[[NotUnderstood], None],
    ) -> None:
        self._refused, self._unknown = refused, unknown
        self._venue, self._ledger, self._warn, self._now_ms = venue, ledger, warn, now_ms
        self._since_ms = now_ms() - MARGIN_MS
        self._begun = False

    async def run(self) -> list[OrderUpdate]:
        """Bring both to agreement, however long it takes; return the venue's open orders."""
        delay = AGAIN_FIRST_SECONDS
        while True:
            started_ms, wait = self._now_ms(), 0.0
            try:
                moment = await self._read()
            except (RefusedError, UncertainError) as error:
                self._refused(error)
                moment, wait = None, error.trouble.wait
            if moment is not None:
                break
            await asyncio.sleep(max(delay, wait))
            delay = min(2 * delay, AGAIN_MOST_SECONDS)
        self._take(moment)
        self._since_ms = started_ms - MARGIN_MS
        return moment.open_orders

    async def _read(self) -> Moment | None:
        """Return a moment, None where something happened while it was read."""
        symbol, before = self._ledger.symbol, self._ledger.version
        first = await self._venue.executions(symbol, self._since_ms)
        position = await self._venue.position(symbol)
        open_orders = await self._venue.open_orders(symbol)
        executions = await self._venue.executions(symbol, self._since_ms)
        if len(first) != len(executions) or self._ledger.version != before:
            return None
        fills = [one for one in executions if isinstance(one, Fill)]
        unknown = [one for one in executions if isinstance(one, NotUnderstood)]
        return Moment(position, fills, unknown, open_orders)

    def _take(self, moment: Moment) -> None:
        ledger = self._ledger
        ledger.counts.reconciliations += 1
        for one in moment.not_understood:
            self._unknown(one)
        if not self._begun:
            self._begun = True
            ledger.begin(moment.position, moment.executions)
            return
        difference = ledger.agree(moment.position, moment.executions)
        if difference:
            self._warn(
                f"position differed from the venue's by {ledger.lot.text(difference)} {ledger.symbol}: corrected"
            )
        for update in moment.open_orders:
            if update.client_id in ledger.orders:
                ledger.apply(update)
