"""The gateway against a venue on loopback: orders out, fates back, and every way a request can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import uvloop
from tests.runtime.fake_venue import KEY, SECRET, FakeVenue

from quietcore.bridge.scale import Step
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.gateway import Gateway
from quietcore.execution.order_states import State
from quietcore.execution.orders import OrderLedger
from quietcore.strategy.account import READY, Account
from quietcore.strategy.intents import BUY, CANCEL, PLACE, SELL, WORDS, IntentRing, push
from quietcore.venues.bybit import linear
from quietcore.venues.bybit.venue import BybitVenue
from quietcore.venues.interface import Credentials, Endpoints, Fill


class Desk:
    """A gateway, opened on a fake venue, with a hand for its intent ring."""

    def __init__(self, fake: FakeVenue, *, spin: bool, key: str = KEY, secret: str = SECRET) -> None:
        self.warnings: list[str] = []
        self.account = Account()
        self.intents = IntentRing(64)
        endpoints = Endpoints(fake.url, fake.websocket_url)
        self.venue: BybitVenue = linear(endpoints, Credentials(key, secret.encode()))
        self.ledger = OrderLedger("run", "BTCUSDT", Step(1, 1), Step(1, 3), self.account)
        self.gateway = Gateway(
            self.venue, self.ledger, self.intents, self.account, spin=spin, warn=self.warnings.append
        )
        self._words = np.zeros(WORDS, dtype=np.int64)

    async def open(self) -> None:
        await self.venue.open()
        await self.gateway.open(10.0)
        self.gateway.trade()

    def emit(self, kind: int = PLACE, side: int = BUY, size: int = 10) -> None:
        import os
        import time

        self._words[3:6] = (side, 10_005, size)
        self._words[8] = time.time_ns()
        assert push(self.intents.address, self.intents.capacity, kind, self._words)
        if self.gateway.event >= 0:
            os.eventfd_write(self.gateway.event, 1)

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 -- many different conditions, none of them an event
                await asyncio.sleep(0.002)

    def order(self, number: int = 0) -> Any:
        return self.ledger.orders[f"run-{number}"]

    async def settled(self, number: int = 0) -> Any:
        await self.until(lambda: f"run-{number}" in self.ledger.orders and self.order(number).state.final)
        return self.order(number)

    @property
    def ready(self) -> bool:
        from quietcore.bridge.ring import word_at

        return bool(word_at(self.account.address + READY))


Story = Callable[[Desk, FakeVenue], Coroutine[Any, Any, None]]


def play(
    story: Callable[[Desk, FakeVenue], Awaitable[None]],
    plan: list[str] | None = None,
    *,
    default: str = "fill",
    spin: bool = False,
) -> tuple[Desk, FakeVenue]:
    """Run a story on an opened gateway and close it."""
    with FakeVenue(plan, default) as fake:

        async def main() -> Desk:
            desk = Desk(fake, spin=spin)
            await desk.open()
            try:
                await story(desk, fake)
            finally:
                await desk.gateway.close(1.0)
            return desk

        return uvloop.run(main()), fake


@pytest.mark.parametrize("spin", [False, True])
def test_order_to_fill(spin: bool) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        assert desk.ready
        for number, side in enumerate((BUY, SELL, BUY)):
            desk.emit(side=side)
            await desk.settled(number)
        await desk.until(lambda: desk.ledger.counts.fills == 3)

    desk, fake = play(story, spin=spin)
    assert [order.state for order in desk.ledger.orders.values()] == [State.FILLED] * 3
    assert desk.account.position == 10
    counts = desk.ledger.counts
    assert (counts.sent, counts.acknowledged, counts.fills, counts.filled) == (3, 3, 3, 3)
    assert fake.bad_signatures == 0
    assert len(fake.connections) == 1, "one kept connection for all requests"
    body = fake.created[0]
    assert (body["side"], body["price"], body["qty"]) == ("Buy", "1000.5", "0.010")
    assert (body["orderLinkId"], body["category"]) == ("run-0", "linear")
    assert all("gzip" not in headers.get("Accept-Encoding", "") for headers in fake.headers)
    hop = desk.gateway.signal_sent.summary()
    assert hop["count"] == 3
    assert hop["not_comparable"] == 0
    assert desk.warnings == []


def test_duplicate_fill_counts_once() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: desk.ledger.counts.duplicate_fills)

    desk, _ = play(story, ["fill twice told"])
    assert desk.account.position == 10
    assert desk.ledger.counts.fills == 1


def test_fill_before_the_acknowledgement() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()

    desk, _ = play(story, ["fill before acknowledgement"])
    assert desk.account.position == 10
    assert desk.ledger.counts.foreign == 0


@pytest.mark.parametrize("what", ["executions only", "order topic only"])
def test_either_topic_is_enough(what: str) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()

    desk, _ = play(story, [what])
    assert desk.order().state is State.FILLED
    assert desk.account.position == 10


@pytest.mark.parametrize(
    "what", ["accepted, connection breaks", "accepted, server error", "duplicate link id"]
)
def test_unknown_state_is_asked_about_never_resent(what: str) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)

    desk, fake = play(story, [what])
    assert len(fake.created) == 1
    assert desk.ledger.counts.uncertain == 1 or desk.order().state is State.FILLED


def test_an_order_that_never_arrived_is_given_up_after_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    from quietcore.venues.bybit import signing

    monkeypatch.setattr(signing, "RECV_WINDOW_MS", 300)

    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()

    desk, fake = play(story, ["lost"])
    assert len(fake.created) == 1
    assert fake.queries >= 2
    assert (desk.order().state, desk.order().reason) == (State.REJECTED, "never arrived")
    assert desk.account.position == 0


def test_refusal_is_final() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()

    desk, fake = play(story, ["reject:110007"])
    assert (desk.order().state, desk.order().reason) == (State.REJECTED, "110007 refused")
    assert len(fake.created) == 1
    assert desk.gateway.signal_sent.summary()["count"] == 1, "it was sent, whatever came of it"


def test_cancelled_by_the_venue() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()

    desk, _ = play(story, ["post-only cancel"])
    assert (desk.order().state, desk.order().reason) == (State.CANCELLED, "EC_PostOnlyWillTakeLiquidity")


def test_cancel_intent_cancels_what_is_open() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        desk.emit(CANCEL)
        await desk.settled()

    desk, fake = play(story, default="rest")
    assert desk.order().state is State.CANCELLED
    assert [body["orderLinkId"] for body in fake.cancelled] == ["run-0"]


def test_close_cancels_open_orders_and_withholds_the_rest() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        desk.emit(side=SELL)
        await desk.until(
            lambda: len(desk.ledger.orders) == 2 and all(o.acknowledged for o in desk.ledger.open())
        )
        # emitted, but the gateway does not see it before it is told to stop
        desk._words[3:6] = (BUY, 10_005, 1)
        push(desk.intents.address, desk.intents.capacity, PLACE, desk._words)

    desk, fake = play(story, default="rest")
    assert sorted(body["orderLinkId"] for body in fake.cancelled) == ["run-0", "run-1"]
    assert desk.ledger.counts.cancelled == 2
    assert desk.ledger.counts.withheld == 1
    assert desk.ledger.open() == []
    assert len(fake.created) == 2
    assert desk.warnings == []


def test_close_names_orders_whose_fate_is_not_known() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().unknown)

    desk, _ = play(story, ["lost"])
    assert len(desk.warnings) == 1
    assert "order run-0 is unknown" in desk.warnings[0]


def test_no_orders_while_the_private_stream_is_down() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, fake.call, fake.drop_streams)
        await desk.until(lambda: not desk.ready)
        desk.emit()
        await desk.until(lambda: "run-1" in desk.ledger.orders)
        assert desk.order(1).reason == "withheld"
        # it fills while nobody listens
        fake.orders["run-0"].update(orderStatus="Filled", cumExecQty="0.010")
        await desk.until(lambda: desk.ready)
        await desk.settled()

    desk, fake = play(story, default="rest")
    assert desk.gateway.stream_losses == 1
    assert desk.order().state is State.FILLED
    assert desk.account.position == 10, "found by asking once the stream is back"
    assert len(fake.created) == 1
    assert "private stream lost" in desk.warnings[0]


def test_no_orders_while_what_listens_is_broken() -> None:
    """An event that nobody can make sense of must not leave a gateway that sends and hears nothing."""

    async def story(desk: Desk, fake: FakeVenue) -> None:
        take = desk.ledger.fill

        def broken(fill: Fill, *, repeated: bool = False) -> bool:
            desk.ledger.fill = take  # type: ignore[method-assign]
            raise ValueError("a fill from beyond")

        desk.ledger.fill = broken  # type: ignore[method-assign]
        desk.emit()
        await desk.until(lambda: not desk.ready)
        desk.emit()
        await desk.until(lambda: "run-1" in desk.ledger.orders)
        assert desk.order(1).reason == "withheld"
        await desk.until(lambda: desk.ready)
        await desk.settled()

    desk, fake = play(story)
    assert desk.gateway.stream_losses == 1
    assert desk.account.position == 10, "the fill was found by asking"
    assert len(fake.created) == 1
    assert "a fill from beyond" in desk.warnings[0]


def test_a_stream_that_is_lost_in_the_moment_of_agreement_is_no_failed_start() -> None:
    class Fleeting(asyncio.Event):
        """Set and cleared in one turn of the loop, before who waits for it is resumed."""

        def set(self) -> None:
            super().set()
            self.clear()

    with FakeVenue() as fake:

        async def main() -> None:
            desk = Desk(fake, spin=False)
            desk.gateway._agreed = Fleeting()
            await desk.open()
            await desk.gateway.close(1.0)

        uvloop.run(main())


@pytest.mark.parametrize(("key", "secret"), [(KEY, "wrong"), ("other", SECRET)])
def test_wrong_credentials(key: str, secret: str) -> None:
    with FakeVenue() as fake:

        async def main() -> None:
            desk = Desk(fake, spin=False, key=key, secret=secret)
            await desk.venue.open()
            try:
                await desk.gateway.open(0.5)
            finally:
                await desk.gateway.close(0.1)

        with pytest.raises(
            QuietcoreError, match=r"private stream does not come up.*auth refused: denied"
        ) as raised:
            uvloop.run(main())
    assert raised.value.code is ExitCode.UNKNOWN
    assert secret not in str(raised.value)


def test_venue_that_is_not_there() -> None:
    async def main() -> None:
        venue = linear(Endpoints("http://127.0.0.1:9", "ws://127.0.0.1:9"), Credentials("k", b"s"))
        try:
            await venue.open()
        finally:
            await venue.close()

    with pytest.raises(QuietcoreError, match=r"venue does not answer.*127\.0\.0\.1:9.*remedy") as raised:
        uvloop.run(main())
    assert raised.value.code is ExitCode.UNKNOWN


def resting(fake: FakeVenue, link: str, side: str = "Buy") -> None:
    """Let the venue have an open order already."""
    fake.orders[link] = {
        **{"orderId": f"old-{link}", "orderLinkId": link, "symbol": "BTCUSDT", "side": side},
        **{"price": "1000.0", "qty": "0.010", "orderStatus": "New", "cumExecQty": "0"},
    }


def test_starts_from_what_the_account_holds_and_cancels_what_an_earlier_run_left() -> None:
    with FakeVenue(["rest"]) as fake:
        fake.position = Decimal("-0.030")
        resting(fake, "q0123456789abcdef-7")
        resting(fake, "by-hand")

        async def main() -> Desk:
            desk = Desk(fake, spin=False)
            await desk.open()
            assert desk.account.position == -30
            assert desk.account.cash == 30 * 10_005
            assert fake.orders["q0123456789abcdef-7"]["orderStatus"] == "Cancelled", "before the first order"
            assert fake.orders["by-hand"]["orderStatus"] == "New"
            desk.emit()
            await desk.until(lambda: len(fake.created) == 1)
            await desk.gateway.close(1.0)
            return desk

        desk = uvloop.run(main())
    assert desk.ledger.counts.reconciliations >= 2, "again after the cancel"
    assert "1 orders of an earlier run" in desk.warnings[0]


def test_trades_of_others_move_the_position_and_a_lost_stream_loses_nothing() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()
        fake.call(lambda: resting(fake, "by-hand", "Sell"))
        fake.call(lambda: fake.execute("by-hand", "0.004", order_topic=False))
        await desk.until(lambda: desk.account.position == 6)
        fake.call(lambda: fake.drop_streams())
        await desk.until(lambda: not desk.ready)
        fake.call(lambda: fake.execute("by-hand", "0.006", order_topic=False))
        await desk.until(lambda: desk.ready)
        assert desk.account.position == 0
        assert desk.ledger.counts.corrections == 0, "the executions explained it"

    play(story)


def test_unexplained_position_is_corrected_and_told() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.position = Decimal("0.002")  # a transfer, a liquidation
        fake.call(lambda: fake.drop_streams())
        await desk.until(lambda: not desk.ready)
        await desk.until(lambda: desk.ready)
        assert (desk.account.position, desk.ledger.counts.corrections) == (2, 1)

    desk, _ = play(story)
    assert any("differed from the venue's by 0.002 BTCUSDT" in line for line in desk.warnings)


def test_kill_cancels_everything_and_holds_until_cleared() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.until(lambda: "run-0" in desk.ledger.orders and desk.order().acknowledged)
        fake.call(lambda: resting(fake, "by-hand"))
        desk.gateway.sweep.kill()
        assert (await desk.settled()).state is State.CANCELLED
        await desk.until(lambda: fake.orders["by-hand"]["orderStatus"] == "Cancelled")
        desk.emit()
        assert (await desk.settled(1)).reason == "withheld"
        desk.gateway.sweep.clear()
        desk.emit()
        await desk.until(lambda: len(fake.created) == 2)

    desk, fake = play(story, default="rest")
    assert fake.cancel_alls >= 1
    assert desk.ledger.counts.withheld == 1
