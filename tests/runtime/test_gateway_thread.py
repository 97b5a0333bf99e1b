"""The gateway on a loop of its own: asked by messages, and not waited for where it is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_gateway import Desk

from quietcore.execution import venue_loop
from quietcore.execution.gateway_thread import GatewayThread
from quietcore.execution.order_states import State
from quietcore.execution.venue_loop import LoopSettings


def run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(work)


@pytest.mark.parametrize("spin", [False, True])
def test_orders_go_out_in_the_gateways_own_thread(spin: bool) -> None:
    async def work() -> None:
        with FakeVenue(["rest"]) as fake:
            desk = Desk(fake, spin=spin)
            own = GatewayThread(desk.gateway, LoopSettings("gateway", -1, spin), desk.warnings.append)
            own.start()
            rules = await own.connect("BTCUSDT")
            assert rules.symbol == "BTCUSDT"
            await own.open(10.0)
            own.trade()
            await desk.until(lambda: desk.ready)
            desk.emit()
            await desk.until(lambda: desk.ledger.counts.acknowledged == 1)
            found = await own.figures()
            assert (found.orders["sent"], found.orders["open"], found.open) == (1, 1, ["run-0"])
            assert found.ways == (0, 1, "")
            # Resting: the kill switch cancels it, and nothing goes out until it is cleared.
            own.kill()
            await desk.until(lambda: desk.order().state is State.CANCELLED)
            desk.emit()
            await desk.until(lambda: desk.ledger.counts.withheld == 1)
            own.clear()
            await desk.until(lambda: not desk.account.is_killed)
            desk.emit()
            await desk.until(lambda: desk.ledger.counts.fills == 1)
            last = await own.close(1.0)
            assert (last.orders["sent"], last.open) == (2, [])
            assert not [thread for thread in threading.enumerate() if thread.name == "gateway"]
            assert desk.warnings == []

    run(work())


def test_a_stuck_loop_answers_nobody_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_loop, "STOP_SECONDS", 0.1)

    async def work() -> None:
        with FakeVenue() as fake:
            desk = Desk(fake, spin=False)
            own = GatewayThread(desk.gateway, LoopSettings("gateway"), desk.warnings.append)
            own.start()
            await own.answer()
            release = threading.Event()
            own.loop.tell(lambda: release.wait(60))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await own.answer()
            began = time.monotonic()
            found = await own.close(0.1)
            assert found.open == []
            assert time.monotonic() - began < 10
            assert any("does not answer" in line for line in desk.warnings)
            assert any("does not end: something blocks it" in line for line in desk.warnings)
            release.set()
            await desk.until(lambda: not own.loop._thread.is_alive())

    run(work())
