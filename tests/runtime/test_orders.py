"""Own orders: in whatever order acknowledgement, updates and fills come, the end is the same."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal

import pytest

from quietcore.bridge.scale import Step
from quietcore.errors import QuietcoreError
from quietcore.execution.order_states import State
from quietcore.execution.orders import Order, OrderLedger
from quietcore.strategy.account import Account
from quietcore.strategy.intents import BUY, PLACE, SELL, Intent
from quietcore.venues.interface import Fate, Fill, OrderUpdate


def intent(number: int = 0, side: int = BUY, size: int = 10) -> Intent:
    return Intent(number, PLACE, 0, side, 10_005, size, 7, 100, 200)


@pytest.fixture
def ledger() -> OrderLedger:
    return OrderLedger("run", "BTCUSDT", Step(1, 1), Step(1, 3), Account())


def sent(ledger: OrderLedger, number: int = 0, side: int = BUY, size: int = 10) -> Order:
    order = ledger.create(intent(number, side, size))
    ledger.sent(order)
    return order


def fill(execution: str, lots: int, order_id: str = "id", client_id: str = "run-0") -> Fill:
    return Fill(client_id, order_id, execution, Decimal(lots) / 1000, Decimal("1000.5"))


def update(fate: Fate, lots: int = 0, client_id: str = "run-0", order_id: str = "id") -> OrderUpdate:
    return OrderUpdate(client_id, order_id, fate, Decimal(lots) / 1000)


def test_decimals_on_the_wire(ledger: OrderLedger) -> None:
    request = ledger.request(sent(ledger))
    assert request.client_id == "run-0"
    assert (request.price, request.quantity, request.buy) == ("1000.5", "0.010", True)
    assert len(request.client_id) <= 36


def test_an_intent_becomes_one_order_only(ledger: OrderLedger) -> None:
    ledger.create(intent(3))
    with pytest.raises(AssertionError, match="taken twice"):
        ledger.create(intent(3))


def test_every_order_of_events_ends_alike() -> None:
    """Acknowledgement, two fills, one of them twice, the order topic's word on each: in all orders."""
    events = ["acknowledged", "first", "second", "second", "partially", "filled"]
    seen = set()
    for order_of_events in set(itertools.permutations(events)):
        ledger = OrderLedger("run", "BTCUSDT", Step(1, 1), Step(1, 3), Account())
        order = sent(ledger)
        for event in order_of_events:
            if event == "acknowledged":
                ledger.acknowledged(order, "id")
            elif event == "first":
                ledger.fill(fill("a", 4))
            elif event == "second":
                ledger.fill(fill("b", 6, client_id=""))  # found by the order's id, or kept until it is known
            elif event == "partially":
                ledger.apply(update(Fate.PARTIALLY_FILLED, 4))
            else:
                ledger.apply(update(Fate.FILLED, 10))
        counts = ledger.counts
        seen.add(
            (order.state, ledger.account.position, counts.fills, counts.duplicate_fills, counts.acknowledged)
        )
        assert ledger.open() == []
        assert outstanding(ledger, order) == 0
    assert seen == {(State.FILLED, 10, 2, 1, 1)}


def outstanding(ledger: OrderLedger, order: Order) -> int:
    from quietcore.bridge.ring import word_at
    from quietcore.strategy.account import DONE_BUY, DONE_SELL

    done = DONE_BUY if order.side == BUY else DONE_SELL
    return order.intent.size - word_at(ledger.account.address + done)


def test_cancel_and_fill_cross(ledger: OrderLedger) -> None:
    """The fill comes after the cancel: the position has it, and nothing is outstanding twice."""
    order = sent(ledger, side=SELL)
    ledger.acknowledged(order, "id")
    ledger.apply(update(Fate.CANCELLED, 0))
    assert (order.state, outstanding(ledger, order)) == (State.CANCELLED, 0)
    ledger.fill(fill("a", 3))
    assert ledger.account.position == -3
    assert outstanding(ledger, order) == 0


def test_cancelled_after_a_part(ledger: OrderLedger) -> None:
    order = sent(ledger)
    ledger.fill(fill("a", 4))
    assert (order.state, outstanding(ledger, order)) == (State.PARTIALLY_FILLED, 6)
    ledger.apply(update(Fate.CANCELLED, 4))
    assert (order.state, outstanding(ledger, order), ledger.account.position) == (State.CANCELLED, 0, 4)


