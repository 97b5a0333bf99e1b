"""The runtime: puts feed, strategy thread and gateway thread together, and takes them apart within two seconds.

Order of the start: everything is compiled, threads get their small stacks, memory is touched and locked, the
private stream is up; only then READY, and only then may an order go out.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import time
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from quietcore.bridge.compiled import CompileCounter
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, attach
from quietcore.config import ORDERING_MODES, RuntimeConfig, load
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution import process
from quietcore.execution.degrade import Degrader
from quietcore.execution.endpoint_follower import EndpointFollower, scouter_of
from quietcore.execution.gateway import Gateway
from quietcore.execution.gateway_thread import Figures, GatewayThread
from quietcore.execution.heartbeat import Heartbeat
from quietcore.execution.kill_switch import KillSwitch
from quietcore.execution.orders import OrderLedger
from quietcore.execution.paper import PaperVenue
from quietcore.execution.venue_loop import LoopSettings
from quietcore.execution.venue_rules import check_orders, check_rules, feed_price
from quietcore.histogram import Histogram
from quietcore.observe import status as status_file
from quietcore.strategy import choice
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.intents import IntentRing
from quietcore.strategy.interface import Context, Strategy
from quietcore.strategy.risk import NO_LIMIT, limits
from quietcore.strategy.thread import StrategyThread
from quietcore.strategy.workspace import Workspace
from quietcore.venues.interface import Credentials, Endpoints, OrderVenue
from quietcore.venues.registry import order_venue

STREAM_TIMEOUT_SECONDS = 15.0
STATUS_SECONDS = status_file.PERIOD_SECONDS
BEAT_SECONDS = 0.1
REST_MOST_SECONDS = 30.0
PICTURE_POLL_SECONDS = 0.001
PICTURE_TIMEOUT_SECONDS = 0.5
JOIN_SECONDS = 0.5
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
        self.warnings: list[str] = []
        self._credentials = credentials
        self._where = where
        self._status_path = status_path
        self._seconds = seconds
        self._print = warn
        self._stop = asyncio.Event()
        self._faults: dict[int, tuple[int, int]] = {}
        self._locked_kib = 0
        self.switch = KillSwitch(Path(config.kill_file))
        self.heart: Heartbeat | None = None
        self._beating: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None  # of what must go on until the end
        self._compiled: CompileCounter | None = None
        self._started = time.time()
        self._swaps = 0
        self._swap: asyncio.Task[None] | None = None
        self._off = False  # the kill switch, as this thread has told the gateway
        self._no_socket = ""  # why orders go by REST
        self._pins: dict[str, str] = {}  # the addresses that the scouter elected
        self.follower: EndpointFollower | None = None

    def warn(self, line: str) -> None:
        """Keep a warning for the status, and print it."""
        self.warnings.append(line)
        self._print(line)

    async def run(self) -> dict[str, Any]:
        """Start, run until SIGTERM, SIGINT, the time limit or an error, stop; return the final status."""
        loop = asyncio.get_running_loop()
        # Until here nothing is sent: a signal during it simply ends the process.
        self._prepare(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._kill_by_signal)
        try:
            if await self._until_stopped(self._connect()):
                loop.add_signal_handler(signal.SIGHUP, self._reload)
                self._take_off()
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
        config, risk = self.config, self.config.risk
        plan = Path(config.plan)
        strategy_cpu = process.planned_cpu(config.strategy_cpu, "strategy", plan)
        wait = config.gateway_wait or config.wait
        settings = LoopSettings.planned("gateway", config.gateway_cpu, wait, plan)
        where_to = config.venue
        endpoints = Endpoints(
            where_to.rest, where_to.private_websocket, where_to.tls_ca, where_to.order_websocket
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
        bound = limits(
            max_position=self._lots("max_position"),
            max_open_orders=risk.max_open_orders,
            max_order_rate=risk.max_order_rate,
            price_band=risk.price_band,
            max_order_size=self._bound(risk.max_order_size, self.lot.value),
            max_notional=self._bound(risk.max_notional, self.tick.value * self.lot.value),
            max_loss=self._bound(risk.max_loss, self.tick.value * self.lot.value),
            max_book_age=int(risk.max_book_age * 1e9),
        )
        self.account, intents, arena = Account(), IntentRing(), OrderArena()
        self.ledger = OrderLedger(run_id(), symbol.name, self.tick, self.lot, self.account, arena)
        self.degrader = Degrader(config.degrade, self.account, self.warn)
        if venue is None:
            venue = PaperVenue(segment, symbol)
        gateway = Gateway(venue, self.ledger, intents, self.account, spin=settings.spin, warn=self.warn)
        self.desk = GatewayThread(gateway, settings, self.warn)
        self._definition = choice.find(config.strategy.name, config.strategy.path)
        self.strategy = self._make_strategy(config)
        self.thread = StrategyThread(
            segment,
            symbol,
            self.strategy,
            bound,
            self.account,
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
        context = Context(self.symbol.name, self.tick, self.lot, self._lots("order_size"))
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
        await self._let_the_dead_rest()
        await self.desk.open(STREAM_TIMEOUT_SECONDS)

    async def _let_the_dead_rest(self) -> None:
        """Wait until no request of an earlier run, which died, can arrive any more."""
        if self._status_path is None:
            return
        try:
            last = status_file.read(self._status_path)
        except QuietcoreError:
            return
        wait = (
            last["written"]
            + status_file.PERIOD_SECONDS
            + self.desk.gateway.venue.request_lifetime
            - time.time()
        )
        if not last["final"] and 0 < wait < REST_MOST_SECONDS:
            self.warn(f"the last run died: waiting {wait:.1f} s until nothing of it can arrive")
            await asyncio.sleep(wait)

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
        """Start the loop, lock memory, say READY, allow orders."""
        if self._status_path is not None:
            try:
                self.heart = Heartbeat(self._status_path.parent / "heartbeat")
            except QuietcoreError as error:
                if self.config.mode == "live":
                    raise  # real orders that no guard can look after
                self.warn(str(error))
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
        config = self.config
        process.notify(
            f"READY=1\nSTATUS=trading {self.symbol.name} of feed {config.feed}, mode {config.mode}"
        )

    @staticmethod
    def _bound(text: str, unit: Decimal) -> int:
        """Return a limit in whole units, rounded to the safe side."""
        return int(Decimal(text) / unit) if text else NO_LIMIT

    def _lots(self, key: str) -> int:
        try:
            return self.lot.steps(Decimal(getattr(self.config.risk, key)), key)
        except QuietcoreError as error:
            raise QuietcoreError(
                "size is no multiple of the lot",
                where=f"{self._where}: risk.{key}",
                found=error.found,
                expected=error.expected,
            ) from error

    # running

    def _kill_by_signal(self) -> None:
        try:
            self.switch.engage("signal SIGUSR1")
        except QuietcoreError as error:
            self.warn(str(error))
        self._switch_off(self.switch.reason() or "signal SIGUSR1")

    def _switch_off(self, reason: str) -> None:
        if not self._off:
            self._off = True
            self.warn(f"kill switch is on ({reason}): no orders; `quietcore clear` allows them again")
            self.desk.kill()

    def _begin_to_beat(self) -> None:
        self._beating = asyncio.create_task(self._keep_alive())
        self._beating.add_done_callback(self._beat_ended)

    def _beat_ended(self, task: asyncio.Task[None]) -> None:
        """Stop: without it nobody looks at the kill switch, and the guard holds this process for dead."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.warn(f"the heartbeat has ended ({error!r}): stopping")
            self.failure = error
            self._stop.set()

    async def _keep_alive(self) -> None:
        """Beat for the guard while both loops turn, and look at the kill switch."""
        while True:
            await self.desk.answer()
            if self.heart is not None:
                self.heart.beat()
            reason = self.switch.reason()
            if reason is not None:
                self._switch_off(reason)
            elif self._off:
                self._off = False
                self.warn("kill switch is cleared: orders again")
                self.desk.clear()
            await asyncio.sleep(BEAT_SECONDS)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the strategy's thread when it has ended by itself."""
        if not self.thread.stopping:
            loop.call_soon_threadsafe(self._stop.set)

    def _reload(self) -> None:
        """Called at SIGHUP: take the strategy's parameters, and nothing else, from the configuration as it is now."""
        self._swap = asyncio.create_task(self._take_parameters())

    async def _take_parameters(self) -> None:
        try:
            strategy = self._make_strategy(load(self._where))
            self.thread.offer(strategy)
        except QuietcoreError as error:
            self.warn(f"parameters stay as they were: {error}")
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
                self.thread.leave_if_replaced()
                picture, figures = await self._picture(), await self._figures()
                self.desk.follow(self.thread.segment)
                if picture is not None and figures is not None:
                    self.degrader.judge(picture)
                    self._note_ways(figures)
                    self._write(self._status(picture, figures, final=False))
                    # Only loops that answer count as alive.
                    if watchdog:
                        process.notify("WATCHDOG=1")

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
            await self.follower.stop()
        figures = await self.desk.close(CLOSE_SECONDS)
        if self._beating is not None:
            self._beating.cancel()
        if self.heart is not None and not figures.open:
            self.heart.end()  # else the guard takes over
        status = self._status(self.thread.workspace, figures, final=True)
        status["threads"] = threads
        if self._compiled is not None:
            self._compiled.stop()
        self._write(status)
        return status

    # reporting

    def _threads(self) -> list[dict[str, Any]]:
        threads = []
        for info in process.threads():
            minor, major = self._faults.get(info.tid, (info.minor_faults, info.major_faults))
            entry = info._asdict()
            entry["minor_faults"] -= minor
            entry["major_faults"] -= major
            threads.append(entry)
        return threads

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
            killed=self.switch.reason() if self.account.is_killed else "",
            degraded=self.degrader.reason,
            stream_losses=gateway.stream_losses,
            order_entry=figures.ways._asdict(),
            venue=figures.venue,
            endpoints={} if self.follower is None else self.follower.figures(),
            wait=self.config.wait,
            pid=os.getpid(),
            started=self._started,
            written=time.time(),
            compiled_since_ready=0 if self._compiled is None else self._compiled.count,
            memory={"locked_kib": self._locked_kib},
            pinned={"strategy": self.thread.pinned, "gateway": self.desk.loop.pinned},
            threads=self._threads(),
            warnings=self.warnings,
        )

    def _write(self, status: dict[str, Any]) -> None:
        if self._status_path is None:
            return
        try:
            status_file.write(self._status_path, status)
        except QuietcoreError as error:
            self._status_path = None
            self.warn(str(error))


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
