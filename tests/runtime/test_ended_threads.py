"""Threads that end by themselves, loops that stall, tasks that fail: said, and never taken for an end in good order."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import uvloop
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_gateway import Desk

from quietcore.bridge.segment import attach
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.bus import KEPT_FAILURES, EventBus
from quietcore.execution.endpoint_follower import EndpointFollower
from quietcore.execution.gateway_thread import GatewayThread
from quietcore.execution.silence import Silence
from quietcore.execution.venue_loop import LoopSettings, VenueLoop
from quietcore.strategy import risk
from quietcore.strategy.account import Account
from quietcore.strategy.crossing import crossing
from quietcore.strategy.intents import IntentRing
from quietcore.strategy.thread import StrategyThread


def test_a_silence_is_said_once_and_ends_what_lasts_too_long() -> None:
    said: list[str] = []
    silence = Silence("the strategy loop", said.append, 3)
    assert not silence.too_long(answered=True)
    assert [silence.too_long(answered=False) for _ in range(2)] == [False, False]
    assert not silence.too_long(answered=True)
    assert [silence.too_long(answered=False) for _ in range(3)] == [False, False, True]
    assert [line.partition(":")[0] for line in said] == [
        "the strategy loop does not answer",
        "the strategy loop answers again",
        "the strategy loop does not answer",
    ]
    assert silence.error().code is ExitCode.UNKNOWN


def test_an_event_loop_that_ends_by_itself_refuses_work_instead_of_forgetting_it() -> None:
    said: list[str] = []
    loop = VenueLoop(LoopSettings("venue"), said.append)
    loop.start()

    def end() -> None:
        raise SystemExit(1)  # neither uvloop nor asyncio keeps this one

    loop.tell(end)
    loop._thread.join(10)
    assert not loop._thread.is_alive()
    assert any("event loop venue has ended by itself: SystemExit" in line for line in said)

    async def work() -> None: ...

    with pytest.raises(QuietcoreError, match="event loop has ended: venue; found SystemExit"):
        loop.submit(work())
    loop.tell(lambda: None)
    loop.stop()


def test_a_gateway_whose_loop_has_ended_is_closed_all_the_same() -> None:
    async def story() -> None:
        with FakeVenue() as fake:
            desk = Desk(fake, spin=False)
            own = GatewayThread(desk.gateway, LoopSettings("gateway"), desk.warnings.append)
            own.start()
            await own.answer()
            assert own.open_count() == 0

            def end() -> None:
                raise SystemExit(1)

            own.loop.tell(end)
            await desk.until(lambda: not own.loop._thread.is_alive())
            assert own.open_count() is None
            with pytest.raises(QuietcoreError, match="event loop has ended"):
                await own.figures()
            assert (await own.close(0.1)).open == []

    uvloop.run(story())


def test_a_kill_between_a_clear_and_its_arrival_holds() -> None:
    """The gateway's loop is busy: clear and kill wait in line, and the clear is older."""

    async def story() -> None:
        with FakeVenue() as fake:
            desk = Desk(fake, spin=False)
            own = GatewayThread(desk.gateway, LoopSettings("gateway"), desk.warnings.append)
            own.start()
            await own.answer()
            seen: list[bool] = []
            own.loop.tell(lambda: time.sleep(0.2))
            desk.account.killed(True)
            own.clear()
            own.loop.tell(lambda: seen.append(desk.account.is_killed))
            own.kill()
            await desk.until(lambda: seen)
            assert seen == [True]
            await own.close(0.5)

    uvloop.run(story())


def test_a_strategy_thread_that_fails_is_no_end_in_good_order(
    make_writer: MakeWriter, feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_writer()
    segment = attach(feed)
    bound = risk.limits(max_position=1, max_open_orders=1, max_order_rate=10, price_band=0.5)
    strategy = crossing(2, 5, 1)
    thread = StrategyThread(segment, segment.symbols[0], strategy, bound, Account(), IntentRing(), warn=print)

    def broken(desk: object) -> int:
        raise ZeroDivisionError("of a strategy")

    monkeypatch.setattr(thread, "_loop", broken)
    thread.start()
    assert thread.join(10)
    assert thread.error is not None
    assert "strategy thread has ended" in str(thread.error)
    assert "ZeroDivisionError" in str(thread.error)


class Scouter:
    """Fails in ways that nobody foresaw, then elects."""

    rounds = 0
    check_interval = 0.01

    def __init__(self) -> None:
        self.pins: dict[str, str] = {}
        self.errors: list[Exception] = [ValueError("garbled"), OSError(24, "no descriptor")]

    def set_endpoint_change_callback(self, call: Any) -> None: ...

    async def start(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def stop(self) -> None: ...

    def get_fastest_endpoints(self) -> tuple[str, str]:
        return "ws://elected", "http://elected"


def test_endpoints_are_followed_whatever_failed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietcore.execution.endpoint_follower.AGAIN_SECONDS", 0.01)

    async def story() -> None:
        said: list[str] = []
        errors: list[Exception] = [RuntimeError("nobody foresaw this")]

        async def switch(websocket: str, rest: str) -> float:
            if errors:
                raise errors.pop(0)
            return 0.001

        scouter: Any = Scouter()
        follower = EndpointFollower(scouter, {}, switch, said.append)
        follower.start()
        async with asyncio.timeout(10):
            while not follower.switches:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await follower.stop()
        assert (follower.failures, follower.in_use) == (1, ("ws://elected", "http://elected"))
        assert [line.rpartition(": ")[2] for line in said] == [
            "ValueError('garbled')",
            "OSError(24, 'no descriptor')",
            "RuntimeError('nobody foresaw this')",
        ]

    asyncio.run(story())


def test_a_bus_keeps_the_latest_failures_and_no_more() -> None:
    bus = EventBus()

    def broken(event: int) -> None:
        raise ValueError(event)

    bus.subscribe("ticks", broken)
    for number in range(KEPT_FAILURES + 5):
        bus.publish("ticks", number)
    assert len(bus.failures) == KEPT_FAILURES
    assert str(bus.failures[-1][1]) == str(KEPT_FAILURES + 4)
