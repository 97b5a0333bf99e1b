"""The same strategy over the same recording: in backtest, and through simulator, feed handler and runtime.

The simulator sends a message only when the one before has gone the whole way, orders and their fates included: the
recorded order, at whatever speed. Then both ways must end in the same fills.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import uvloop

from quietcore.backtest.engine import Backtest, Result
from quietcore.backtest.ticks import filled_ring
from quietcore.bridge import layout
from quietcore.bridge.ring import NEXT, word_at
from quietcore.bridge.scale import Step
from quietcore.bridge.segment import Segment, Symbol, attach
from quietcore.execution.gateway import Gateway
from quietcore.execution.order_states import State
from quietcore.execution.orders import OrderLedger
from quietcore.local.pipeline import remove_segments
from quietcore.sim.authentication import Credentials as Key
from quietcore.sim.frames import Frame, Kind
from quietcore.sim.orders import Side
from quietcore.sim.pacing import Pacer
from quietcore.sim.server import Address, running
from quietcore.sim.source import recorded
from quietcore.sim.venue import Venue
from quietcore.strategy import risk
from quietcore.strategy.account import Account
from quietcore.strategy.arena import OrderArena
from quietcore.strategy.crossing import crossing
from quietcore.strategy.intents import TAKEN, WRITTEN, IntentRing
from quietcore.strategy.thread import StrategyThread
from quietcore.venues.bybit import linear
from quietcore.venues.interface import Credentials, Endpoints

LINES = 20_000
SPANS = 20, 80  # the demo's
SIZE = "2.5"
MOVING = (State.NEW, State.SENT, State.UNKNOWN, State.CANCELLING)

Fills = list[tuple[bool, str, str, bool]]


def bound(symbol: Symbol) -> Any:
    lot = Step(symbol.lot_mantissa, symbol.lot_exponent)
    from decimal import Decimal

    size = lot.steps(Decimal(SIZE), "size")
    limits = risk.limits(max_position=10 * size, max_open_orders=4, max_order_rate=1000, price_band=0.01)
    return limits, crossing(*SPANS, size)


def first_lines(recording: Path, lines: int, folder: Path) -> Path:
    path = folder / "part.jsonl"
    with gzip.open(recording, "rb") as file:
        path.write_bytes(b"".join(itertools.islice(file, lines)))
    return path


@pytest.fixture(scope="module")
def part(binance_recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_lines(binance_recording, LINES, tmp_path_factory.mktemp("recording"))


def backtest(part: Path, **options: Any) -> Result:
    source = recorded(part, None)
    with filled_ring(part, source.venue, source.total or 1, 20) as segment:
        limits, strategy = bound(segment.symbols[0])
        return Backtest(segment, source, segment.symbols[0], strategy, limits, **options).run()


def fills_of(result: Result) -> Fills:
    return [(one.buy, f"{one.price:f}", f"{one.quantity:f}", one.maker) for one in result.trades]


class Gate(Pacer):
    """Lets the next message go when the last one's consequences are all known everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.live: Live | None = None

    async def wait(self, receive_ns: int) -> None:
        if self.live is not None:
            await self.live.settle()


