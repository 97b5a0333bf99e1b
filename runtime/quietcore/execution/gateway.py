"""The gateway: takes intents, sends orders, hears of their fate or asks for it, cancels at the end.

It sends nothing before its ledger agrees with the venue, after every connection of the private stream. An order is
sent once: what became of a request that was not answered is asked for until somebody knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.client_ids import is_ours
from quietcore.execution.orders import Order, OrderLedger
from quietcore.execution.process import Warn
from quietcore.execution.reconciliation import Reconciler
from quietcore.histogram import Histogram
from quietcore.strategy.account import Account
from quietcore.strategy.intents import PLACE, Intent, IntentRing
from quietcore.venues.interface import (
    Event,
    Fill,
    OrderUpdate,
    OrderVenue,
    RefusedError,
    StreamDown,
    StreamUp,
    UncertainError,
)

ASK_FIRST_SECONDS = 0.05
ASK_MOST_SECONDS = 1.0
# Beyond the venue's own lifetime of a request: then an order it does not know never arrived.
LIFETIME_MARGIN_SECONDS = 1.0
LISTEN_AGAIN_SECONDS = 1.0
TURN = 64  # intents taken before others get the loop


def wall_ms() -> int:
    """Return UTC in ms."""
    return time.time_ns() // 1_000_000


class Gateway:
    """Runs on the main thread's loop. ``open``, ``run`` until stopped, ``close``."""

    def __init__(
        self,
        venue: OrderVenue,
        ledger: OrderLedger,
        intents: IntentRing,
        account: Account,
        *,
        spin: bool,
        warn: Warn,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.venue = venue
        self.ledger = ledger
        self.signal_sent = Histogram()
        self.stream_losses = 0
        self._intents, self._account = intents, account
        self._spin, self._warn = spin, warn
        self._event = -1 if spin else os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: asyncio.Task[None] | None = None
        self._stream_up = asyncio.Event()
        self._refused = asyncio.Event()
        self._agreed = asyncio.Event()
        self._reconciler = Reconciler(venue, ledger, warn, now_ms)
        self._sweeping: asyncio.Task[None] | None = None
        self._foreign_cancels: set[str] = set()
        self._trading = False
        self._stopping = False
        self._last_refusal = ""

    @property
    def event(self) -> int:
        """The eventfd that wakes this gateway, -1 where it polls."""
        return self._event

    # life

    async def open(self, seconds: float) -> None:
        """Connect the private stream, agree with the venue, and begin to take intents; raise where not in time."""
        self._stream = asyncio.create_task(self._keep_listening())
        waits = [asyncio.create_task(event.wait()) for event in (self._agreed, self._refused)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._stream_up.is_set() and not self._agreed.is_set():
            raise QuietcoreError(
                "the venue does not tell position, executions and open orders",
                where=self.venue.name,
                found=f"nothing certain within {seconds:g} s",
                remedy="check venue.rest and what the key may read",
                code=ExitCode.UNKNOWN,
            )
        if not self._agreed.is_set():
            raise QuietcoreError(
                "private stream does not come up",
                where=self.venue.name,
                found=self._last_refusal or f"nothing within {seconds:g} s",
                remedy="check venue.private_websocket, the key, and this host's clock",
                code=ExitCode.UNKNOWN,
            )
        loop = asyncio.get_running_loop()
        if self._spin:
            loop.call_soon(self._poll)
        else:
            loop.add_reader(self._event, self._woken)

    def trade(self) -> None:
        """Allow orders from now on, whenever the private stream is up and the ledger agrees with the venue."""
        self._trading = True
        self._say_ready()

    async def close(self, seconds: float) -> None:
        """Send nothing new, take what is left in the ring, cancel what is open, wait at most ``seconds``.

        Call it when the loop has ended. Orders whose fate is still not known then are named in a warning.
        """
        self._stopping = True
        self._account.ready(False)
        if self._event >= 0:
            asyncio.get_running_loop().remove_reader(self._event)
        self._drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.ledger.open():
                    for order in self.ledger.open():
                        if not order.cancel_wanted:
                            self._start(self._cancel(order))
                    # Fates arrive by the stream; looking again is cheaper than missing one.
                    await asyncio.sleep(0.005)
        for order in self.ledger.open():
            standing = "unknown" if order.unknown else order.state.value
            self._warn(f"order {order.client_id} is {standing}: look at the venue before the next start")
        tasks = [*self._tasks] if self._stream is None else [*self._tasks, self._stream]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.venue.close()
        if self._event >= 0:
            os.close(self._event)
            self._event = -1

    # intents

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        self._drain()

    def _poll(self) -> None:
        if self._stopping:
            return
        self._drain(TURN)
        asyncio.get_running_loop().call_soon(self._poll)

    def _drain(self, most: int = 1 << 30) -> None:
        for _ in range(most):
            intent = self._intents.take()
            if intent is None:
                return
            self._take(intent)

    def _take(self, intent: Intent) -> None:
        if intent.kind == PLACE:
            order = self.ledger.create(intent)
            if self._stopping or self._account.is_killed or not self._agreed.is_set():
                self.ledger.withheld(order)
            else:
                self.ledger.sent(order)
                self._start(self._place(order))
        else:
            for order in self.ledger.open():
                if not order.cancel_wanted:
                    self._start(self._cancel(order))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._warn(f"gateway: {error!r}")

    # requests

    async def _place(self, order: Order) -> None:
        written_ns = 0
        try:
            sent = await self.venue.place(self.ledger.request(order))
            written_ns = sent.written_ns
            self.ledger.acknowledged(order, sent.order_id)
        except RefusedError as error:
            written_ns = error.written_ns
            self.ledger.rejected(order, str(error))
        except UncertainError as error:
            written_ns = error.written_ns
            self.ledger.uncertain(order, str(error))
        if written_ns:
            self.signal_sent.record(written_ns - order.intent.signal_ns)
        await self._settle(order)

    async def _cancel(self, order: Order) -> None:
        self.ledger.cancelling(order)
        delay = ASK_FIRST_SECONDS
        while not order.state.final:
            try:
                await self.venue.cancel(self.ledger.symbol, order.client_id)
            except (RefusedError, UncertainError):
                # Not there (any more, or yet), or unheard: the order's own state tells what to do.
                await self._ask(order)
            else:
                # Accepted; the fate comes by the stream. Not heard of: cancel again, which does no harm.
                await asyncio.sleep(delay)
                await self._ask(order)
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _ask(self, order: Order) -> bool:
        """Take the venue's view of an order; False where it gave none."""
        if order.state.final:
            return True
        try:
            update = await self.venue.query(self.ledger.symbol, order.client_id)
        except UncertainError:
            return False
        if update is None:
            return False
        self.ledger.apply(update)
        return True

    async def _settle(self, order: Order) -> None:
        """Ask about an order until somebody knows. It is never sent again.

        What the venue still does not know when the request's lifetime is over can no longer arrive.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.venue.request_lifetime + LIFETIME_MARGIN_SECONDS
        delay = ASK_FIRST_SECONDS
        while order.unknown:
            asked = loop.time()
            try:
                update = await self.venue.query(self.ledger.symbol, order.client_id)
            except UncertainError:
                pass
            else:
                if update is not None:
                    self.ledger.apply(update)
                    return
                if asked >= deadline and order.unknown:
                    self.ledger.rejected(order, "never arrived")
                    return
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    # the kill switch

    def kill(self) -> None:
        """Send nothing from now on, and cancel everything that is open in the symbol, until all of it is gone."""
        self._account.killed(True)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())
            self._tasks.add(self._sweeping)
            self._sweeping.add_done_callback(self._ended)

    def clear(self) -> None:
        """Allow orders again."""
        self._account.killed(False)

    async def _sweep(self) -> None:
        delay = ASK_FIRST_SECONDS
        while True:
            for order in self.ledger.open():
                if not order.cancel_wanted:
                    self._start(self._cancel(order))
            try:
                await self.venue.cancel_all(self.ledger.symbol)
                if not await self.venue.open_orders(self.ledger.symbol) and not self.ledger.open():
                    return
            except (RefusedError, UncertainError):
                pass
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    # fates

    async def _keep_listening(self) -> None:
        """Listen for ever: whatever ends it, no order may go out while nobody hears of its fate."""
        while True:
            try:
                async with contextlib.aclosing(self.venue.events()) as events:
                    await self._listen(events)
            except Exception as error:  # what nobody foresaw
                self._lost(repr(error))
            else:
                self._lost("it ended")
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    def _lost(self, reason: str) -> None:
        self._last_refusal = reason
        if not self._stream_up.is_set():
            return
        self.stream_losses += 1
        self._stream_up.clear()
        self._agreed.clear()
        self._say_ready()
        if not self._stopping:
            self._warn(f"private stream lost ({reason}): no orders until it is back")

    async def _listen(self, events: AsyncGenerator[Event, None]) -> None:
        async for event in events:
            if isinstance(event, Fill):
                self.ledger.fill(event)
            elif isinstance(event, OrderUpdate):
                if self.ledger.apply(event) is None:
                    self._meet(event)
            elif isinstance(event, StreamUp):
                self._stream_up.set()
                # What happened while the stream was down is not in it; what comes next waits until that is known.
                open_orders = await self._agree()
                listed = {update.client_id for update in open_orders}
                for order in self.ledger.open():
                    if order.client_id not in listed:
                        self._start(self._look(order))
                self._agreed.set()
                self._say_ready()
            elif isinstance(event, StreamDown):
                if event.refused:
                    self._refused.set()
                self._lost(event.reason)

    async def _look(self, order: Order) -> None:
        delay = ASK_FIRST_SECONDS
        while not await self._ask(order) and not order.unknown:
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _agree(self) -> list[OrderUpdate]:
        """Bring ledger and venue to agreement, with nothing open that earlier runs left; return what is open."""
        while True:
            open_orders = await self._reconciler.run()
            left = [
                update.client_id
                for update in open_orders
                if update.client_id not in self.ledger.orders and is_ours(update.client_id)
            ]
            if not left:
                return open_orders
            self._warn(f"{len(left)} orders of an earlier run are open: they are being cancelled")
            await asyncio.gather(*(self._cancel_foreign(client_id) for client_id in left))

    def _meet(self, update: OrderUpdate) -> None:
        """Cancel an order that an earlier run left, or that reached the venue after its run had died."""
        client_id = update.client_id
        if update.fate.final or not is_ours(client_id) or client_id in self._foreign_cancels:
            return
        self._foreign_cancels.add(client_id)
        self._warn(f"order {client_id} of an earlier run is open: it is being cancelled")
        self._start(self._cancel_foreign(client_id))

    async def _cancel_foreign(self, client_id: str) -> None:
        delay = ASK_FIRST_SECONDS
        while True:
            with contextlib.suppress(RefusedError, UncertainError):
                await self.venue.cancel(self.ledger.symbol, client_id)
            try:
                update = await self.venue.query(self.ledger.symbol, client_id)
            except UncertainError:
                pass
            else:
                if update is None or update.fate.final:
                    self._foreign_cancels.discard(client_id)
                    return
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    def _say_ready(self) -> None:
        self._account.ready(self._trading and self._agreed.is_set() and not self._stopping)
