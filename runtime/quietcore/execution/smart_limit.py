"""Large orders in small post-only pieces: jittered, over time, or one visible piece after the other.

A piece is sent once. One whose fate a time-out left open is asked for until somebody knows. What does not fit the
venue's rate is refused before anything is sent, or, where that is allowed, stretched until it fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, Protocol

from quietcore.errors import QuietcoreError
from quietcore.execution.bus import EventBus
from quietcore.execution.order_states import Missing
from quietcore.execution.slicing import MARGIN_SECONDS, MOST_PARTS, RateBudget, jittered_times, split
from quietcore.venues.interface import Instrument, RefusedError, UncertainError

ORDERS_A_SECOND = 10
BATCH_MOST = 20
ASK_FIRST_SECONDS, ASK_MOST_SECONDS = 0.05, 1.0
LIFETIME_SECONDS = 6.0  # after it a request that never arrived will be refused by the venue as too old
FORGOTTEN = "the venue does not know it any more"
OVER = ("Filled", "Cancelled", "Rejected", "PartiallyFilledCanceled", "Deactivated")


class OrderClient(Protocol):
    """What is asked of ``http``: the venue's own words in and out. Raises RefusedError or UncertainError."""

    async def place_order(self, **order: str | bool | int) -> dict[str, Any]:
        """Send one order once."""

    async def place_batch(self, orders: list[dict[str, Any]]) -> dict[str, Any]:
        """Send orders as one request, once; a row of ``list`` that was refused for certain says why as ``refused``."""

    async def cancel_order(self, **order: str | bool | int) -> dict[str, Any]:
        """Ask for a cancel."""

    async def open_orders(self, **scope: str) -> list[dict[str, Any]]:
        """Return open and recently closed orders."""


class ChildState(enum.Enum):
    """What became of a piece. Resting, filled or cancelled later is for the private stream to tell."""

    PLANNED = "planned"
    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_SENT = "not sent"  # its parent was cancelled before


@dataclass(frozen=True)
class ParentOrder:
    """A post-only limit order to be cut. ``stretch``: take more time rather than refuse what breaks the rate."""

    symbol: str
    buy: bool
    size: Decimal
    price: Decimal
    parent_id: str = field(default_factory=lambda: f"p{secrets.token_hex(8)}")
    stretch: bool = False
    batch: bool = False  # unjittered, in the venue's batches, which have a rate of their own
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Child:
    """One piece of a parent."""

    client_id: str
    size: Decimal
    metadata: dict[str, Any]
    state: ChildState = ChildState.PLANNED
    order_id: str = ""
    reason: str = ""


