"""The runtime: puts feed, strategy thread and gateway thread together, and takes them apart within two seconds.

Order of the start: everything is compiled, threads get their small stacks, memory is touched and locked, the
private stream is up; only then may an order go out, and with the first status comes READY.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from quietcore import loop_errors, stop_signals
from quietcore.bridge.compiled import CompileCounter
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, attach
from quietcore.config import ORDERING_MODES, RuntimeConfig, load
from quietcore.errors import ExitCode, QuietcoreError, named, remedy_of
from quietcore.execution import process
from quietcore.execution.degrade import Degrader
from quietcore.execution.endpoint_follower import EndpointFollower, described, scouter_of
from quietcore.execution.gateway import Gateway
from quietcore.execution.gateway_thread import Figures, GatewayThread
from quietcore.execution.identity import process_start
from quietcore.execution.kill_keeper import BY_SIGNAL
from quietcore.execution.orders import OrderLedger
from quietcore.execution.paper import PaperVenue
from quietcore.execution.protections import Protections
from quietcore.execution.risk_limits import risk_limits, whole_lots
from quietcore.execution.silence import Silence
from quietcore.execution.venue_loop import LoopSettings
from quietcore.execution.venue_rules import check_orders, check_rules, feed_price
from quietcore.histogram import Histogram
from quietcore.observe import status as status_file
from quietcore.strategy import choice
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import IntentRing
from quietcore.strategy.interface import Context, Strategy
from quietcore.strategy.thread import StrategyThread
from quietcore.strategy.workspace import Workspace
from quietcore.venues.interface import Credentials, Endpoints, OrderVenue
from quietcore.venues.registry import order_venue

STREAM_TIMEOUT_SECONDS = 15.0
STATUS_SECONDS = status_file.PERIOD_SECONDS
BEAT_SECONDS = 0.1
PICTURE_POLL_SECONDS = 0.001
PICTURE_TIMEOUT_SECONDS = 0.5
JOIN_SECONDS = 0.5
MOST_WARNINGS = 200  # kept for the status; the log has them all
CLOSE_SECONDS = 1.2  # with the join and the report, below two seconds


def run_id() -> str:
    """Return a prefix for client ids that no other run has: start time and chance, 18 characters."""
    return f"q{int(time.time()):08x}{secrets.token_hex(4)}"


class Runtime:
    """One run. ``await run()`` returns the final status."""

    def __init__(
        self,
        config: RuntimeConfig,
        credentials: Credentials,
        *,
        where: Path,
        status_path: Path | None,
        seconds: float | None,
        warn: process.Warn,
    ) -> None:
        self.config = config
        self.warnings: deque[str] = deque(maxlen=MOST_WARNINGS)
        self._warned = 0
        self._credentials = credentials
        self._where = where
        self._status_path = status_path
        self._seconds = seconds
        self._print = warn
        self._stop = asyncio.Event()
        self._faults: dict[int, tuple[int, int]] = {}
        self._locked_kib = 0
        self.account = Account()
        self.protections = Protections(
            config,
            credentials.key,
            status_path,
            self.warn,
            off=self._orders_off,
            on=self._orders_on,
            open_orders=self._open_orders,
        )
        self._at_venue = False  # the gateway is connected and can cancel
        self._beating: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None  # of what must go on until the end
        self._compiled: CompileCounter | None = None
        self._started = time.time()
        self._swaps = 0
        self._swap: asyncio.Task[None] | None = None
        self._status_trouble = ""
        self._silences = {
            "gateway": Silence("the gateway's event loop", self.warn),
            "strategy": Silence("the strategy loop", self.warn),
        }
        self._no_socket = ""  # why orders go by REST
        self._pins: dict[str, str] = {}  # the addresses that the scouter elected
        self.follower: EndpointFollower | None = None

    def warn(self, line: str) -> None:
        """Keep a warning for the status, and print it; called from any thread."""
        self.warnings.append(line)
        self._warned += 1
        with contextlib.suppress(OSError, ValueError):  # a log that takes nothing is no reason to stop
            self._print(line)

    async def run(self) -> dict[str, Any]:
        """Start, run until SIGTERM, SIGINT, the time limit or an error, stop; return the final status."""
        loop = asyncio.get_running_loop()
        loop_errors.tell(loop, self.warn)
        # Before any other thread is there: a thread of the kill switch's takes this signal, and no other does.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        loop.add_signal_handler(signal.SIGUSR1, self.protections.keeper.kill, BY_SIGNAL)
        self.protections.claim()
        self.protections.start()
        # Until here nothing is sent: another signal during it simply ends the process.
        self._prepare(loop)
        stop_signals.hear(loop, self._stop.set)
        try:
            if await self._until_stopped(self._connect()):
                loop.add_signal_handler(signal.SIGHUP, self._reload)
                self._take_off()
                await self._say_ready()
                await self._watch()
        finally:
            process.notify("STOPPING=1")
            final = await self._end()
        if self.thread.error is not None:
            raise self.thread.error
        if self.failure is not None:
            raise self.failure
        return final

    # the start

    def _prepare(self, loop: asyncio.AbstractEventLoop) -> None:
        """Attach, make and compile everything; nothing is sent."""
        config = self.config
        plan = Path(config.plan)
        strategy_cpu = process.planned_cpu(config.strategy_cpu, "strategy", plan)
        wait = config.gateway_wait or config.wait
        settings = LoopSettings.planned("gateway", config.gateway_cpu, wait, plan)
        where_to = config.venue
        endpoints = Endpoints(
            where_to.rest,
            where_to.private_websocket,
            where_to.tls_ca,
            where_to.order_websocket,
            disconnect_cancel=config.guard.disconnect_cancel > 0,
        )
        ordering = config.mode in ORDERING_MODES
        venue: OrderVenue | None = None
        if ordering:
            where = f"{self._where}: venue.name"
            venue = order_venue(config.venue.name, endpoints, self._credentials, where, self._pins)
        process.name_thread("runtime")
        process.one_heap()
        segment = attach(config.feed, config.feed_timeout)
        symbol = segment.symbol(config.symbol) if config.symbol else first_symbol(segment)
        self.symbol = symbol
        self.tick = Step(symbol.tick_mantissa, symbol.tick_exponent)
        self.lot = Step(symbol.lot_mantissa, symbol.lot_exponent)
        spin = config.wait == "spin"
        bound = risk_limits(config.risk, self.tick, self.lot, str(self._where))
        account, intents, arena = self.account, IntentRing(), OrderArena()
        self.ledger = OrderLedger(run_id(), symbol.name, self.tick, self.lot, account, arena)
        self.degrader = Degrader(config.degrade, account, self.warn)
        if venue is None:
            venue = PaperVenue(segment, symbol)
        gateway = Gateway(venue, self.ledger, intents, account, spin=settings.spin, warn=self.warn)
        gateway.rivals.found = lambda error: loop.call_soon_threadsafe(self._fail, error)
        self.desk = GatewayThread(gateway, settings, self.warn)
        self._definition = choice.find(config.strategy.name, config.strategy.path)
        self.strategy = self._make_strategy(config)
        self.thread = StrategyThread(
            segment,
            symbol,
            self.strategy,
            bound,
            account,
            intents,
            event=gateway.event,
            cpu=strategy_cpu,
            spin=spin,
            arena=arena,
            warn=self.warn,
            ended=lambda: self._wake(loop),
        )
        self.thread.compile()
        warm_up(intents)
        if ordering and config.scout.enabled:
            self.follower = EndpointFollower(
                scouter_of(config), self._pins, self.desk.switch_endpoints, self.warn
            )
        self.desk.start()

    def _make_strategy(self, config: RuntimeConfig) -> Strategy:
        size = whole_lots(self.lot, config.risk.order_size, f"{self._where}: risk.order_size")
        context = Context(self.symbol.name, self.tick, self.lot, size)
        where = f"{self._where}: strategy.parameters"
        return self._definition.make(config.strategy.parameters, context, where)

    async def _connect(self) -> None:
        """Reach the venue, compare its rules with the feed's and with ours, bring the private stream up."""
        rules = await self.desk.connect(self.symbol.name)
        check_rules(
            rules, self.tick, self.lot, self.config.risk.order_size, f"{self._where}: risk.order_size"
        )
        price = feed_price(self.thread.segment, self.symbol)
        for line in check_orders(rules, self.config, price, str(self._where)):
            self.warn(line)
        await self.protections.let_the_dead_rest(self.desk.gateway.venue.request_lifetime)
        await self.desk.open(STREAM_TIMEOUT_SECONDS)
        self._at_venue = True
        if self.protections.keeper.is_off:
            self._orders_off()

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do ``work``; False where the runtime was stopped before it was done."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        await task
        return True

    def _take_off(self) -> None:
        """Start the loop, lock memory, allow orders."""
        self.protections.arm()
        self._begin_to_beat()
        self.thread.start()
        gc.collect()
        gc.freeze()
        self._locked_kib = process.lock_memory(self.warn)
        self._compiled = CompileCounter()
        self._faults = {info.tid: (info.minor_faults, info.major_faults) for info in process.threads()}
        self.desk.trade()
        if self.follower is not None:
            self.follower.start()

    async def _say_ready(self) -> None:
        """Write the first status, then say READY: who waits for the one reads this run's own, not an earlier one's."""
        await self._look_around()
        if not self._stop.is_set():
            what = f"{self.symbol.name} of feed {self.config.feed}, mode {self.config.mode}"
            process.notify(f"READY=1\nSTATUS=trading {what}")

    # running

    def _orders_off(self) -> None:
        """Stop all orders and cancel what is open; called in any thread, at any time of the run."""
        self.account.killed(True)  # at once, whatever the gateway's loop is at
        if self._at_venue:
            self.desk.kill()

    def _orders_on(self) -> None:
        if self._at_venue:
            self.desk.clear()
        else:
            self.account.killed(False)

    def _open_orders(self) -> int | None:
        return self.desk.open_count() if self._at_venue else 0

    def _begin_to_beat(self) -> None:
        self._beating = asyncio.create_task(self._keep_alive())
        self._beating.add_done_callback(self._beat_ended)

    def _beat_ended(self, task: asyncio.Task[None]) -> None:
        """Stop: without it the guard holds this process for dead."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.warn(f"the heartbeat has ended ({error!r}): stopping")
            self._fail(error)

    async def _keep_alive(self) -> None:
        """Beat for the guard while both loops turn."""
        while True:
            await self.desk.answer()
            self.protections.beat()
            await asyncio.sleep(BEAT_SECONDS)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the strategy's thread when it has ended by itself."""
        if not self.thread.stopping or self.thread.error is not None:
            loop.call_soon_threadsafe(self._stop.set)

    def _reload(self) -> None:
        """Called at SIGHUP: take the strategy's parameters, and nothing else, from the configuration as it is now."""
        self._swap = asyncio.create_task(self._take_parameters())

    async def _take_parameters(self) -> None:
        try:
            strategy = self._make_strategy(load(self._where))
            self.thread.offer(strategy)
        except Exception as error:  # a strategy's own check may raise anything
            self.warn(f"parameters stay as they were: {described(error)}")
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + PICTURE_TIMEOUT_SECONDS
        while self.thread.offer_pending:
            if loop.time() > end:
                self.warn("the strategy loop does not take the new parameters")
                return
            await asyncio.sleep(PICTURE_POLL_SECONDS)
        self.strategy = strategy
        self._swaps += 1

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        end = None if self._seconds is None else loop.time() + self._seconds
        watchdog = "WATCHDOG_USEC" in os.environ
        while not self._stop.is_set():
            left = STATUS_SECONDS if end is None else min(STATUS_SECONDS, end - loop.time())
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._stop.wait()
            except TimeoutError:
                if await self._look_around() and watchdog:
                    process.notify("WATCHDOG=1")  # only loops that answer count as alive

    async def _look_around(self) -> bool:
        """Look after threads and feed, write the status; False where somebody does not answer."""
        if (problem := self.thread.feed_problem()) is not None:
            self._fail(problem)
            return False
        self.thread.leave_if_replaced()
        picture, figures = await self._picture(), await self._figures()
        self.desk.follow(self.thread.segment)
        for who, answer in (("strategy", picture), ("gateway", figures)):
            if self._silences[who].too_long(answered=answer is not None):
                self._fail(self._silences[who].error())
        if picture is None or figures is None:
            return False
        self.degrader.judge(picture)
        self._note_ways(figures)
        self._write(picture, figures)
        return True

    def _fail(self, error: BaseException) -> None:
        """Stop, and end with this error; the first one stays."""
        self.failure = self.failure or error
        self._stop.set()

    def _note_ways(self, figures: Figures) -> None:
        problem = figures.ways.problem
        if problem and not self._no_socket:
            self.warn(f"order entry by WebSocket is down ({problem}): orders go by REST")
        elif self._no_socket and not problem:
            self.warn("order entry by WebSocket is back")
        self._no_socket = problem

    async def _figures(self) -> Figures | None:
        """Return the gateway's figures, None where its loop does not answer in time."""
        try:
            async with asyncio.timeout(PICTURE_TIMEOUT_SECONDS):
                return await self.desk.figures()
        except TimeoutError:
            return None
        except QuietcoreError as error:  # the loop has ended
            self._fail(error)
            return None

    async def _picture(self) -> Workspace | None:
        """Return a consistent copy of the loop's memory, None where the loop does not answer in time."""
        self.thread.want_picture()
        loop = asyncio.get_running_loop()
        end = loop.time() + PICTURE_TIMEOUT_SECONDS
        # The loop has no way to wake this one, and shall have none.
        while (picture := self.thread.picture()) is None and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(PICTURE_POLL_SECONDS)
        return picture

    async def _end(self) -> dict[str, Any]:
        """Stop the loop, drain, cancel, join, report."""
        threads = self._threads()  # while the strategy's is still there
        self.account.ready(False)
        self.thread.stop()
        loop = asyncio.get_running_loop()
        end = loop.time() + JOIN_SECONDS
        while self.thread.alive and loop.time() < end:  # noqa: ASYNC110 -- a thread, and it ends once
            await asyncio.sleep(PICTURE_POLL_SECONDS)
        joined = self.thread.join(0)
        if not joined:
            self.warn("strategy thread does not stop: its last figures are missing")
        if self.follower is not None:
            with contextlib.suppress(Exception):  # nothing keeps the orders from being cancelled
                await self.follower.stop()
        figures = await self.desk.close(CLOSE_SECONDS)
        if self._beating is not None:
            self._beating.cancel()
        self.protections.end(in_good_order=not figures.open)  # else the guard takes over
        status = self._status(self.thread.workspace, figures, final=True)
        status["threads"] = threads
        if self._compiled is not None:
            self._compiled.stop()
        self._save(lambda: status)
        return status

    # reporting

    def _threads(self) -> list[dict[str, Any]]:
        return process.threads_since(self._faults)

    def _status(self, picture: Workspace, figures: Figures, *, final: bool) -> dict[str, Any]:
        gateway = self.desk.gateway
        segment = self.thread.segment
        return status_file.compose(
            status_file.loop_part(segment, picture, self.symbol.name, final=final),
            figures.orders,
            gateway.signal_sent,
            final=final,
            mode=self.config.mode,
            symbol=self.symbol.name,
            position=self.ledger.lot.text(self.account.position),
            strategy={
                "name": self.strategy.name,
                **self.strategy.figures(picture.state),
                "parameters": {
                    name: self.strategy.params[0][name].item() for name in self.strategy.params.dtype.names
                },
                "parameter_swaps": self._swaps,
            },
            feed_state={
                "heartbeat_age_ns": segment.heartbeat_age_ns(),
                "closed": segment.closed,
                "attachments": self.thread.attachments,
            },
            killed=self.protections.keeper.reason if self.account.is_killed else "",
            degraded=self.degrader.reason,
            stream_losses=gateway.stream_losses,
            order_entry=figures.ways._asdict(),
            venue=figures.venue,
            endpoints={} if self.follower is None else self.follower.figures(),
            wait=self.config.wait,
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            started=self._started,
            written=time.time(),
            compiled_since_ready=0 if self._compiled is None else self._compiled.count,
            memory={"locked_kib": self._locked_kib},
            pinned={"strategy": self.thread.pinned, "gateway": self.desk.loop.pinned},
            threads=self._threads(),
            warnings=list(self.warnings),
            warned=self._warned,
        )

    def _write(self, picture: Workspace, figures: Figures) -> None:
        self._save(lambda: self._status(picture, figures, final=False))

    def _save(self, compose: Callable[[], dict[str, Any]]) -> None:
        """Write the status; what is in the way may pass, so each period tries again, and says it once."""
        if self._status_path is None:
            return
        try:
            status_file.write(self._status_path, compose())
        except QuietcoreError as error:
            problem = str(error)
        except OSError as error:  # of /proc, where no descriptor is left
            problem = f"status cannot be made: {named(error)}; remedy: {remedy_of(error, 'see /proc')}"
        else:
            problem = ""
        if problem != self._status_trouble:
            self.warn(problem or "status is written again")
        self._status_trouble = problem


def first_symbol(segment: Segment) -> Any:
    """Return the directory's first entry."""
    if not segment.symbols:
        raise QuietcoreError(
            "feed has no symbol",
            where=str(segment.path),
            remedy="correct its configuration",
            code=ExitCode.UNKNOWN,
        )
    return segment.symbols[0]


def warm_up(intents: IntentRing) -> None:
    """Compile what the gateway calls; nothing may be compiled once the runtime is ready."""
    intents.take()
    Histogram().record(1)
