"""One scenario: a market, a trader, faults, deaths; and the invariants, held against the venue's truth.

Everything follows from the seed.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from tests.scenarios import virtual_time
from tests.scenarios.network import LinkedRest
from tests.scenarios.openings import FOREIGN, HEDGE_WORDS, OPENINGS, hedge, rest
from tests.scenarios.server import LATE, LIFETIME, OTHERS, SYMBOL, SimulatedVenue
from tests.scenarios.trade_socket import SocketVenue
from tests.scenarios.venue import LinkedVenue

from quietcore.bridge.ring import word_at
from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.execution.gateway import Gateway
from quietcore.execution.guard import Guard, Pulse
from quietcore.execution.orders import OrderLedger
from quietcore.sim.externals import CREATE_TYPES, FUNDING, External
from quietcore.sim.faults import Fault
from quietcore.sim.orders import Order, Side, Status
from quietcore.strategy import risk
from quietcore.strategy.account import READY, Account, equity
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import BUY, CANCEL, PLACE, POST_ONLY, SELL, WORDS, IntentRing, push
from quietcore.venues.bybit.account import BybitAccount
from quietcore.venues.bybit.trade_stream import BybitOrderEntry

TICK, LOT = Step(1, 1), Step(1, 2)
MAX_POSITION, MAX_OPEN, MAX_RATE, MAX_SIZE = 60, 4, 12, 20
BAND = 0.02
MAX_NOTIONAL, MAX_LOSS = 20 * 10_000, 600
TRADING_SECONDS = 5.0
SETTLE_SECONDS = 30.0
SECOND = 1.0
FAULTS = [
    *(Fault.TIMEOUT, Fault.LOST, Fault.DUPLICATE_FILL, Fault.FILL_FIRST, Fault.CANCEL_CROSSES),
    *(Fault.DISCONNECT, Fault.RATE_LIMIT, Fault.CLOCK_SKEW, Fault.RESTART, Fault.POST_ONLY, Fault.WRONG_KEY),
    *(
        Fault.SERVER_ERROR,
        Fault.QUERY_RATE,
        Fault.BAD_GATEWAY,
        Fault.TOO_MANY,
        Fault.REJECT_LATER,
        Fault.MUTE,
    ),
]
# How often a scenario begins, or ends, in another way than most.
REFUSED_START, HEDGE_START, FORGOTTEN, MOVED, UNHEARD = 0.08, 0.03, 0.04, 0.3, 0.15
STARTS = 3  # until one is given up
LATE_AT_DEATH = 0.5  # of the last requests of a process: they arrive when it is no more
MUTE_NOTICED_SECONDS = 4.0  # after an order of which nothing was heard
MOVES = [kind for kind in CREATE_TYPES if kind not in ("Trade", FUNDING)]


class BrokenError(AssertionError):
    """An invariant that did not hold."""


@dataclass
class Outcome:
    """What one scenario counted."""

    seed: int
    faults: Counter[Fault] = field(default_factory=Counter)
    orders: int = 0
    fills: int = 0
    kills: int = 0
    guard_fired: int = 0
    kill_switch: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    uncertain: int = 0
    by_socket: int = 0
    by_rest: int = 0
    fell_back: int = 0  # of these, where the socket was meant
    switches: int = 0
    refused_starts: int = 0
    hedge_starts: int = 0
    forgotten: int = 0  # venues that came back empty
    moved: int = 0  # executions of the venue's own
    started_again: int = 0
    pages: int = 0  # asked for by a cursor
    broken: str = ""


@dataclass(frozen=True)
class Parts:
    """What the scenario runs: the runtime's own, or with a bug planted."""

    gateway: Any = Gateway
    ledger: Any = OrderLedger
    guard: Any = Guard
    entry: Any = BybitOrderEntry
    account: Any = BybitAccount
    rest: Any = LinkedRest
    understand: Any = None  # of the private stream's messages, instead of the venue's own
    limit_slip: int = 0  # how much more than the limits the check allows
    rest_after_death: float = LIFETIME


