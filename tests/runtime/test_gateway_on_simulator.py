"""Gateway and guard against the strict simulator: real requests, real signatures, and the faults of a real venue."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.runtime.test_gateway import Desk as FakeDesk
from tests.sim.harness import KEY, SECRET, get, post, run, simulator

from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.execution.gateway import Gateway
from quietcore.execution.guard import Guard, Pulse
from quietcore.execution.order_states import State
from quietcore.execution.orders import OrderLedger
from quietcore.sim.faults import Fault
from quietcore.sim.generate import instruments
from quietcore.sim.instruments import Instrument
from quietcore.sim.server import Running
from quietcore.sim.source import Source, generated
from quietcore.strategy.account import Account
from quietcore.strategy.intents import BUY, PLACE, WORDS, IntentRing, push
from quietcore.venues.bybit import linear, signing
from quietcore.venues.bybit.private import BybitPrivateStream
from quietcore.venues.bybit.venue import BybitVenue
from quietcore.venues.interface import Credentials, Endpoints, StreamUp, UncertainError

SYMBOL = "BTCUSDT"


class Desk(FakeDesk):
    """A gateway on the simulator; orders rest far below the market."""

    def __init__(self, simulation: Running) -> None:
        self.warnings: list[str] = []
        self.account, self.intents = Account(), IntentRing(64)
        endpoints = Endpoints(simulation.http, simulation.websocket)
        self.venue: BybitVenue = linear(endpoints, Credentials(KEY, SECRET.encode()))
        self.ledger = OrderLedger("run", SYMBOL, Step(1, 1), Step(1, 3), self.account)
        self.gateway = Gateway(
            self.venue, self.ledger, self.intents, self.account, spin=False, warn=self.warnings.append
        )
        self._words = np.zeros(WORDS, dtype=np.int64)

    def emit(self, kind: int = PLACE, side: int = BUY, size: int = 10) -> None:
        self._words[3:6] = (side, 600_000, size)
        assert push(self.intents.address, self.intents.capacity, kind, self._words)
        os.eventfd_write(self.gateway.event, 1)


def source() -> Source:
    """Return a market with contracts that settle in USDT and in USDC."""
    made = generated(1, 2, 50, None)
    known = instruments(2)
    extra = {name: Instrument(name, 1, 3) for name in ("BTCPERP", "BTC-26DEC25")}
    return dataclasses.replace(made, instruments={**known, **extra})


def play(story: Callable[[Desk, Running, Any], Awaitable[None]], *, opened: bool = True) -> Desk:
    """Run a story against a simulator."""
    desks: list[Desk] = []

    async def test() -> None:
        async with simulator(source(), hold=True) as (simulation, session):
            desk = Desk(simulation)
            desks.append(desk)
            if opened:
                await desk.open()
            else:
                await desk.venue.open()
            try:
                await story(desk, simulation, session)
            finally:
                await desk.gateway.close(1.0)

    run(test, limit=90.0)
    return desks[0]


def waits_for_nobody(simulation: Running) -> None:
    early = simulation.venue.state()["requests"]["early"]
    assert early == {}, "no request came while the venue wanted none"


def test_orders_that_an_empty_venue_has_forgotten_become_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "RECV_WINDOW_MS", 1500)

    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        for number in range(2):
            desk.emit()
            await desk.until(lambda: f"run-{number}" in desk.ledger.orders)  # noqa: B023
            await desk.until(lambda: desk.order(number).acknowledged)  # noqa: B023
        simulation.venue.restart(0.3, empty=True)
        await desk.until(lambda: not desk.ledger.open(), 40.0)
        await desk.until(lambda: desk.ready)

    desk = play(story)
    assert [order.state for order in desk.ledger.orders.values()] == [State.CANCELLED] * 2


def test_an_order_that_only_the_history_has_after_a_restart() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        for client in list(simulation.venue.accounts.first.hub.clients):
            client.abort()
        await desk.until(lambda: not desk.ready)
        body = {"category": "linear", "symbol": SYMBOL, "orderLinkId": "run-0"}
        assert (await post(session, "/v5/order/cancel", body))["retCode"] == 0
        simulation.venue.restart(0.3)
        assert (await desk.settled()).reason in ("", "EC_PerCancelRequest")
        await desk.until(lambda: desk.ready)

    assert play(story).order().state is State.CANCELLED


@pytest.mark.parametrize("kind", ["AdlTrade", "Delivery", "MovePosition"])
def test_executions_of_the_venues_own_move_the_position(kind: str) -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        wish = {"type": kind, "symbol": SYMBOL, "side": "Sell", "qty": "0.004", "price": "65000"}
        async with session.post("/sim/executions", json=wish) as response:
            assert response.status == 200, await response.text()
        await desk.until(lambda: desk.account.position == -4)

    desk = play(story)
    assert any(kind in line for line in desk.warnings)
    assert desk.ledger.counts.corrections == 0


def test_the_guard_cancels_contracts_of_every_settle_coin() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        for symbol in (SYMBOL, "BTCPERP", "BTC-26DEC25"):
            body = {
                **{"category": "linear", "symbol": symbol, "side": "Buy", "orderType": "Limit"},
                **{"qty": "0.01", "price": "60000", "orderLinkId": f"by-hand-{symbol}"},
            }
            assert (await post(session, "/v5/order/create", body))["retCode"] == 0
        guard = Guard(desk.venue, lambda: Pulse.STOPPED, desk.warnings.append)
        await guard.fire()
        for scope in ("settleCoin=USDT", "settleCoin=USDC"):
            found = await get(session, "/v5/order/realtime", f"category=linear&{scope}")
            assert found["result"]["list"] == []

    play(story)


def test_hedge_mode_is_refused_at_the_start() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        async with session.post("/sim/position-mode", json={"hedge": True, "symbol": SYMBOL}) as response:
            assert response.status == 200
        with pytest.raises(QuietcoreError, match=r"hedge mode.*one-way mode"):
            await desk.gateway.open(10.0)

    play(story, opened=False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.CLOCK_SKEW, ("10002", "chrony")),
        (Fault.WRONG_KEY, ("10003", "domain")),
        (Fault.BAD_SIGNATURE, ("10004", "secret")),
        (Fault.NO_PERMISSION, ("10005", "allow the key")),
        (Fault.WRONG_ADDRESS, ("10010", "address")),
        (Fault.EXPIRED_KEY, ("33004", "new key")),
        (Fault.SERVER_ERROR, ("10016", "tried again")),
        (Fault.FORBIDDEN, ("HTTP 403: 403 Forbidden", "region")),
        (Fault.BAD_GATEWAY, ("HTTP 502", "Bad Gateway")),
    ],
)
def test_what_is_refused_at_the_start_is_named(fault: Fault, words: tuple[str, ...]) -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        simulation.venue.faults.arm(fault, seconds=60.0)
        with pytest.raises(QuietcoreError) as raised:
            await desk.gateway.open(3.0)
        text = raised.value.message()
        for word in words:
            assert word in text
        simulation.venue.faults.clear()

    play(story, opened=False)


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.BANNED, Fault.ADDRESS_RATE, Fault.QUERY_RATE])
def test_pauses_are_kept_while_orders_are_wanted(fault: Fault) -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        simulation.venue.faults.arm(fault, seconds=2.0)
        asking = 0
        for _ in range(60):
            try:
                await desk.venue.open_orders(SYMBOL)
            except UncertainError:
                asking += 1
            if fault is not Fault.QUERY_RATE and desk.ready:
                desk.emit()
            await asyncio.sleep(0.05)
        assert asking
        waits_for_nobody(simulation)
        await desk.until(lambda: desk.ready)

    play(story)


def test_a_mute_stream_is_given_up() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        simulation.venue.faults.arm(Fault.MUTE, seconds=4.0)
        await asyncio.sleep(0.1)
        for _ in range(100):
            if desk.ready and len(desk.ledger.open()) < 3:
                desk.emit()
            if desk.gateway.stream_losses:
                break
            await asyncio.sleep(0.1)
        assert desk.gateway.stream_losses == 1
        await desk.until(lambda: desk.ready, 30.0)

    desk = play(story)
    assert any("mute" in line for line in desk.warnings)


def test_an_odd_status_in_a_list_is_told_by_name_and_holds_orders_back() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        simulation.venue.faults.arm(Fault.ODD_STATUS, seconds=2.0)
        for client in list(simulation.venue.accounts.first.hub.clients):
            client.abort()
        await desk.until(lambda: any("orderStatus 'Suspended'" in line for line in desk.warnings))
        assert not desk.ready
        assert not desk.order().state.final
        await desk.until(lambda: desk.ready)
        assert not desk.order().state.final

    play(story)


def test_the_rules_come_with_the_venues_price() -> None:
    async def story(desk: Desk, simulation: Running, session: Any) -> None:
        async with session.post("/sim/start"):
            pass
        rules = await desk.venue.instrument(SYMBOL)
        assert rules.min_notional == Decimal(5)
        assert rules.status == ""
        assert rules.price > 0

    play(story)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_venues_cancel_at_disconnection_counts_a_stream_that_asks_for_it(wanted: bool) -> None:
    """The venue counts those private connections alone that subscribe its topic: armed without, it never fires."""

    async def test() -> None:
        async with simulator(source(), hold=True) as (simulation, session):
            account = simulation.venue.accounts.first
            account.disconnect_window = 0.05  # the venue's least is longer than a test should take
            low = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit"}
            answer = await post(session, "/v5/order/create", {**low, "qty": "0.01", "price": "60000"})
            assert answer["retCode"] == 0
            where = Endpoints(simulation.http, simulation.websocket, disconnect_cancel=wanted)
            stream = BybitPrivateStream(where, Credentials(KEY, SECRET.encode()))
            async with contextlib.aclosing(stream.events()) as events:
                assert isinstance(await anext(events), StreamUp)
            for _ in range(40):
                await asyncio.sleep(0.05)
                if not account.exchange.cancel_all():
                    break
            assert bool(account.exchange.cancel_all()) is not wanted

    run(test)
