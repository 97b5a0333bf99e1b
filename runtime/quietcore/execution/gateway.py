"""The gateway: takes intents, sends orders, hears of their fate or asks for it, cancels at the end.

It sends nothing before its ledger agrees with the venue: after every connection of the private stream, and after every
message of it that cannot be read. An order is sent once: what became of a request that was not answered is asked for
until somebody knows. A venue that refuses everything is not sent everything (`sending`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from quietcore.execution.leftovers import Leftovers
from quietcore.execution.orders import Order, OrderLedger
from quietcore.execution.process import Warn
from quietcore.execution.reconciliation import Reconciler
from quietcore.execution.standing import NO_CANCEL, Standing
from quietcore.execution.sweep import Sweep
from quietcore.histogram import Histogram
from quietcore.strategy.account import Account
from quietcore.strategy.intents import PLACE, Intent, IntentRing
from quietcore.venues.interface import (
    Event,
    Fill,
    Nature,
    NotUnderstood,
    OrderUpdate,
    OrderVenue,
    RefusedError,
    StreamDown,
    StreamUp,
    Trouble,
    UncertainError,
)

ASK_FIRST_SECONDS = 0.05
ASK_MOST_SECONDS = 1.0
# Beyond the venue's own lifetime of a request: then an order it does not know never arrived, or is forgotten.
LIFETIME_MARGIN_SECONDS = 1.0
LISTEN_AGAIN_SECONDS = 1.0
# An order that the venue took is told of by the private stream within this time, or the stream is mute.
WORD_SECONDS = 2.0
SUSPECT_SECONDS = 1.0  # within which the venue says what an order came to that was not told of
AGREE_AGAIN_SECONDS = 1.0  # between agreements that messages which cannot be read ask for
LOSSES_SAID = 8  # reasons of one outage of the private stream
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
        self._refused = asyncio.Event()  # the private stream does not want the key
        self._agreed = asyncio.Event()
        self._agreed_at = 0.0
        self.standing = Standing(venue, ledger.symbol, warn, self._say_ready, self._start)
        self._leftovers = Leftovers(venue, ledger, self.standing, warn, self._start)
        self.rivals = self._leftovers.rivals
        self.sweep = Sweep(venue, ledger, account, self.standing, warn, self._cancel_open, self._start)
        self._reconciler = Reconciler(
            venue, ledger, warn, now_ms, self.standing.unanswered, self._unknown_kind
        )
        self._listening: asyncio.Task[None] | None = None
        self._break = ""  # why the private stream is given up
        self._stream_number = 0
        self._losses_said: set[str] = set()
        self._trading = False
        self._stopping = False
        self._stream_trouble = Trouble("", nature=Nature.PASSING)

    @property
    def event(self) -> int:
        """The eventfd that wakes this gateway, -1 where it polls."""
        return self._event

    # life

    async def open(self, seconds: float) -> None:
        """Connect the private stream, agree with the venue, and begin to take intents; raise where not in time."""
        self._stream = asyncio.create_task(self._keep_listening())
        events = (self._agreed, self._refused, self.standing.access_refused)
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        # Agreed once is a start: a stream that is lost in this very moment is a loss like any later one.
        agreed = waits[0].done()
        for wait in waits:
            wait.cancel()
        if not agreed:
            up = self._stream_up.is_set()
            raise await self.standing.not_opened(seconds, stream_up=up, stream=self._stream_trouble)
        loop = asyncio.get_running_loop()
        if self._spin:
            loop.call_soon(self._poll)
        else:
            loop.add_reader(self._event, self._woken)

    def trade(self) -> None:
        """Allow orders from now on, whenever the private stream is up and the ledger agrees with the venue."""
        self._trading = self.standing.trading = True
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
                    self._cancel_open()
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
            if self._stopping or self._account.is_killed or self.standing.paused or not self._agreed.is_set():
                self.ledger.withheld(order)
            else:
                self.ledger.sent(order)
                self._start(self._place(order))
        else:
            self._cancel_open()

    def _cancel_open(self) -> None:
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
        written_ns, number = 0, self._stream_number
        try:
            sent = await self.venue.place(self.ledger.request(order))
            written_ns = sent.written_ns
            self.ledger.acknowledged(order, sent.order_id)
            self.standing.order_taken()
        except RefusedError as error:
            written_ns = error.written_ns
            if order.acknowledged:
                self._start(self._look(order))  # the private stream knows better
            else:
                self.ledger.rejected(order, str(error))
            self.standing.order_refused(error)
        except UncertainError as error:
            written_ns = error.written_ns
            self.ledger.uncertain(order, str(error))
            self.standing.order_unknown(error)
        if written_ns:
            self.signal_sent.record(written_ns - order.intent.signal_ns)
        await self._settle(order)
        self._expect_word(order, number)

    async def _cancel(self, order: Order) -> None:
        self.ledger.cancelling(order)
        delay = ASK_FIRST_SECONDS
        while not order.state.final:
            wait = 0.0
            try:
                await self.venue.cancel(self.ledger.symbol, order.client_id)
            except (RefusedError, UncertainError) as error:
                # Not there (any more, or yet), or unheard: the order's own state tells what to do.
                wait = error.trouble.wait
                self.standing.unanswered(error, NO_CANCEL)
                await self._ask(order)
            else:
                # Accepted; the fate comes by the stream. Not heard of: cancel again, which does no harm.
                await asyncio.sleep(delay)
                await self._ask(order)
            await asyncio.sleep(max(delay, wait))
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _ask(self, order: Order) -> bool:
        """Take the venue's view of an order; False where it gave none.

        What the venue does not know for longer than a request can be on its way is over, whatever it was.
        """
        if order.state.final:
            return True
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            update = await self.venue.query(self.ledger.symbol, order.client_id)
        except UncertainError as error:
            self.standing.unanswered(error)
            await asyncio.sleep(error.trouble.wait)
            return False
        if update is not None:
            self.ledger.apply(update)
            if update.listed or update.fate.final:
                order.missing_since = None
                return True
        if order.missing_since is None:
            order.missing_since = asked
        elif asked - order.missing_since >= self.venue.request_lifetime + LIFETIME_MARGIN_SECONDS:
            await self._forget(order)
        return False

    async def _forget(self, order: Order) -> None:
        """Count an order as over that the venue shows nowhere; one that it once had must not be there to cancel."""
        known, since = order.acknowledged, order.missing_since
        if known:
            try:
                await self.venue.cancel(self.ledger.symbol, order.client_id)
            except RefusedError as error:
                if error.trouble.nature is not Nature.REQUEST:
                    return
            except UncertainError:
                return
            else:
                order.missing_since = None  # it is there, and is being cancelled
                return
        if order.state.final or order.missing_since != since:
            return
        self.ledger.forgotten(order)
        if known:
            self._warn(f"order {order.client_id}: {order.reason}")
            if since is not None and self._agreed_at < since:
                # It may have been traded before it was forgotten.
                self._give_up_stream(f"order {order.client_id} is not known to the venue any more")

    async def _settle(self, order: Order) -> None:
        """Ask about an order until somebody knows. It is never sent again.

        What the venue still does not know when the request's lifetime is over can no longer arrive.
        """
        delay = ASK_FIRST_SECONDS
        while order.unknown or (order.missing_since is not None and not order.state.final):
            if await self._ask(order) and not order.unknown:
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    # fates

    async def _keep_listening(self) -> None:
        """Listen for ever: whatever ends it, no order may go out while nobody hears of its fate."""
        while True:
            self._listening = asyncio.create_task(self._listen_once())
            try:
                await self._listening
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._break or (task is not None and task.cancelling()):
                    raise
                self._lost(self._break)
            except Exception as error:  # what nobody foresaw
                self._lost(repr(error))
            else:
                self._lost("it ended")
            self._break = ""
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen_once(self) -> None:
        async with contextlib.aclosing(self.venue.events()) as events:
            await self._listen(events)

    def _give_up_stream(self, reason: str) -> None:
        """Connect the private stream again, and agree with the venue before the next order."""
        if not self._break and self._listening is not None and not self._stopping:
            self._break = reason
            self._listening.cancel()

    def _lost(self, reason: str, remedy: str = "") -> None:
        nature = Nature.ACCESS if self._refused.is_set() else Nature.PASSING
        self._stream_trouble = Trouble(reason, nature=nature, remedy=remedy)
        remedy = f"; remedy: {remedy}" if remedy else ""
        if not self._stream_up.is_set():
            # Another reason than before is told: the venue may have come back and not want the key any more.
            fresh = reason not in self._losses_said and len(self._losses_said) < LOSSES_SAID
            if fresh and self.stream_losses and not self._stopping:
                self._losses_said.add(reason)
                self._warn(f"private stream does not come back ({reason}): no orders until it does{remedy}")
            return
        self._losses_said = {reason}
        self.stream_losses += 1
        self._stream_up.clear()
        self._agreed.clear()
        self._say_ready()
        if not self._stopping:
            self._warn(f"private stream lost ({reason}): no orders until it is back{remedy}")

    async def _listen(self, events: AsyncGenerator[Event, None]) -> None:
        async for event in events:
            if isinstance(event, Fill):
                self._take_fill(event)
            elif isinstance(event, OrderUpdate):
                order = self.ledger.apply(event)
                if order is None or (order.assumed and not event.fate.final):
                    self._leftovers.meet(event)
                else:
                    order.heard = True
            elif isinstance(event, NotUnderstood):
                await self._take_unknown(event)
            elif isinstance(event, StreamUp):
                self._stream_up.set()
                self._stream_number += 1
                await self._agree_again()
            elif isinstance(event, StreamDown):
                if event.refused:
                    self._refused.set()
                self._lost(event.reason, event.remedy)

    async def _agree_again(self) -> None:
        """Agree with the venue; orders go out after it. What happens meanwhile on the stream waits."""
        # What happened while nobody listened is in no message; what comes next waits until that is known.
        began = asyncio.get_running_loop().time()
        open_orders = await self._agree()
        listed = {update.client_id for update in open_orders}
        for order in self.ledger.open():
            if order.client_id not in listed:
                self._start(self._look(order))
        self._agreed_at = began
        self._agreed.set()
        self.rivals.begin(began + self.venue.request_lifetime + LIFETIME_MARGIN_SECONDS)
        self._say_ready()

    def _unknown_kind(self, one: NotUnderstood) -> None:
        self.ledger.counts.not_understood += 1
        self.standing.told.kind(one.what, "the position is the venue's own, whatever it moved")

    def _take_fill(self, fill: Fill) -> None:
        self.ledger.fill(fill)
        order = self.ledger.find(fill.client_id, fill.order_id)
        if order is not None:
            order.heard = True
        if fill.kind:
            quantity = f"{'buy' if fill.buy else 'sell'} {fill.quantity} {fill.symbol}"
            self.standing.told.kind(
                f"an execution of type {fill.kind}", f"the position moves with it ({quantity})"
            )

    async def _take_unknown(self, one: NotUnderstood) -> None:
        """Count what cannot be read and say so; find out from the venue itself what it may have changed."""
        self.ledger.counts.not_understood += 1
        if one.symbol not in ("", self.ledger.symbol):
            self.standing.told.kind(one.what, f"it is about {one.symbol}, which is not traded here")
            return
        order = self.ledger.find(one.client_id, one.order_id)
        if one.harmless:
            self.standing.told.kind(one.what, "the order is asked for")
            if order is not None:
                order.heard = True
                self._start(self._look(order))
            return
        self.standing.told.kind(one.what, "no orders until position and orders have been read from the venue")
        self._agreed.clear()
        self._say_ready()
        left = self._agreed_at + AGREE_AGAIN_SECONDS - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, left))
        await self._agree_again()

    def _expect_word(self, order: Order, number: int) -> None:
        """Look later whether the private stream has told of an order that the venue took; ``number``: the stream's."""
        if not order.heard and not order.state.final:
            asyncio.get_running_loop().call_later(WORD_SECONDS, self._check_word, order, number)

    def _check_word(self, order: Order, number: int) -> None:
        if not order.heard and number == self._stream_number and self._agreed.is_set() and not self._stopping:
            self._start(self._suspect(order, number))

    async def _suspect(self, order: Order, number: int) -> None:
        """Give the private stream up where the venue knows an order that it has not told of, or does not say."""
        reason, loop = "", asyncio.get_running_loop()
        end = loop.time() + SUSPECT_SECONDS
        while not reason and not order.heard and number == self._stream_number:
            try:
                update = await self.venue.query(self.ledger.symbol, order.client_id)
            except UncertainError as error:
                self.standing.unanswered(error)
                left = end - loop.time()
                if left <= 0 or error.trouble.wait > left:
                    reason = (
                        f"order {order.client_id} is not told of, and the venue does not say what it came to"
                    )
                else:
                    await asyncio.sleep(max(error.trouble.wait, ASK_FIRST_SECONDS))
            else:
                if update is None:
                    return
                reason = f"order {order.client_id} is {update.fate.value}, and it has not told so"
                if not order.heard and number == self._stream_number:
                    self.ledger.apply(update)
        if reason and not order.heard and number == self._stream_number:
            self._give_up_stream(f"mute: {reason}")

    async def _look(self, order: Order) -> None:
        delay = ASK_FIRST_SECONDS
        while not await self._ask(order) and not order.unknown and not order.state.final:
            await asyncio.sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _agree(self) -> list[OrderUpdate]:
        """Bring ledger and venue to agreement, with nothing open that earlier runs left; return what is open."""
        while True:
            open_orders = await self._reconciler.run()
            left = [update.client_id for update in open_orders if self._leftovers.has(update)]
            if not left:
                return open_orders
            self._warn(f"{len(left)} orders of an earlier run are open: they are being cancelled")
            await asyncio.gather(*(self._leftovers.cancel(client_id) for client_id in left))

    def _say_ready(self) -> None:
        may = self._agreed.is_set() and not self.standing.paused
        self._account.ready(self._trading and may and not self._stopping)