class Process:
    """One run of the runtime: gateway, ledger, account, and the loop's check before each order."""

    def __init__(self, story: Story, number: int) -> None:
        self.story = story
        self.begun_ms = story.venue.now_ms()
        parts = story.parts
        # Odd seeds send orders by WebSocket.
        bound = story.venue, parts.account, parts.rest
        self.socket = SocketVenue(*bound, entry=parts.entry) if story.seed % 2 else None
        self.link = LinkedVenue(*bound) if self.socket is None else self.socket
        if parts.understand is not None:
            self.link.understand = parts.understand  # type: ignore[method-assign]
        self.account, self.intents, self.arena = Account(), IntentRing(8), OrderArena(32)
        self.ledger = parts.ledger(
            f"q{number:08x}{story.seed & 0xFFFFFFFF:08x}", SYMBOL, TICK, LOT, self.account, self.arena
        )
        self.gateway = parts.gateway(
            self.link,
            self.ledger,
            self.intents,
            self.account,
            spin=False,
            warn=story.warnings.append,
            now_ms=story.venue.now_ms,
        )
        slip = parts.limit_slip
        self.risk = risk.Risk(
            self.account.address,
            np.zeros(risk.EMITTED_WORDS, dtype=np.int64),
            risk.new_rate(MAX_RATE + slip),
            risk.limits(
                max_position=MAX_POSITION + slip,
                max_open_orders=MAX_OPEN + slip,
                max_order_rate=MAX_RATE + slip,
                price_band=BAND,
                max_order_size=MAX_SIZE + slip,
                max_notional=MAX_NOTIONAL,
                max_loss=MAX_LOSS,
            ),
            self.arena.slots,
        )
        self.words = np.zeros(WORDS, dtype=np.int64)

    async def start(self) -> None:
        await self.link.open()
        await self.gateway.open(60.0)
        self.gateway.trade()

    def emit(self, kind: int) -> bool:
        done = push(self.intents.address, self.intents.capacity, kind, self.words)
        if done:
            os.eventfd_write(self.gateway.event, 1)
        return bool(done)

    def signal(self, side: int, price: int, size: int, *, cancel: bool) -> None:
        """Do what the compiled loop does with a wish."""
        story = self.story
        bid, ask = story.bid, story.ask
        now = int(story.venue.loop.time() * 1e9)
        if cancel and not self.emit(CANCEL):
            return
        reason = risk.check_order(self.risk, side, price, size, bid + ask, now)
        if reason != risk.ALLOWED:
            story.outcome.refused[reason] += 1
            return
        story.check_intent(self, side, price, size)
        self.words[3:6] = (side, price, size)
        self.words[10] = POST_ONLY if story.chance.random() < 0.4 else 0
        self.words[9] = risk.count_order(self.risk, side, price, size, now)
        if not self.emit(PLACE):
            # The loop would wait for room; here the intent is given up, as when it is stopped while it waits.
            self.risk.emitted[risk.EMITTED] -= 1
            self.risk.emitted[risk.EMITTED_BUY if side == BUY else risk.EMITTED_SELL] -= size
            self.arena.over(int(self.words[9]))

    def die(self) -> None:
        """SIGKILL: whatever it was doing, nothing of it happens any more but what is on the wire."""
        self.link.cut()
        gateway = self.gateway
        gateway._stopping = True
        asyncio.get_running_loop().remove_reader(gateway.event)
        for task in [*gateway._tasks, gateway._stream]:
            if task is not None:
                task.cancel()
        os.close(gateway.event)