class Live:
    """Simulator, feed handler and runtime, in lockstep."""

    def __init__(self, part: Path, handler: Path, control: Path) -> None:
        self.gate = Gate()
        self.venue = Venue(recorded(part, None), self.gate, Key("sim-key", "sim-secret"), hold=True)
        self.handler = handler
        self.control = control
        self.feed = f"lockstep-{uuid.uuid4().hex[:12]}"
        self.sent = dict.fromkeys(Kind, 0)
        play = self.venue.replay._play

        async def counted(frame: Frame) -> None:
            await play(frame)
            self.sent[frame.kind] += 1

        self.venue.replay._play = counted  # type: ignore[method-assign]

    async def run(self) -> Fills:
        async with running(self.venue, Address("127.0.0.1", 0)) as simulation:
            command = [str(self.handler), "run", "--feed", self.feed, "--venue", "binance-usdm"]
            command += ["--websocket", simulation.websocket, "--rest", simulation.http, "--cpu", "-1"]
            command += ["--control", str(self.control)]
            process = await asyncio.create_subprocess_exec(
                *command, "--wait", "nap", stderr=subprocess.DEVNULL
            )
            try:
                await self._start(simulation.http, simulation.websocket)
                self.venue.replay.start()
                await simulation.replay
                await self.settle()
                await self.gateway.close(2.0)
            finally:
                self.thread.stop()
                self.thread.join(5.0)
                process.terminate()
                await process.wait()
                remove_segments(self.feed)
        found = self.venue.accounts.first.exchange.executions
        return [
            (one.order.side is Side.BUY, f"{one.price:f}", f"{one.quantity:f}", one.maker) for one in found
        ]

    async def _start(self, http: str, websocket: str) -> None:
        loop = asyncio.get_running_loop()
        self.segment: Segment = await loop.run_in_executor(None, attach, self.feed, 20.0)
        symbol = self.segment.symbols[0]
        limits, strategy = bound(symbol)
        self.account, self.intents, arena = Account(), IntentRing(), OrderArena()
        tick, lot = (
            Step(symbol.tick_mantissa, symbol.tick_exponent),
            Step(symbol.lot_mantissa, symbol.lot_exponent),
        )
        self.ledger = OrderLedger("run", symbol.name, tick, lot, self.account, arena)
        client = linear(Endpoints(http, websocket), Credentials("sim-key", b"sim-secret"))
        warnings: list[str] = []
        self.gateway = Gateway(
            client, self.ledger, self.intents, self.account, spin=False, warn=warnings.append
        )
        self.thread = StrategyThread(
            *(self.segment, symbol, strategy, limits, self.account, self.intents),
            event=self.gateway.event,
            arena=arena,
            from_start=True,
            warn=warnings.append,
        )
        self.thread.compile()
        await self.gateway.open(20.0)
        self.gateway.trade()
        self.thread.start()
        wanted = set(self.venue.source.topics)
        async with asyncio.timeout(20):
            while not self.venue.hub.subscribed() >= wanted:  # noqa: ASYNC110 - polled, like all below
                await asyncio.sleep(0.01)
        self.gate.live = self

    async def settle(self) -> None:
        end = time.monotonic() + 30
        while not await self._all_settled():
            assert time.monotonic() < end, self._where()
            await asyncio.sleep(0.0001)
        if not self._in_step():
            await asyncio.sleep(0.002)  # until the book is there a delta leaves no trace

    async def _all_settled(self) -> bool:
        await self._refresh()
        if not self._settled():
            return False
        # The loop counts a tick before it asks the strategy about it: it makes a picture between two.
        self.thread.want_picture()
        while self.thread.picture() is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return self._settled()

    async def _refresh(self) -> None:
        """Have the feed handler bring its statistics page up to date, which it else does every 20 ms."""
        reader, writer = await asyncio.open_unix_connection(self.control)
        writer.write(b"status\n")
        assert await reader.readline()
        writer.close()

    def _in_step(self) -> bool:
        return int(self.segment.statistics["depth_applied"]) > 0

    def _settled(self) -> bool:
        statistics, sent = self.segment.statistics, self.sent
        if int(statistics["tickers"]) < sent[Kind.TICKER] or int(statistics["trades"]) < sent[Kind.TRADE]:
            return False
        books = int(statistics["depth_applied"]) + int(statistics["depth_dropped"])
        if self._in_step() and books < sent[Kind.BOOK]:
            return False
        published = word_at(self.segment.ring.published)
        if published != int(statistics["ticks"]) or self.thread.workspace.counters[NEXT] != published:
            return False
        address = self.intents.address
        if word_at(address + WRITTEN) != word_at(address + TAKEN):
            return False
        exchange = self.venue.accounts.first.exchange
        if self.ledger.counts.fills != exchange.fills:
            return False
        orders = self.ledger.open()
        if any(order.state in MOVING for order in orders):
            return False
        return {order.client_id for order in orders} == {order.link_id for order in exchange.cancel_all()}

    def _where(self) -> str:
        names = layout.STATISTICS.names or ()
        statistics = {name: int(self.segment.statistics[name]) for name in names if name != "reserved"}
        return f"{self.sent} {statistics} {[order.state.value for order in self.ledger.open()]}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_same_fills_in_backtest_and_through_the_pipeline(
    binance_recording: Path, tmp_path: Path, feed_handler: Path
) -> None:
    expected = backtest(binance_recording)
    live = Live(binance_recording, feed_handler, tmp_path / "control")
    found = uvloop.run(live.run())
    assert found == fills_of(expected)
    partial = [one for one in expected.trades if not one.whole]
    assert len(found) >= 50
    assert len(partial) >= 5
    assert any(one.maker for one in expected.trades)
    messages = sum(live.sent.values())
    print(
        f"{len(found)} fills in both, {len(partial)} partial, {expected.signals} signals, {messages} messages"
    )


def test_backtest_is_deterministic_and_latency_matters(part: Path, feed_handler: Path) -> None:
    first, second = backtest(part), backtest(part)
    assert first.trades == second.trades
    assert first.equity == second.equity
    late = backtest(part, latency_ms=200.0)
    assert fills_of(late) != fills_of(first)
    assert late.latency_ms == 200.0
