"""The strategy's thread: starts the compiled loop on its CPU, follows the feed to a new segment, stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from quietcore.bridge.follow import begin
from quietcore.bridge.ring import FIRST, NEXT, word_at
from quietcore.bridge.segment import NotARingError, NotThereYetError, Segment, Symbol, attach
from quietcore.bridge.truncation import shortened, truncated_error
from quietcore.errors import ExitCode, QuietcoreError, named
from quietcore.execution.process import THREAD_STACK_BYTES, Warn, name_thread, pin
from quietcore.strategy.account import Account, put
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import IntentRing, aligned
from quietcore.strategy.interface import Strategy
from quietcore.strategy.loop import (
    CLOSED,
    CONTROL_WORDS,
    LEAVE,
    PARAMS_DONE,
    PARAMS_WANTED,
    PICTURE_DONE,
    PICTURE_WANTED,
    STOP,
    Desk,
    Outlet,
    build,
    new_intent,
    new_sight,
    new_wish,
)
from quietcore.strategy.python import python_loop, warm_up
from quietcore.strategy.risk import LIMITS, Risk, new_rate
from quietcore.strategy.workspace import Workspace

ATTACH_POLL_SECONDS = 0.05


def room_for(record: Any) -> Any:
    """Return whole words that hold ``record``."""
    return aligned(max(1, -(-record.itemsize // 8)))


class StrategyThread:
    """Owns the loop's memory and its thread.

    Args:
        segment: the attached feed.
        symbol: the traded symbol's entry.
        strategy: what to run.
        limits: one record of risk.LIMITS.
        account, intents: shared with the gateway.
        event: eventfd that wakes the gateway, -1 where it polls.
        cpu: where to pin the thread, -1 for nowhere.
        spin: never nap.
        from_start: begin with the segment's first tick.
        arena: where orders have their slots; the gateway's ledger has the same one.
        warn: takes one line.
        ended: called in the thread when it has ended by itself.
    """

    def __init__(
        self,
        segment: Segment,
        symbol: Symbol,
        strategy: Strategy,
        limits: Any,
        account: Account,
        intents: IntentRing,
        *,
        event: int = -1,
        cpu: int = -1,
        spin: bool = False,
        from_start: bool = False,
        arena: OrderArena | None = None,
        warn: Warn,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.segment = segment
        self.symbol = symbol
        self.strategy = strategy
        self.attachments = 1
        self.error: QuietcoreError | None = None
        self.tid = 0
        self.pinned = False
        self._limits = limits.view(LIMITS)
        self._account, self._intents = account, intents
        self._arena = arena if arena is not None else OrderArena()
        self._event, self._cpu, self._spin = event, cpu, spin
        self._warn, self._ended = warn, ended
        self._control = aligned(CONTROL_WORDS)
        self._rate = new_rate(int(self._limits[0]["max_order_rate"]))
        if strategy.python is None:
            self._loop = build(strategy.key or strategy.name, strategy.on_tick)
        else:
            self._loop = partial(python_loop, strategy.python)
        self._using, self._pending = room_for(strategy.params), room_for(strategy.params)
        self._params = self._using.view(np.uint8)[: strategy.params.itemsize].view(strategy.params.dtype)
        self._params[:] = strategy.params
        self._watch_for_truncation(segment)
        self.workspace = self._make_workspace(segment)
        self._from_start = from_start
        self._begin(0)
        self._thread = threading.Thread(target=self._run, name="strategy", daemon=True)

    # memory

    def _make_workspace(self, segment: Segment, old: Workspace | None = None) -> Workspace:
        workspace = Workspace(segment.ring.symbols, segment.ring.depth, self.strategy.state.dtype)
        workspace.state[:] = self.strategy.state
        for name in ("counters", "ledger", "emitted", "hops", "buckets", "state") if old is not None else ():
            getattr(workspace, name)[:] = getattr(old, name)
        picture = workspace.twin()
        picture.block[:] = workspace.block  # somebody may look at it before the loop has made one
        self._picture = picture
        self._desk = Desk(
            ring=segment.ring,
            books=workspace.books,
            counters=workspace.counters,
            sight=new_sight(),
            buckets=workspace.buckets,
            hops=workspace.hops,
            ledger=workspace.ledger,
            risk=Risk(
                account=self._account.address,
                emitted=workspace.emitted,
                rate=self._rate,
                limits=self._limits,
                arena=self._arena.slots,
            ),
            state=workspace.state,
            params=self._params,
            wish=new_wish(),
            intent=new_intent(),
            block=workspace.block,
            picture=self._picture.block,
            using=self._using,
            pending=self._pending,
            outlet=Outlet(
                control=self._control.ctypes.data,
                intents=self._intents.address,
                capacity=self._intents.capacity,
                event=self._event,
            ),
            symbol=self.symbol.number,
            spin=int(self._spin),
        )
        return workspace

    def _begin(self, first: int) -> None:
        counters = self.workspace.counters
        counters[NEXT] = counters[FIRST] = first
        begin(self.segment.ring, self.workspace.books, counters)

    def _move(self, segment: Segment) -> None:
        """Go on with another segment of the same feed: counts and strategy stay, ladders begin anew."""
        symbol = segment.symbol(self.symbol.name)
        if symbol[2:] != self.symbol[2:]:
            raise QuietcoreError(
                "feed came back with other steps",
                where=f"{segment.path}: {symbol.name}",
                found=f"tick {symbol.tick_mantissa}e-{symbol.tick_exponent}, "
                f"lot {symbol.lot_mantissa}e-{symbol.lot_exponent}",
                expected=f"tick {self.symbol.tick_mantissa}e-{self.symbol.tick_exponent}, "
                f"lot {self.symbol.lot_mantissa}e-{self.symbol.lot_exponent}",
                remedy="restart the runtime: it converts its limits again",
                code=ExitCode.UNKNOWN,
            )
        self._watch_for_truncation(segment)
        self.segment, self.symbol = segment, symbol
        self.workspace = self._make_workspace(segment, self.workspace)
        self.attachments += 1
        self._begin(0)

    def _watch_for_truncation(self, segment: Segment) -> None:
        """End the loop, and with it the run, where somebody cuts the ring short while it is read."""

        def stop() -> None:
            self.error = truncated_error(segment, "a read behind its end")
            self.stop()

        segment.when_truncated = stop

    def feed_problem(self) -> QuietcoreError | None:
        """Look whether the ring is still as long as it was, before a read finds out."""
        return shortened(self.segment)

    # life

    def compile(self) -> None:
        """Compile the loop and touch all memory it uses, by running it with the stop word set."""
        put(self._control.ctypes.data + STOP, 1)
        self._loop(self._desk)
        if self.strategy.python is not None:
            warm_up(self._desk)
        put(self._control.ctypes.data + STOP, 0)
        for block in (self.workspace.block, self._picture.block):
            block[:] = block.copy()

    def start(self) -> None:
        """Start the thread at what is published now; returns once it runs and has tried to pin itself."""
        if not self._from_start:
            self._begin(word_at(self.segment.ring.published))
        before = threading.stack_size(THREAD_STACK_BYTES)
        try:
            self._running = threading.Event()
            self._thread.start()
        finally:
            threading.stack_size(before)
        self._running.wait()

    def _run(self) -> None:
        self.tid = threading.get_native_id()
        name_thread("strategy")
        self.pinned = pin(self._cpu, "strategy thread", self._warn)
        self._running.set()
        try:
            while self._loop(self._desk) == CLOSED:
                segment = self._next_segment()
                if segment is None:
                    break
                if segment is not self.segment:
                    self._move(segment)
        except QuietcoreError as error:
            self.error = error
        except Exception as error:  # of a strategy, or for want of memory: it is no end in good order
            self.error = QuietcoreError(
                "strategy thread has ended",
                where=self.strategy.name,
                found=repr(error),
                remedy="see what the strategy does there",
                code=ExitCode.UNKNOWN,
            )
        finally:
            self._ended()

    def _next_segment(self) -> Segment | None:
        """Wait for the segment that replaces ours; None when stopped meanwhile.

        Ours itself where it is neither replaced nor closed: whoever sent the loop away meant the one before it.
        """
        put(self._control.ctypes.data + LEAVE, 0)
        said = ""
        while not self.stopping:
            self._answer()
            try:
                if self.segment.replaced():
                    return attach(self.segment.feed)
                if not self.segment.closed:
                    return self.segment
            except NotThereYetError:
                pass
            except (
                OSError,
                NotARingError,
            ) as error:  # no descriptor, no memory, a file in its place: that may pass
                if said != (said := named(error) if isinstance(error, OSError) else str(error)):
                    self._warn(f"the feed's new ring cannot be attached yet: {said}")
            time.sleep(ATTACH_POLL_SECONDS)
        return None

    def _answer(self) -> None:
        """Make the picture that was asked for, in the loop's place: a feed that is away is no loop that is blocked."""
        address = self._control.ctypes.data
        wanted = word_at(address + PICTURE_WANTED)
        if wanted != word_at(address + PICTURE_DONE):
            self._picture.block[:] = self.workspace.block
            put(address + PICTURE_DONE, wanted)

    def leave_if_replaced(self) -> bool:
        """Send the loop to the feed's new segment, where the old one is dead and its name leads elsewhere."""
        if self.segment.closed or not self.segment.replaced() or not self.segment.path.exists():
            return False
        put(self._control.ctypes.data + LEAVE, 1)
        return True

    @property
    def stopping(self) -> bool:
        """Whether the stop word is set."""
        return bool(word_at(self._control.ctypes.data + STOP))

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Set the stop word; the loop looks at it at least every 1,024 ticks."""
        put(self._control.ctypes.data + STOP, 1)

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False where it still runs after ``timeout`` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def offer(self, strategy: Strategy) -> None:
        """Ask the loop to go over to the parameters of ``strategy``, which is the running one made anew.

        It does so between two ticks, with all of them at once; `offer_pending` tells when it has. Raises where they
        would need other memory, or where the last offer was not taken yet.
        """
        ours = self.strategy
        if strategy.params.dtype != ours.params.dtype or strategy.state.dtype != ours.state.dtype:
            raise QuietcoreError(
                "these parameters cannot change while it runs",
                where=ours.name,
                remedy="restart the runtime: they decide the size of what the strategy keeps",
            )
        if self.offer_pending:
            raise QuietcoreError(
                "strategy loop has not taken the last parameters yet",
                where=ours.name,
                remedy="try again",
                code=ExitCode.UNKNOWN,
            )
        if ours.python is not None and strategy.python is not None:
            ours.python.next_parameters = strategy.python.parameters
        self._pending.view(np.uint8)[: strategy.params.itemsize] = strategy.params.view(np.uint8)
        address = self._control.ctypes.data
        put(address + PARAMS_WANTED, word_at(address + PARAMS_DONE) + 1)

    @property
    def offer_pending(self) -> bool:
        """Whether offered parameters are not in use yet."""
        address = self._control.ctypes.data
        return word_at(address + PARAMS_DONE) != word_at(address + PARAMS_WANTED)

    # looking in

    def want_picture(self) -> None:
        """Ask the loop for a consistent copy of its workspace, for `picture`."""
        address = self._control.ctypes.data
        put(address + PICTURE_WANTED, word_at(address + PICTURE_DONE) + 1)

    def picture(self) -> Workspace | None:
        """Return the copy last asked for, None while it is not made; valid until the next is asked for."""
        if not self.alive:
            return self.workspace
        address = self._control.ctypes.data
        if word_at(address + PICTURE_DONE) != word_at(address + PICTURE_WANTED):
            return None
        return self._picture