class Story:
    """A scenario as it goes on."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self.seed, self.parts = seed, parts
        self.chance = random.Random(seed)
        self.outcome = Outcome(seed)
        self.warnings: list[str] = []
        self.violations: list[str] = []
        self.mid = 10_000
        self.bid, self.ask = 9_999, 10_001
        self.emitted_at: deque[float] = deque()
        self.processes: list[Process] = []
        self.quiet_from: float | None = None  # from then on nothing may be open
        self.moves = self.forgets = self.unheard = False

    # the market

    def move(self) -> None:
        chance = self.chance
        self.mid += chance.randint(-6, 6)
        spread = chance.randint(1, 4)
        self.bid, self.ask = self.mid - spread, self.mid + spread
        book = self.venue.book
        book.clear()
        for side, best, step in ((book.bids, self.bid, -1), (book.asks, self.ask, 1)):
            side.apply([(TICK.text(best + step * i), LOT.text(chance.randint(1, 30))) for i in range(4)])
        self.venue.tell(self.venue.exchange.on_book(SYMBOL))
        if chance.random() < 0.5:
            taker = chance.choice((Side.BUY, Side.SELL))
            price = self.ask if taker is Side.BUY else self.bid
            size = LOT.decimal(chance.randint(1, 40))
            self.venue.last_price = TICK.decimal(price)
            self.venue.tell(self.venue.exchange.on_trade(SYMBOL, TICK.decimal(price), size, taker))

    # invariants

    def check_intent(self, process: Process, side: int, price: int, size: int) -> None:
        """Hold an order that is about to go out against every limit, in plain arithmetic."""
        now = self.venue.loop.time()
        recent = self.emitted_at
        while recent and recent[0] <= now - SECOND:
            recent.popleft()
        recent.append(now)
        for stream in self.venue.streams:
            unheard = now - stream.unheard_since if stream.unheard_since else 0.0
            demand(unheard <= MUTE_NOTICED_SECONDS, f"ordered {unheard:.1f} s after the stream fell silent")
        demand(len(recent) <= MAX_RATE, f"{len(recent)} orders in a second, {MAX_RATE} are allowed")
        demand(size <= MAX_SIZE, f"size {size} of {MAX_SIZE}")
        demand(price * size <= MAX_NOTIONAL, f"value {price * size} of {MAX_NOTIONAL}")
        middle = self.bid + self.ask
        demand(abs(2 * price - middle) <= BAND * middle, f"price {price} around {middle / 2}")
        ledger = process.ledger
        left = sum(order.intent.size - order.filled for order in ledger.open() if order.side == side)
        worst = side * process.account.position + left + size
        if worst > 0:
            value = 2 * process.account.cash + process.account.position * middle
            demand(value >= -2 * MAX_LOSS, f"ordered at a loss of {-value / 2}")
            demand(value == equity(process.account.address, middle), "the account's words are torn")

    def check_venue(self) -> None:
        """Hold what the venue has against the limits: called at each change there."""
        exchange = self.venue.exchange
        held = lots(exchange.wallet.net(SYMBOL))
        everything = exchange.cancel_all()
        orders = [order for order in everything if not order.link_id.startswith(FOREIGN)]
        most = MAX_POSITION + lots(self.venue.external_lots)
        demand(len(orders) <= MAX_OPEN, f"{len(orders)} orders open, {MAX_OPEN} are allowed")
        buys = sum(lots(order.leaves) for order in orders if order.side is Side.BUY)
        sells = sum(lots(order.leaves) for order in orders if order.side is Side.SELL)
        demand(held + buys <= most, f"position {held} and {buys} to buy")
        demand(-held + sells <= most, f"position {held} and {sells} to sell")
        if newest := next(reversed(exchange.orders.values()), None):
            self._check_sender(newest)
        bids = [order.price for order in orders if order.side is Side.BUY and order.price is not None]
        asks = [order.price for order in orders if order.side is Side.SELL and order.price is not None]
        demand(not bids or not asks or max(bids) < min(asks), "own orders cross")
        for client_id, count in self.venue.arrived.items():
            demand(count == 1, f"{client_id} was sent {count} times")
        if self.quiet_from is not None and self.venue.loop.time() >= self.quiet_from:
            demand(not everything, f"{len(everything)} open after the end")

    def _check_sender(self, order: Order) -> None:
        """Nothing that a dead process sent may be taken when the next one has begun."""
        if not self.processes or order.link_id.startswith(FOREIGN):
            return
        number, latest = int(order.link_id[1:9], 16), self.processes[-1]
        begun = number < len(self.processes) and order.created_ms > latest.begun_ms
        demand(not begun, f"{order.link_id} was taken after process {len(self.processes)} had begun")

    def note(self) -> None:
        """Check the venue from a place where nobody catches what is raised."""
        try:
            self.check_venue()
        except BrokenError as error:
            self.violations.append(str(error))

    def check_agreement(self, process: Process) -> None:
        """Hold the runtime's own view against the venue's, when everything has been told."""
        exchange, ledger = self.venue.exchange, process.ledger
        held = lots(exchange.wallet.position(SYMBOL).size)
        demand(
            process.account.position == held, f"position {process.account.position}, the venue's is {held}"
        )
        at_venue = {order.link_id for order in exchange.cancel_all()}
        here = {order.client_id for order in ledger.open()}
        demand(here == at_venue, f"open here {sorted(here)}, at the venue {sorted(at_venue)}")
        found: dict[str, set[str]] = {}
        for fill in exchange.executions:
            found.setdefault(fill.order.link_id, set()).add(fill.execution_id)
        for client_id, order in ledger.orders.items():
            theirs = exchange._by_link.get(client_id)
            filled = 0 if theirs is None else lots(theirs.filled)
            demand(order.filled == filled, f"{client_id} filled {order.filled}, at the venue {filled}")
            demand(theirs is None or not order.assumed, f"{client_id} was given up: {order.reason}")
            known = {execution for _, execution in order.executions}
            demand(known == found.get(client_id, set()), f"executions of {client_id} differ")
            if theirs is not None and not theirs.open:
                demand(order.state.value == STATES[theirs.status], f"{client_id} is {order.state.value}")
        demand(ledger.counts.corrections == 0, "the position had to be corrected")

    # the course of things

    async def play(self) -> Outcome:
        self.venue = SimulatedVenue(self.chance)
        self.venue.on_change = self.note
        self.move()
        market = asyncio.create_task(self._market())
        try:
            if await self._begin():
                await self._trade()
        finally:
            market.cancel()
            self.outcome.pages = self.venue.pages
            self.outcome.faults = self.venue.faults.happened
            self.outcome.orders = len(self.venue.arrived)
            self.outcome.fills = self.venue.exchange.fills
            for process in self.processes:
                self.outcome.uncertain += process.ledger.counts.uncertain
                ways = process.link.order_ways()
                self.outcome.by_socket += ways.by_websocket
                self.outcome.by_rest += ways.by_rest
                if process.socket is not None:
                    self.outcome.fell_back += ways.by_rest
                    self.outcome.switches += process.socket.trade.switches
                if not process.link.dead:
                    process.die()
        if market.done() and not market.cancelled():
            market.result()
        demand(not self.violations, "; ".join(self.violations[:3]))
        failures = [line for line in self.warnings if line.startswith("gateway:")]
        demand(not failures, "; ".join(failures))
        return self.outcome

    async def _market(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.02, 0.12))
            self.move()

    async def _start(self) -> Process:
        process = Process(self, len(self.processes) + 1)
        self.processes.append(process)
        await process.start()
        return process

    async def _start_supervised(self) -> Process:
        """Start again where a start fails because of what happens meanwhile, as the service manager does."""
        for left in reversed(range(STARTS)):
            try:
                return await self._start()
            except QuietcoreError:
                if not left:
                    raise
                self.outcome.started_again += 1
                self.processes[-1].die()
                await asyncio.sleep(self.parts.rest_after_death)
        raise AssertionError("unreachable")

    async def _begin(self) -> bool:
        """Meet a venue that refuses the start, or an account in the wrong mode; False where the scenario ends so."""
        chance, venue = self.chance, self.venue
        dice = chance.random()
        if dice < REFUSED_START:
            self.outcome.refused_starts += 1
            opening = chance.choice(OPENINGS)
            opening.prepare(venue)
            await self._refused(opening.words)
            venue.faults.clear()
            for order in venue.exchange.cancel_all():
                venue.tell(venue.exchange.cancelled(order))
        elif dice < REFUSED_START + HEDGE_START:
            self.outcome.hedge_starts += 1
            hedge(venue)
            await self._refused(HEDGE_WORDS)
            return False
        self.moves = chance.random() < MOVED
        self.forgets = chance.random() < FORGOTTEN
        self.unheard = chance.random() < UNHEARD
        return True

    async def _refused(self, words: tuple[str, ...]) -> None:
        """Start, and hold what the start says against the reason that it failed for."""
        try:
            process = await self._start()
        except QuietcoreError as error:
            text = error.message()
            missing = [word for word in words if word.lower() not in text.lower()]
            demand(not missing, f"a start that failed for {words[0]} says only: {text}")
        else:
            demand(False, f"started in spite of {words[0]}: position {process.account.position}")
        process = self.processes[-1]
        demand(not process.link.sent, "an order went out before the start")
        process.die()

    def _move_position(self) -> None:
        """Let the venue reduce or add to the position by itself, with an execution of some type."""
        chance, venue = self.chance, self.venue
        side = chance.choice((Side.BUY, Side.SELL))
        price = TICK.decimal(self.bid if side is Side.SELL else self.ask)
        self.outcome.moved += 1
        venue.execute(External(chance.choice(MOVES), SYMBOL, side, LOT.decimal(chance.randint(1, 5)), price))

    async def _trade(self) -> None:
        chance, loop = self.chance, self.venue.loop
        process = await self._start_supervised()
        end = loop.time() + TRADING_SECONDS
        death = loop.time() + chance.uniform(0.2, TRADING_SECONDS) if chance.random() < 0.3 else None
        kill = loop.time() + chance.uniform(0.5, TRADING_SECONDS) if chance.random() < 0.1 else None
        faults = [
            (loop.time() + chance.uniform(0, TRADING_SECONDS * 0.9), chance.choice(FAULTS))
            for _ in range(chance.randint(1, 5))
        ]
        while loop.time() < end:
            await asyncio.sleep(chance.uniform(0.005, 0.2))
            for fault in [one for one in faults if one[0] <= loop.time()]:
                faults.remove(fault)
                self.venue.faults.arm(
                    fault[1], 1 if fault[1] is not Fault.RATE_LIMIT else chance.randint(1, 3)
                )
            if death is not None and loop.time() >= death:
                death = None
                self.outcome.kills += 1
                self.venue.late = LATE_AT_DEATH
                self._wish(process)
                await asyncio.sleep(chance.uniform(0, 0.04))  # in the middle of it, at any await
                process.die()
                self.venue.late = LATE
                if chance.random() < 0.5:
                    await self._guard()
                    return
                await asyncio.sleep(self.parts.rest_after_death)
                process = await self._start_supervised()
                end += 2.0
            if kill is not None and loop.time() >= kill:
                kill = None
                await self._switch_off(process)
                continue
            if process.socket is not None and chance.random() < 0.05:
                process.socket.switch()
            if self.unheard and chance.random() < 0.1:
                self.unheard, self.venue.restarts_after_next = False, True
            if self.moves and chance.random() < 0.03:
                self._move_position()
            self._wish(process)
        if self.forgets:
            await self._forgotten(process)
        else:
            await self._settle(process)

    async def _forgotten(self, process: Process) -> None:
        """The venue comes back without anything: no order is open for ever, and the position is the venue's."""
        self.outcome.forgotten += 1
        self.venue.faults.clear()
        self.venue.restarts_after_next = False
        self.venue.restart(empty=True)
        await self._until_told(process)
        held = lots(self.venue.exchange.wallet.position(SYMBOL).size)
        at_venue = {order.link_id for order in self.venue.exchange.cancel_all()}
        here = {order.client_id for order in process.ledger.open()}
        demand(process.account.position == held, f"position {process.account.position}, the venue has {held}")
        demand(here == at_venue, f"open here {sorted(here)}, at a venue that forgot: {sorted(at_venue)}")

    def _wish(self, process: Process) -> None:
        chance = self.chance
        if not word_at(process.account.address + READY):
            return
        for _ in range(chance.choice((1, 1, 1, 2, 6))):
            side = chance.choice((BUY, SELL))
            base = self.ask if side == BUY else self.bid
            price = base + side * chance.choice((0, 0, 0, 1, -3, -6, -12, -400))
            size = chance.choice((1, 2, 5, 5, 8, 10, 14, 15, 20, 21, 0, -3))
            process.signal(side, price, size, cancel=chance.random() < 0.4)

    async def _settle(self, process: Process) -> None:
        """Let everything come out, with no new fault, and compare. Half of the runs cancel what rests before."""
        self.venue.faults.clear()
        self.venue.restarts_after_next = False
        if any(stream.mute for stream in self.venue.streams):
            self.venue.break_streams()  # nothing would be told any more, and no order asks for a word
        if self.chance.random() < 0.5:
            process.emit(CANCEL)
        await self._until_told(process)
        if process.ledger.counts.uncertain or self.processes[1:]:
            # One more loss of the stream, as any later one: what was missed must come with the agreement.
            self.venue.break_streams()
            await self._until_told(process)
        self.check_agreement(process)

    async def _until_told(self, process: Process) -> None:
        loop = self.venue.loop
        end = loop.time() + SETTLE_SECONDS
        await asyncio.sleep(LIFETIME + 2.0)
        while loop.time() < end:
            await asyncio.sleep(0.05)
            # The market stands still for the moment of the comparison.
            busy = process.gateway._tasks or not word_at(process.account.address + READY)
            if not busy and not self._on_its_way():
                return
        raise BrokenError(f"not settled: {[order.state.value for order in process.ledger.open()]}")

    def _on_its_way(self) -> bool:
        return any(stream.queue.qsize() or stream.in_flight for stream in self.venue.streams)

    async def _switch_off(self, process: Process) -> None:
        """Throw the kill switch; when it is done nothing is open, and nothing goes out until it is cleared."""
        self.outcome.kill_switch += 1
        process.gateway.sweep.kill()
        async with asyncio.timeout(SETTLE_SECONDS):
            while process.gateway.sweep.running:
                self._wish(process)
                await asyncio.sleep(0.05)
        sent = len(process.link.sent)
        self.quiet_from = self.venue.loop.time()
        for _ in range(20):
            self._wish(process)
            await asyncio.sleep(0.05)
            self.check_venue()
        demand(len(process.link.sent) == sent, "an order went out after the kill switch")
        self.quiet_from = None
        process.gateway.sweep.clear()

    async def _guard(self) -> None:
        """The runtime is dead: the guard fires, and from its word on nothing is open, ever."""
        self.outcome.guard_fired += 1
        for symbol in (SYMBOL, *OTHERS):
            rest(self.venue, symbol)
        link = LinkedVenue(self.venue, self.parts.account, self.parts.rest)
        guard = self.parts.guard(link, lambda: Pulse.STOPPED, self.warnings.append)
        stop = asyncio.Event()
        watching = asyncio.create_task(guard.watch(stop))
        async with asyncio.timeout(60):
            while not guard.done:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.05)
        self.quiet_from = self.venue.loop.time()
        for _ in range(40):
            self.check_venue()
            await asyncio.sleep(0.25)
        stop.set()
        await watching


STATES = {
    Status.FILLED: "filled",
    Status.CANCELLED: "cancelled",
    Status.REJECTED: "rejected",
}


def lots(quantity: Decimal) -> int:
    return LOT.steps(quantity, "quantity")


def demand(holds: bool, text: str) -> None:
    if not holds:
        raise BrokenError(text)


def play(seed: int, parts: Parts = Parts()) -> Outcome:
    """Play one scenario; what broke is in the outcome."""
    story = Story(seed, parts)
    try:
        return virtual_time.run(story.play())
    except (BrokenError, AssertionError, TimeoutError, QuietcoreError) as error:
        story.outcome.broken = "; ".join([*story.violations[:1], str(error) or type(error).__name__])
        return story.outcome
