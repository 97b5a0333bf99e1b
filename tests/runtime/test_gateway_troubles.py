"""The gateway and a venue that forgets, refuses, falls silent, or says what nobody has heard before."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import uvloop
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_gateway import Desk, play

from quietcore.errors import QuietcoreError
from quietcore.execution.order_states import State
from quietcore.strategy.intents import SELL
from quietcore.venues.bybit import signing
from quietcore.venues.interface import RefusedError

PAGE = "<html><h1>403 Forbidden</h1>You are not served here</html>"


@contextmanager
def short_lives(monkeypatch: pytest.MonkeyPatch, milliseconds: int = 300) -> Iterator[None]:
    monkeypatch.setattr(signing, "RECV_WINDOW_MS", milliseconds)
    yield


async def call(fake: FakeVenue, function: Callable[[], Any]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, fake.call, function)


async def acknowledged(desk: Desk, number: int = 0) -> None:
    await desk.until(lambda: f"run-{number}" in desk.ledger.orders and desk.order(number).acknowledged)


def ended(fake: FakeVenue, link: str, status: str, filled: str) -> None:
    """Let an order end while nobody listens, then let the venue restart: the live list is empty."""
    fake.orders[link].update(orderStatus=status, cumExecQty=filled)
    fake.restart()


def refusal(code: int, text: str) -> tuple[int, str, dict[str, str]]:
    return 200, json.dumps({"retCode": code, "retMsg": text, "result": {}}), {}


# orders that the venue does not list any more


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [("Filled", "0.010", State.FILLED), ("Cancelled", "0.004", State.CANCELLED)],
)
def test_an_order_that_ended_while_nobody_listened_is_found_in_the_history(
    status: str, filled: str, state: State
) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await acknowledged(desk)
        await call(fake, fake.drop_streams)
        await desk.until(lambda: not desk.ready)
        await call(fake, lambda: ended(fake, "run-0", status, filled))
        await desk.settled()
        await desk.until(lambda: desk.ready)

    desk, fake = play(story, default="rest")
    assert desk.order().state is state
    assert desk.order().filled == int(Decimal(filled) * 1000)
    assert len(fake.created) == 1
    assert fake.cancelled == [], "nothing was open, so nothing was cancelled"


def test_an_order_whose_answer_was_lost_and_that_only_the_history_has_did_arrive() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.mute = True

        def restart() -> None:
            for link in list(fake.orders):
                ended(fake, link, "Filled", "0.010")

        desk.emit()
        await desk.until(lambda: fake.orders)
        await call(fake, restart)
        await desk.settled()

    desk, fake = play(story, ["accepted, server error"])
    assert desk.order().state is State.FILLED, "and not rejected as one that never arrived"
    assert desk.account.position == 10
    assert len(fake.created) == 1


def test_an_order_that_the_venue_has_forgotten_becomes_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that comes back empty: two resting orders, and the next one that would cross them."""

    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        desk.emit()
        await acknowledged(desk, 1)
        await call(fake, fake.drop_streams)
        await desk.until(lambda: not desk.ready)
        fake.orders.clear()
        await desk.settled(0)
        await desk.settled(1)
        await desk.until(lambda: desk.ready)
        desk.emit(side=SELL)
        await desk.until(lambda: len(fake.created) == 3)

    with short_lives(monkeypatch):
        desk, _ = play(story, default="rest")
    for number in (0, 1):
        order = desk.order(number)
        assert (order.state, order.reason) == (State.CANCELLED, "the venue does not know it any more")
    assert desk.account.position == 0
    assert desk.ledger.open() == []