def test_lost_fills_are_made_up_by_the_cumulative_quantity(ledger: OrderLedger) -> None:
    sent(ledger)
    ledger.fill(fill("a", 4))
    ledger.apply(update(Fate.FILLED, 10))
    assert ledger.account.position == 10
    ledger.fill(fill("b", 6))  # late, and no second time
    assert ledger.account.position == 10
    assert ledger.counts.fills == 2


def test_rejected_and_withheld_leave_nothing_outstanding(ledger: OrderLedger) -> None:
    order = sent(ledger)
    ledger.rejected(order, "10006 too many visits")
    assert (order.state, outstanding(ledger, order), ledger.open()) == (State.REJECTED, 0, [])
    ledger.rejected(order, "again")
    assert ledger.counts.rejected == 1
    withheld = ledger.create(intent(1, SELL))
    ledger.withheld(withheld)
    assert (outstanding(ledger, withheld), ledger.counts.withheld, ledger.counts.sent) == (0, 1, 1)


def test_uncertain_only_until_somebody_knows(ledger: OrderLedger) -> None:
    order = sent(ledger)
    ledger.uncertain(order, "no answer")
    assert order.unknown
    ledger.apply(update(Fate.OPEN))
    assert order.state is State.ACKNOWLEDGED
    told = sent(ledger, 1)
    ledger.apply(update(Fate.PARTIALLY_FILLED, 2, "run-1", "other"))
    ledger.uncertain(told, "no answer")
    assert told.state is State.PARTIALLY_FILLED


def test_final_is_final(ledger: OrderLedger) -> None:
    order = sent(ledger)
    ledger.apply(update(Fate.CANCELLED))
    ledger.apply(update(Fate.OPEN))
    ledger.apply(update(Fate.FILLED, 10))
    assert order.state is State.CANCELLED
    assert ledger.counts.cancelled == 1
    assert ledger.account.position == 10, "what was filled is filled, whatever the order is called"


def test_orders_of_others_are_counted_not_taken(ledger: OrderLedger) -> None:
    assert ledger.apply(update(Fate.FILLED, 5, "elsewhere-1", "x")) is None
    assert not ledger.fill(fill("a", 5, "x", "elsewhere-1"))
    assert ledger.counts.foreign == 2
    assert ledger.account.position == 0


@pytest.mark.parametrize("quantity", ["0.0005", "-0.001", "NaN", "Infinity"])
def test_quantities_that_cannot_be(ledger: OrderLedger, quantity: str) -> None:
    sent(ledger)
    assert not ledger.fill(Fill("run-0", "id", "a", Decimal(quantity), Decimal(1)))
    assert ledger.counts.not_understood == 1
    assert ledger.account.position == 0


def test_random_histories_keep_the_books() -> None:
    """Position equals what was truly traded, nothing outstanding is ever negative, over seeded histories."""
    for seed in range(300):
        chance = random.Random(seed)
        ledger = OrderLedger("run", "BTCUSDT", Step(1, 1), Step(1, 3), Account())
        true_position = 0
        events: list[tuple[int, int, object]] = []
        for number in range(5):
            side, size = chance.choice((BUY, SELL)), chance.randint(1, 9)
            order = sent(ledger, number, side, size)
            parts = []
            left = size
            while left and chance.random() < 0.8:
                part = chance.randint(1, left)
                left -= part
                parts.append(part)
            true_position += side * (size - left)
            name, order_id = f"run-{number}", f"id-{number}"
            end = Fate.FILLED if left == 0 else Fate.CANCELLED
            own: list[object] = [order, update(end, size - left, name, order_id)]
            for k, part in enumerate(parts):
                anonymous = "" if chance.random() < 0.3 else name
                own += [fill(f"e{k}", part, order_id, anonymous)] * chance.randint(1, 2)
            chance.shuffle(own)
            events += [(chance.randint(0, 100), number, event) for event in own]
        events.sort(key=lambda entry: entry[0])
        for _, number, event in events:
            if isinstance(event, Order):
                ledger.acknowledged(event, f"id-{number}")
            elif isinstance(event, Fill):
                ledger.fill(event)
            elif isinstance(event, OrderUpdate):
                ledger.apply(event)
        assert ledger.account.position == true_position, seed
        assert ledger.open() == [], seed
        assert ledger.counts.foreign == 0, seed


def test_step_arithmetic_is_exact() -> None:
    step = Step(5, 4)
    assert step.text(3) == "0.0015"
    assert step.text(2_000_000) == "1000.0000"
    assert step.steps(Decimal("0.0015"), "price") == 3
    with pytest.raises(QuietcoreError, match=r"multiple of 0\.0005"):
        step.steps(Decimal("0.0016"), "price")