@dataclass
class _Run:
    """A parent under way."""

    parent: ParentOrder
    children: list[Child]
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class SmartLimitExecutor:
    """Cuts parents and sends their children through ``http``; tells of them on ``bus`` (topics parent, child).

    Args:
        bus: where events go, and where ``order`` events (rows as the venue's private topic has them) come from.
        http: sends orders.
        rules: the instruments' steps and limits, by symbol.
        order_rate: orders a second that the venue allows; batches have as many again.
        rate_margin: seconds of distance kept beyond the second, for what the network brings closer together.
        chance, clock, sleep: chance, seconds, and waiting; given by tests.
    """

    def __init__(
        self,
        bus: EventBus,
        http: OrderClient,
        *,
        rules: Mapping[str, Instrument] | None = None,
        order_rate: int = ORDERS_A_SECOND,
        rate_margin: float = MARGIN_SECONDS,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rules = dict(rules or {})
        self.budget = RateBudget(order_rate, margin=rate_margin)
        self.batch_budget = RateBudget(order_rate, margin=rate_margin)
        self._batch_size = min(BATCH_MOST, order_rate)
        self._bus, self._http = bus, http
        self._chance = chance or random.SystemRandom()
        self._clock, self._sleep = clock, sleep
        self._runs: dict[str, _Run] = {}
        self._changed = asyncio.Event()
        self._ended: dict[str, str] = {}  # client id → the venue's word for its end
        bus.subscribe("order", self._hear)
        self.set_jitter_parameters(True)

    def set_jitter_parameters(
        self,
        enabled: bool,
        order_count: int = 10,
        delay_min_ms: float = 5,
        delay_max_ms: float = 15,
        min_size_threshold: float | Decimal | str = 0.5,
    ) -> None:
        """Set how parents of at least ``min_size_threshold`` (base coin) are cut, from the next one on."""
        try:
            threshold = Decimal(str(min_size_threshold))
        except InvalidOperation:
            threshold = Decimal("NaN")
        good = (
            1 <= order_count <= MOST_PARTS
            and 0 <= delay_min_ms <= delay_max_ms <= 3_600_000
            and threshold.is_finite()
            and threshold >= 0
        )
        if not good:
            raise QuietcoreError(
                "jitter parameters are not possible",
                found=f"order_count={order_count}, delay_min_ms={delay_min_ms}, delay_max_ms={delay_max_ms}, "
                f"min_size_threshold={min_size_threshold}",
                expected=f"1 to {MOST_PARTS} orders, 0 ≤ delay_min_ms ≤ delay_max_ms ≤ an hour, threshold ≥ 0",
            )
        self._enabled, self._count = enabled, order_count
        self._delays = delay_min_ms / 1000, delay_max_ms / 1000
        self._threshold = threshold

    # the three ways

    async def place_post_only_order_with_jitter(self, order_request: ParentOrder) -> list[Child]:
        """Send a parent, cut where it reaches the threshold, and return its children when all have gone out.

        Raises QuietcoreError, with nothing sent, where the steps or the venue's rate forbid it.
        """
        cut = self._enabled and order_request.size >= self._threshold
        run = self._begin(order_request, self._count if cut else 1, jittered=cut)
        if order_request.batch and len(run.children) > 1:
            return await self._send_batches(run)
        now = self._clock()
        wanted = jittered_times(now, len(run.children), *self._delays, self._chance)
        return await self._send_timed(run, self._reserve(order_request, self.budget, wanted, now))

    async def place_twap(self, parent: ParentOrder, seconds: float, slices: int) -> list[Child]:
        """Send equal pieces at equal distances over ``seconds``; return them when all have gone out."""
        if not (1 <= slices <= MOST_PARTS and 0 <= seconds <= 86_400):
            raise QuietcoreError(
                "schedule is not possible",
                found=f"{slices} slices in {seconds} s",
                expected="1 to 1000, a day",
            )
        run = self._begin(parent, slices, jittered=False)
        now, count = self._clock(), len(run.children)
        step = seconds / max(1, count - 1)
        wanted = [now + number * step for number in range(count)]
        return await self._send_timed(run, self._reserve(parent, self.budget, wanted, now))

    async def place_iceberg(self, parent: ParentOrder, visible: Decimal) -> list[Child]:
        """Show ``visible`` at a time: the next piece goes out when the one before is filled.

        Returns when all is filled, or when a piece ended in another way.
        """
        if visible <= 0 or visible > parent.size:
            raise QuietcoreError(
                "visible size is not possible", found=visible, expected=f"above 0, at most {parent.size}"
            )
        pieces = int((parent.size / visible).to_integral_value(ROUND_CEILING))
        run = self._begin(parent, pieces, jittered=False)
        try:
            for child in run.children:
                if run.cancelled.is_set():
                    break
                now = self._clock()
                at = self.budget.earliest([now])
                self.budget.reserve(at, now)
                await self._pause(run, at[0] - now)
                await self._send(run, child)
                if child.state is not ChildState.ACCEPTED or await self._until_over(run, child) != "Filled":
                    break
        finally:
            self._finish(run)
        return run.children

    async def cancel(self, parent_id: str) -> bool:
        """Send no more of a parent and cancel what is out; False where it is not under way."""
        run = self._runs.get(parent_id)
        if run is None:
            return False
        run.cancelled.set()
        self._changed.set()
        out = [
            child
            for child in run.children
            if child.state in (ChildState.SENT, ChildState.ACCEPTED, ChildState.UNKNOWN)
        ]
        await asyncio.gather(*(self._cancel_child(run.parent, child) for child in out))
        return True

    # cutting

    def _begin(self, parent: ParentOrder, count: int, *, jittered: bool) -> _Run:
        rules = self.rules.get(parent.symbol)
        if rules is None:
            raise QuietcoreError(
                "no rules for the symbol",
                where=parent.symbol,
                expected=f"one of {', '.join(self.rules) or 'none'}",
                remedy="give the instrument's rules to the executor",
            )
        if parent.parent_id in self._runs:
            raise QuietcoreError("parent is under way already", where=parent.parent_id)
        if len(parent.parent_id) > 30:
            raise QuietcoreError(
                "parent's id is too long", where=parent.parent_id, expected="at most 30 characters"
            )
        sizes = split(parent.size, parent.price, rules, count)
        children = [
            Child(
                f"{parent.parent_id}-{number}",
                size,
                {
                    **parent.metadata,
                    "jittered": jittered and len(sizes) > 1,
                    "jitter_index": number,
                    "jitter_total": len(sizes),
                    "parent_size": parent.size,
                },
            )
            for number, size in enumerate(sizes)
        ]
        run = _Run(parent, children)
        self._bus.publish(
            "parent", {"parent_id": parent.parent_id, "event": "begun", "children": len(children)}
        )
        return run

    def _reserve(
        self, parent: ParentOrder, budget: RateBudget, wanted: list[float], now: float
    ) -> list[float]:
        budget.reserve([], now)
        if not budget.fits(wanted):
            if not parent.stretch:
                raise self._unfit(parent, len(wanted), now, wanted[-1], budget.earliest(wanted)[-1])
            wanted = budget.earliest(wanted)
        budget.reserve(wanted, now)
        return wanted

    def _unfit(
        self, parent: ParentOrder, count: int, now: float, wanted: float, possible: float
    ) -> QuietcoreError:
        return QuietcoreError(
            "order does not fit the venue's rate",
            where=parent.parent_id,
            found=f"{count} orders within {wanted - now:.3f} s",
            expected=f"at most {self.budget.limit} a second",
            remedy=f"allow it to be stretched (to {possible - now:.1f} s), cut it into fewer pieces, or send a batch",
        )

    # sending

    async def _send_timed(self, run: _Run, times: list[float]) -> list[Child]:
        sending: list[asyncio.Task[None]] = []
        self._runs[run.parent.parent_id] = run
        used = 0
        try:
            for at, child in zip(times, run.children, strict=True):
                await self._pause(run, at - self._clock())
                if run.cancelled.is_set():
                    break
                used += 1
                # The next does not wait for this one's answer: the delays are between departures.
                sending.append(asyncio.create_task(self._send(run, child)))
                await asyncio.sleep(0)
            await asyncio.gather(*sending)
        finally:
            self.budget.release(times[used:])
            for task in sending:
                task.cancel()
            self._finish(run)
        return run.children

    async def _send_batches(self, run: _Run) -> list[Child]:
        size, budget = self._batch_size, self.batch_budget
        batches = [run.children[at : at + size] for at in range(0, len(run.children), size)]
        now = at = self._clock()
        reserved: list[float] = []
        times: list[float] = []
        for batch in batches:
            at = budget.earliest_together(len(batch), at)
            budget.reserve([at] * len(batch), now)
            reserved += [at] * len(batch)
            times.append(at)
        if at > now and not run.parent.stretch:
            budget.release(reserved)
            raise self._unfit(run.parent, len(reserved), now, now, at)
        self._runs[run.parent.parent_id] = run
        sent = 0
        try:
            for batch, at in zip(batches, times, strict=True):
                await self._pause(run, at - self._clock())
                if run.cancelled.is_set():
                    break
                sent += len(batch)
                await self._send_batch(run, batch)
        finally:
            budget.release(reserved[sent:])
            self._finish(run)
        return run.children

    def _words(self, parent: ParentOrder, child: Child) -> dict[str, str | bool | int]:
        return {
            "symbol": parent.symbol,
            "side": "Buy" if parent.buy else "Sell",
            "orderType": "Limit",
            "qty": f"{child.size:f}",
            "price": f"{parent.price:f}",
            "timeInForce": "PostOnly",
            "orderLinkId": child.client_id,
            "positionIdx": 0,
        }

    async def _send(self, run: _Run, child: Child) -> None:
        self._runs.setdefault(run.parent.parent_id, run)
        self._turn(run, child, ChildState.SENT)
        try:
            result = await self._http.place_order(**self._words(run.parent, child))
        except RefusedError as error:
            self._turn(run, child, ChildState.REFUSED, reason=str(error))
        except UncertainError as error:
            self._turn(run, child, ChildState.UNKNOWN, reason=str(error))
            await self._settle(run, child)
        else:
            self._turn(run, child, ChildState.ACCEPTED, order_id=str(result.get("orderId", "")))
        if run.cancelled.is_set() and child.state is ChildState.ACCEPTED:
            await self._cancel_child(run.parent, child)  # it was on its way when the cancel came

    async def _send_batch(self, run: _Run, batch: list[Child]) -> None:
        for child in batch:
            self._turn(run, child, ChildState.SENT)
        try:
            result = await self._http.place_batch([self._words(run.parent, child) for child in batch])
        except RefusedError as error:
            for child in batch:
                self._turn(run, child, ChildState.REFUSED, reason=str(error))
            return
        except UncertainError as error:
            result = {}
            reason = str(error)
        else:
            reason = "not in the batch's answer"
        rows = {str(row.get("orderLinkId")): row for row in result.get("list") or [] if isinstance(row, dict)}
        for child in batch:
            row = rows.get(child.client_id, {})
            if row.get("orderId"):
                self._turn(run, child, ChildState.ACCEPTED, order_id=str(row["orderId"]))
            elif row.get("refused"):
                self._turn(run, child, ChildState.REFUSED, reason=str(row["refused"]))
            else:
                self._turn(run, child, ChildState.UNKNOWN, reason=reason)
        await asyncio.gather(*(self._settle(run, one) for one in batch if one.state is ChildState.UNKNOWN))

    async def _settle(self, run: _Run, child: Child) -> None:
        """Ask about a piece until the venue knows it, or until it can no longer arrive. It is never sent again."""
        until, delay = self._clock() + LIFETIME_SECONDS, ASK_FIRST_SECONDS
        while True:
            asked = self._clock()
            row = await self._look(run.parent, child)
            if row is not None and row:
                self._turn(run, child, ChildState.ACCEPTED, order_id=str(row.get("orderId", "")))
                return
            if row is not None and asked >= until:
                self._turn(run, child, ChildState.REFUSED, reason="never arrived")
                return
            await self._sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _look(self, parent: ParentOrder, child: Child) -> dict[str, Any] | None:
        """Return the venue's row of a piece, {} where it has none, None where it did not say."""
        try:
            rows = await self._http.open_orders(symbol=parent.symbol, orderLinkId=child.client_id)
        except (RefusedError, UncertainError) as error:
            await self._sleep(error.trouble.wait)
            return None
        return next((row for row in rows if row.get("orderLinkId") == child.client_id), {})

    async def _cancel_child(self, parent: ParentOrder, child: Child) -> None:
        delay, missing = ASK_FIRST_SECONDS, Missing(LIFETIME_SECONDS, self._clock)
        while child.client_id not in self._ended and child.state is not ChildState.REFUSED:
            with contextlib.suppress(RefusedError, UncertainError):
                await self._http.cancel_order(symbol=parent.symbol, orderLinkId=child.client_id)
            row = await self._look(parent, child)
            if row and row.get("orderStatus") in OVER:
                self._ended[child.client_id] = str(row["orderStatus"])
                return
            if missing.too_long(None if row is None else bool(row)) and child.state is ChildState.ACCEPTED:
                return  # not one that is yet to be listed: the venue has forgotten it
            await self._sleep(delay)
            delay = min(2 * delay, ASK_MOST_SECONDS)

    async def _until_over(self, run: _Run, child: Child) -> str:
        """Wait for the end of a piece, by events and by asking now and then; return the venue's word for it.

        A piece that the venue does not know for longer than a request can be on its way is over too: `FORGOTTEN`.
        """
        missing = Missing(LIFETIME_SECONDS, self._clock)
        while child.client_id not in self._ended:
            self._changed.clear()
            row = await self._look(run.parent, child)
            if row and row.get("orderStatus") in OVER:
                return str(row["orderStatus"])
            if child.client_id in self._ended:
                break
            if missing.too_long(None if row is None else bool(row)):
                child.reason = FORGOTTEN
                return FORGOTTEN
            try:
                async with asyncio.timeout(ASK_MOST_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return self._ended.pop(child.client_id)

    async def _pause(self, run: _Run, seconds: float) -> None:
        """Wait, but not for a parent that is cancelled."""
        if seconds <= 0 or run.cancelled.is_set():
            return
        waiting = asyncio.ensure_future(self._sleep(seconds))
        cancelled = asyncio.create_task(run.cancelled.wait())
        await asyncio.wait((waiting, cancelled), return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, cancelled):
            task.cancel()

    # telling

    def _hear(self, row: Mapping[str, Any]) -> None:
        client_id = str(row.get("orderLinkId", ""))
        if row.get("orderStatus") in OVER and client_id.rpartition("-")[0] in self._runs:
            self._ended[client_id] = str(row["orderStatus"])
            self._changed.set()

    def _turn(
        self, run: _Run, child: Child, state: ChildState, *, order_id: str = "", reason: str = ""
    ) -> None:
        child.state, child.reason = state, reason
        child.order_id = order_id or child.order_id
        self._bus.publish("child", {"parent_id": run.parent.parent_id, "child": child, "state": state.value})

    def _finish(self, run: _Run) -> None:
        for child in run.children:
            if child.state is ChildState.PLANNED:
                self._turn(run, child, ChildState.NOT_SENT)
            self._ended.pop(child.client_id, None)
        self._runs.pop(run.parent.parent_id, None)
        self._bus.publish("parent", {"parent_id": run.parent.parent_id, "event": "ended"})