def test_an_order_that_is_forgotten_while_it_is_cancelled_becomes_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was traded before: the position is read from the venue again before the next order."""

    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await acknowledged(desk)
        fake.orders.clear()
        fake.position = Decimal("0.004")
        desk.gateway.sweep.kill()
        assert (await desk.settled()).state is State.CANCELLED
        desk.gateway.sweep.clear()
        await desk.until(lambda: desk.account.position == 4)
        await desk.until(lambda: desk.ready)

    with short_lives(monkeypatch):
        desk, _ = play(story, default="rest")
    assert desk.ledger.open() == []
    assert any("not known to the venue any more" in line for line in desk.warnings)


def test_a_venue_that_does_not_answer_has_not_forgotten_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await acknowledged(desk)
        fake.refusal = (502, "bad gateway", {})
        await call(fake, fake.drop_streams)
        await desk.until(lambda: not desk.ready)
        await asyncio.sleep(3.0)
        assert not desk.order().state.final
        fake.refusal = None
        await desk.until(lambda: desk.ready)
        assert not desk.order().state.final

    with short_lives(monkeypatch):
        play(story, default="rest")


def test_an_order_that_no_list_shows_but_that_can_be_cancelled_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden: dict[str, Any] = {}

    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await acknowledged(desk)
        take = desk.venue.cancel
        hidden.update(fake.orders)
        fake.orders.clear()

        async def cancel(symbol: str, client_id: str) -> Any:
            fake.orders.update(hidden)
            return await take(symbol, client_id)

        desk.venue.cancel = cancel  # type: ignore[method-assign]
        await call(fake, fake.drop_streams)
        order = await desk.settled()
        assert (order.state, order.assumed) == (State.CANCELLED, False), "by the venue's own word"

    with short_lives(monkeypatch):
        play(story, default="rest")


def test_a_refusal_of_an_order_that_the_private_stream_has_told_of_is_not_believed() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        place = desk.venue.place

        async def refused_late(request: Any) -> Any:
            await place(request)
            await acknowledged(desk)
            raise RefusedError(110007, "ab not enough", 1)

        desk.venue.place = refused_late  # type: ignore[method-assign,assignment]
        desk.emit()
        await acknowledged(desk)
        await desk.until(lambda: desk.gateway.standing.figures()["refusals"])
        assert not desk.order().state.final

    desk, fake = play(story, default="rest")
    assert desk.order().state is State.CANCELLED
    assert len(fake.cancelled) == 1


def test_an_order_that_shows_itself_after_it_was_held_for_over_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        assert (await desk.settled()).reason == "never arrived"
        body = fake.created[0]
        await call(fake, lambda: fake._list(body, "late"))
        await call(fake, lambda: fake.tell_order("run-0"))
        await desk.until(lambda: fake.orders["run-0"]["orderStatus"] == "Cancelled")

    with short_lives(monkeypatch):
        desk, fake = play(story, ["lost"])
    assert len(fake.created) == 1
    assert any("held for over" in line for line in desk.warnings)


# kinds that are out of the ordinary


@pytest.mark.parametrize(
    "kind", ["AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition"]
)
def test_an_execution_that_is_no_ordinary_trade_moves_the_position_and_is_told(kind: str) -> None:
    row = {
        **{"symbol": "BTCUSDT", "orderId": "venue-1", "orderLinkId": "", "execId": "e1", "side": "Sell"},
        **{"execPrice": "1000", "execQty": "0.004", "execType": kind, "execFee": "0"},
    }

    async def story(desk: Desk, fake: FakeVenue) -> None:
        for number in ("e1", "e1", "e2"):
            await call(fake, lambda: fake._tell({"topic": "execution", "data": [{**row, "execId": number}]}))  # noqa: B023
        await desk.until(lambda: desk.account.position == -8)

    desk, _ = play(story)
    kinds = desk.gateway.standing.figures()["kinds"]
    assert kinds == {f"an execution of type {kind}": 3}
    assert len([line for line in desk.warnings if kind in line]) == 1


def test_what_nobody_has_heard_before_stops_orders_until_the_position_is_read_again() -> None:
    row = {
        **{"symbol": "BTCUSDT", "orderId": "venue-1", "orderLinkId": "", "execId": "e1", "side": "Sell"},
        **{"execPrice": "1000", "execQty": "0.004", "execType": "ReverseSplitSettle"},
    }

    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.position = Decimal("-0.030")
        before = desk.ledger.counts.reconciliations
        await call(fake, lambda: fake._tell({"topic": "execution", "data": [{**row, "symbol": "ETHUSDT"}]}))
        await call(fake, lambda: fake._tell({"topic": "execution", "data": [row]}))
        await desk.until(lambda: desk.account.position == -30)
        await desk.until(lambda: desk.ready)
        assert desk.ledger.counts.reconciliations == before + 1, "another symbol's is only counted"
        assert desk.gateway.stream_losses == 0

    desk, _ = play(story)
    assert desk.gateway.standing.figures()["kinds"] == {"execType 'ReverseSplitSettle'": 2}
    assert any("ReverseSplitSettle" in line for line in desk.warnings)


def test_an_unknown_status_of_an_own_order_is_told_by_name_and_asked_about() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await acknowledged(desk)
        fake.orders["run-0"]["orderStatus"] = "Dreaming"
        await call(fake, lambda: fake.tell_order("run-0"))
        await desk.until(lambda: any("Dreaming" in line for line in desk.warnings))
        await asyncio.sleep(0.3)
        assert not desk.order().state.final
        fake.orders["run-0"].update(orderStatus="Filled", cumExecQty="0.010")
        assert (await desk.settled()).state is State.FILLED

    desk, _ = play(story, default="rest")
    assert desk.account.position == 10
    assert "orderStatus 'Dreaming'" in desk.gateway.standing.figures()["kinds"]


@pytest.mark.parametrize(
    "text", ["no json", "[1]", '{"topic":5}', '{"topic":"order","data":{}}', '{"topic":null,"data":5}']
)
def test_a_message_that_cannot_be_read_does_not_end_the_listening(text: str) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        async def say() -> None:
            for socket in list(fake._sockets):
                await socket.send_str(text)

        await call(fake, say)
        await asyncio.sleep(0.1)
        await desk.until(lambda: desk.ready)
        desk.emit()
        await desk.settled()
        assert desk.gateway.stream_losses == 0

    desk, _ = play(story)
    assert desk.account.position == 10


# the start


HEDGE = [
    {"symbol": "BTCUSDT", "side": "Buy", "size": "1", "avgPrice": "1000", "positionIdx": 1},
    {"symbol": "BTCUSDT", "side": "Sell", "size": "0.4", "avgPrice": "1000", "positionIdx": 2},
]


def start(prepare: Callable[[FakeVenue], None], seconds: float = 10.0) -> tuple[str, float]:
    """Let a start fail; return what is said and how long it took."""
    with FakeVenue() as fake:
        prepare(fake)

        async def main() -> tuple[str, float]:
            desk = Desk(fake, spin=False)
            await desk.venue.open()
            began = time.monotonic()
            try:
                with pytest.raises(QuietcoreError) as raised:
                    await desk.gateway.open(seconds)
            finally:
                await desk.gateway.close(0.1)
            assert fake.created == []
            return raised.value.message(), time.monotonic() - began

        return uvloop.run(main())


@pytest.mark.parametrize("rows", [HEDGE, HEDGE[::-1], [{**row, "side": "", "size": "0"} for row in HEDGE]])
def test_hedge_mode_is_refused_at_the_start(rows: list[dict[str, Any]]) -> None:
    text, took = start(lambda fake: setattr(fake, "positions", rows))
    assert "hedge mode" in text
    assert "one-way mode" in text
    assert took < 5.0, "nothing is waited for that cannot come"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(10002, "req_timestamp[1]"), ("10002 req_timestamp[1]", "chrony")),
        (refusal(10003, "API key is invalid."), ("10003", "testnet or mainnet")),
        (refusal(10004, "error sign!"), ("10004 error sign!", "check the secret")),
        (refusal(10005, "Permission denied"), ("10005 Permission denied", "allow the key")),
        (refusal(10010, "Unmatched IP"), ("10010 Unmatched IP", "this host's address")),
        (refusal(33004, "expired"), ("33004 expired", "make a new key")),
        (
            (403, PAGE, {}),
            ("HTTP 403: 403 Forbidden You are not served here", "hosts of the account's region"),
        ),
        ((502, "<h1>Bad Gateway</h1>", {}), ("HTTP 502", "Bad Gateway")),
    ],
)
def test_reads_that_are_refused_at_the_start_are_named(
    answer: tuple[int, str, dict[str, str]], words: tuple[str, ...]
) -> None:
    text, _ = start(lambda fake: setattr(fake, "refusal", answer), 2.5)
    for word in words:
        assert word in text
    assert "remedy" in text


def test_a_stream_that_wants_no_key_is_explained_by_a_signed_request() -> None:
    def prepare(fake: FakeVenue) -> None:
        fake.refuse_auth = True
        fake.refusal = refusal(33004, "Your api key has expired")

    text, _ = start(prepare)
    assert "auth refused: denied" in text
    assert "33004 Your api key has expired" in text
    assert "make a new key" in text


# a venue that refuses everything


@pytest.mark.parametrize(
    "answer",
    [
        refusal(10002, "req_timestamp[1]"),
        refusal(10003, "API key is invalid."),
        (502, "<h1>Bad Gateway</h1>", {}),
        (403, PAGE, {}),
        (429, "slow down", {"Retry-After": "1"}),
    ],
)
def test_a_venue_that_refuses_everything_is_sent_a_few_orders_and_told_of_in_one_line(
    answer: tuple[int, str, dict[str, str]],
) -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        desk.emit()
        await desk.settled()
        fake.refusal = answer
        began = len(fake.requests)
        end = time.monotonic() + 6.0
        while time.monotonic() < end:
            if desk.ready:
                desk.emit()
            await asyncio.sleep(0.02)
        requests = fake.requests[began:]
        assert 1 <= sum(path == "/v5/order/create" for _, path, _ in requests) <= 3
        assert len(requests) <= 60
        paused = desk.gateway.standing.figures()
        assert paused["paused"]
        assert len(paused["refusals"]) <= 2
        fake.refusal = None
        await desk.until(lambda: desk.ready)
        desk.emit()
        await desk.until(lambda: desk.account.position >= 20)
        await desk.until(lambda: not desk.ledger.open())

    desk, _ = play(story)
    stopped = [line for line in desk.warnings if line.startswith("no orders until")]
    code = answer[1].split(":")[1].split(",")[0].strip() if answer[0] == 200 else f"HTTP {answer[0]}"
    assert len(stopped) == 1
    assert code in stopped[0]
    assert "remedy" in stopped[0]
    assert sum("takes orders again" in line for line in desk.warnings) == 1


def test_orders_that_are_refused_one_after_the_other_are_not_sent_for_ever() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            if desk.ready:
                desk.emit()
            await asyncio.sleep(0.02)

    desk, fake = play(story, default="reject:110094")
    assert 5 <= len(fake.created) <= 8
    lines = [line for line in desk.warnings if "110094" in line]
    assert len(lines) == 2, "the first refusal, and the pause"
    assert "raise risk.order_size" in lines[0]
    assert desk.gateway.standing.figures()["refusals"]["110094"]["times"] == len(fake.created)


def test_a_key_that_is_refused_after_a_reconnection_is_told() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.refuse_auth = True
        await call(fake, fake.drop_streams)
        await desk.until(lambda: any("auth refused" in line for line in desk.warnings))
        fake.refuse_auth = False
        await desk.until(lambda: desk.ready)

    desk, _ = play(story)
    told = [line for line in desk.warnings if "auth refused" in line]
    assert len(told) == 1
    assert "remedy" in told[0]


# a stream that stays open and says nothing


def test_a_stream_that_answers_pings_and_tells_of_no_order_is_given_up() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.mute = True
        began = time.monotonic()
        while desk.gateway.stream_losses == 0:
            if desk.ready:
                desk.emit()
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 10.0
        assert not desk.ready
        fake.mute = False
        await desk.until(lambda: desk.ready)

    desk, _ = play(story, default="rest")
    assert any("mute: order run-0 is open" in line for line in desk.warnings)


def test_a_stream_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from quietcore.venues.bybit import private

    assert private.SILENCE_SECONDS <= 10.0
    monkeypatch.setattr(private, "PING_SECONDS", 0.2)
    monkeypatch.setattr(private, "SILENCE_SECONDS", 0.5)

    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.deaf = True
        await desk.until(lambda: desk.gateway.stream_losses == 1)
        fake.deaf = False
        await desk.until(lambda: desk.ready)

    desk, _ = play(story)
    assert any("mute: no word" in line for line in desk.warnings)


# the kill switch, thrown again and cleared while the venue wants no sweep


def no_sweep(fake: FakeVenue, seconds: float) -> None:
    """Refuse to cancel all, and ask for a pause."""
    reset = str(int((time.time() + seconds) * 1000))
    text = json.dumps({"retCode": 10006, "retMsg": "Too many visits", "time": int(time.time() * 1000)})
    fake.refusal = (200, text, {"X-Bapi-Limit-Reset-Timestamp": reset})
    fake.refused_path = "/v5/order/cancel-all"


def test_a_second_kill_cancels_at_once_though_the_first_ones_sweep_sits_out_a_pause() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        no_sweep(fake, 30.0)
        desk.gateway.sweep.kill()
        await desk.until(lambda: any(path == fake.refused_path for _, path, _ in fake.requests))
        desk.gateway.sweep.clear()
        desk.emit()
        await acknowledged(desk)
        began = time.monotonic()
        desk.gateway.sweep.kill()
        assert (await desk.settled()).state is State.CANCELLED
        assert time.monotonic() - began < 5.0
        asked = [path for _, path, _ in fake.requests if path == fake.refused_path]
        assert len(asked) == 1, "the venue's pause is kept"

    play(story, default="rest")


def test_orders_after_a_clear_are_let_alone_by_the_sweep_of_the_kill_before() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        no_sweep(fake, 0.5)
        desk.gateway.sweep.kill()
        await desk.until(lambda: any(path == fake.refused_path for _, path, _ in fake.requests))
        desk.gateway.sweep.clear()
        fake.refusal = None
        desk.emit()
        await acknowledged(desk)
        await asyncio.sleep(2.0)
        assert not desk.order().state.final
        assert fake.cancel_alls == 0

    play(story, default="rest")


def test_a_stream_that_may_be_mute_is_given_up_where_nobody_says_what_an_order_came_to() -> None:
    async def story(desk: Desk, fake: FakeVenue) -> None:
        fake.mute = True
        text = json.dumps({"retCode": 10006, "retMsg": "Too many visits", "time": int(time.time() * 1000)})
        reset = str(int((time.time() + 30) * 1000))
        fake.refusal = (200, text, {"X-Bapi-Limit-Reset-Timestamp": reset})
        fake.refused_path = "/v5/order/realtime"
        desk.emit()
        await acknowledged(desk)
        began = time.monotonic()
        await desk.until(lambda: not desk.ready)
        assert time.monotonic() - began < 4.0

    desk, _ = play(story, default="rest")
    assert any("mute: order run-0 is not told of" in line for line in desk.warnings)
