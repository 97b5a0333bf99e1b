"""Large orders in pieces: sums are exact, no rate is broken, nothing is sent twice, a cancel in the middle holds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios import virtual_time
from tests.sim.harness import get, post, run, simulator

from quietcore.errors import QuietcoreError
from quietcore.execution.bus import EventBus
from quietcore.execution.slicing import RateBudget, split
from quietcore.execution.smart_limit import Child, ChildState, ParentOrder, SmartLimitExecutor
from quietcore.sim.source import generated
from quietcore.venues.interface import Instrument, RefusedError, UncertainError

RULES = Instrument("BTCUSDT", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(100), Decimal(5))


def parent(size: str = "1", price: str = "60000", **more: Any) -> ParentOrder:
    return ParentOrder("BTCUSDT", True, Decimal(size), Decimal(price), **more)


class Http:
    """Keeps what was sent and when; ``faults`` says what becomes of the n-th order."""

    def __init__(self, faults: dict[int, str] | None = None) -> None:
        self.orders: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.batches: list[int] = []
        self.known: dict[str, dict[str, Any]] = {}
        self.cancelled: list[str] = []
        self._faults = faults or {}

    async def place_order(self, **order: str | bool | int) -> dict[str, Any]:
        fault = self._faults.get(len(self.orders))
        self.orders.append(order)
        self.times.append(asyncio.get_running_loop().time())
        link = str(order["orderLinkId"])
        await asyncio.sleep(0.003)
        if fault == "refused":
            raise RefusedError(10006, "Too many visits")
        if fault != "lost":
            self.known[link] = {"orderLinkId": link, "orderId": f"id-{link}", "orderStatus": "New"}
        if fault in ("lost", "unanswered"):
            raise UncertainError("no answer")
        return self.known[link]

    async def until(self, count: int) -> None:
        while len(self.orders) < count:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.001)

    async def place_batch(self, orders: list[dict[str, Any]]) -> dict[str, Any]:
        self.batches.append(len(orders))
        rows = [await self.place_order(**order) for order in orders]
        return {"list": [*rows[:-1], {"orderLinkId": orders[-1]["orderLinkId"], "orderId": ""}]}

    async def cancel_order(self, **order: str | bool | int) -> dict[str, Any]:
        link = str(order["orderLinkId"])
        self.cancelled.append(link)
        if link not in self.known:
            raise RefusedError(110001, "order not exists")
        self.known[link]["orderStatus"] = "Cancelled"
        return {}

    async def open_orders(self, **scope: str) -> list[dict[str, Any]]:
        found = self.known.get(scope["orderLinkId"])
        return [found] if found else []


def play(
    story: Callable[[SmartLimitExecutor, Http, EventBus], Awaitable[Any]],
    faults: dict[int, str] | None = None,
    **options: Any,
) -> tuple[Any, Http, EventBus]:
    """Run a story in virtual time."""
    http, bus = Http(faults), EventBus()

    async def main() -> Any:
        executor = SmartLimitExecutor(
            bus,
            http,
            rules={"BTCUSDT": RULES},
            chance=random.Random(1),
            clock=asyncio.get_running_loop().time,
            **options,
        )
        result = await story(executor, http, bus)
        assert not executor._runs
        return result

    result = virtual_time.run(main())
    assert bus.failures == []
    links = [order["orderLinkId"] for order in http.orders]
    assert len(set(links)) == len(links), "an order was sent twice"
    return result, http, bus


def rate(times: list[float]) -> int:
    """Return the most orders within any second."""
    return max((sum(first <= time < first + 1.0 for time in times) for first in times), default=0)


# the arithmetic --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    lots=st.integers(1, 5_000_000),
    ticks=st.integers(1, 10_000_000),
    wanted=st.integers(1, 200),
    exponents=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    least=st.integers(1, 50),
    most=st.integers(50, 100_000),
    value=st.integers(0, 100),
)
def test_parts_sum_up_to_the_last_step(
    lots: int, ticks: int, wanted: int, exponents: tuple[int, int], least: int, most: int, value: int
) -> None:
    tick, lot = (Decimal(1).scaleb(-exponent) for exponent in exponents)
    rules = Instrument("X", tick, lot, least * lot, most * lot, Decimal(value))
    size, price = lots * lot, ticks * tick
    try:
        parts = split(size, price, rules, wanted)
    except QuietcoreError:
        least_lots = max(least, int((value / (lot * price)).to_integral_value(ROUND_CEILING)))
        assert lots < least_lots or -(-lots // most) > min(1000, lots // least_lots)
        return
    assert sum(parts) == size
    assert all(part % lot == 0 for part in parts)
    assert max(parts) - min(parts) <= lot
    assert max(parts) <= rules.max_quantity
    assert min(parts) >= rules.min_quantity
    assert min(parts) * price >= value


@pytest.mark.parametrize(
    ("size", "price"),
    [("1.0005", "60000"), ("1", "60000.05"), ("0", "1"), ("-1", "1"), ("NaN", "1"), ("1", "Infinity")],
)
def test_what_is_no_multiple_of_a_step_is_refused(size: str, price: str) -> None:
    with pytest.raises(QuietcoreError, match="is not possible"):
        split(Decimal(size), Decimal(price), RULES, 5)


@settings(deadline=None)
@given(
    limit=st.integers(1, 12),
    parents=st.lists(
        st.tuples(st.floats(0, 3), st.lists(st.floats(0, 0.3), min_size=1, max_size=25)), max_size=5
    ),
)
def test_stretched_times_keep_to_the_rate(limit: int, parents: list[tuple[float, list[float]]]) -> None:
    budget = RateBudget(limit, margin=0.0)
    everything: list[float] = []
    for start, gaps in parents:
        wanted = [start]
        for gap in gaps[1:]:
            wanted.append(wanted[-1] + gap)
        found = budget.earliest(wanted)
        assert all(at >= wish for at, wish in zip(found, wanted, strict=True))
        assert found == sorted(found)
        assert budget.fits(found)
        budget.reserve(found, -10.0)
        everything += found
    everything.sort()
    for first in range(len(everything) - limit):
        assert everything[first + limit] - everything[first] >= 1.0 - 2e-6


def test_budget_gives_back_and_forgets() -> None:
    budget = RateBudget(2, margin=0.0)
    budget.reserve([1.0, 1.1], 1.0)
    assert not budget.fits([1.2])
    assert budget.earliest_together(2, 1.2) == pytest.approx(2.1)
    budget.release([1.1, 5.0])
    assert budget.fits([1.2])
    budget.reserve([], 3.0)
    assert budget.fits([1.0, 1.2])
    with pytest.raises(ValueError, match="at least 1"):
        RateBudget(0)


# the executor ----------------------------------------------------------------------------------------------------


def test_jittered_children_and_their_metadata() -> None:
    seen: list[Any] = []

    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        bus.subscribe("child", seen.append)
        return await executor.place_post_only_order_with_jitter(parent("1.007", metadata={"desk": "a"}))

    children, http, _ = play(story)
    assert len(children) == len(http.orders) == 10
    assert sum(child.size for child in children) == Decimal("1.007")
    for number, (child, order) in enumerate(zip(children, http.orders, strict=True)):
        assert child.state is ChildState.ACCEPTED
        assert child.metadata == {
            **{"desk": "a", "jittered": True, "jitter_index": number},
            **{"jitter_total": 10, "parent_size": Decimal("1.007")},
        }
        assert (order["timeInForce"], order["qty"], order["side"]) == ("PostOnly", f"{child.size:f}", "Buy")
    gaps = [after - before for before, after in zip(http.times, http.times[1:], strict=False)]
    assert all(0.005 <= gap <= 0.0151 for gap in gaps)
    assert len(set(gaps)) > 5, "random"
    assert [one["state"] for one in seen].count("accepted") == 10


def test_below_the_threshold_or_switched_off_it_stays_whole() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[list[Child]]:
        small = await executor.place_post_only_order_with_jitter(parent("0.499"))
        executor.set_jitter_parameters(False)
        return [small, await executor.place_post_only_order_with_jitter(parent("2"))]

    both, _, _ = play(story)
    for children in both:
        assert len(children) == 1
        assert (children[0].metadata["jittered"], children[0].metadata["jitter_total"]) == (False, 1)


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> None:
        executor.set_jitter_parameters(True, order_count=11)
        with pytest.raises(
            QuietcoreError, match=r"does not fit the venue's rate.*11 orders.*stretched"
        ) as error:
            await executor.place_post_only_order_with_jitter(parent())
        assert "at most 10 a second" in error.value.message()
        assert http.orders == []
        executor.set_jitter_parameters(True, order_count=10)
        await executor.place_post_only_order_with_jitter(parent())
        with pytest.raises(QuietcoreError, match="does not fit"):  # the second is not over
            await executor.place_post_only_order_with_jitter(parent())
        await asyncio.sleep(1.2)
        await executor.place_post_only_order_with_jitter(parent())
        assert len(http.orders) == 20

    _, http, _ = play(story)
    assert rate(http.times) <= 10


def test_parents_side_by_side_stretch_within_one_rate() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> None:
        executor.set_jitter_parameters(True, order_count=17)
        await asyncio.gather(
            *(executor.place_post_only_order_with_jitter(parent(stretch=True)) for _ in range(3))
        )

    _, http, _ = play(story)
    assert len(http.orders) == 51
    assert rate(http.times) == 10


def test_batches_are_unjittered_and_have_their_own_rate() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        executor.set_jitter_parameters(True, order_count=25)
        with pytest.raises(QuietcoreError, match="does not fit"):
            await executor.place_post_only_order_with_jitter(parent(batch=True))
        return await executor.place_post_only_order_with_jitter(parent(batch=True, stretch=True))

    children, http, _ = play(story)
    assert http.batches == [10, 10, 5]
    assert sum(child.size for child in children) == 1
    assert {child.state for child in children} == {ChildState.ACCEPTED}, "unnamed in the answer: asked for"


def test_refused_lost_and_unanswered_children() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        return await executor.place_post_only_order_with_jitter(parent())

    children, http, _ = play(story, {2: "refused", 4: "unanswered", 6: "lost"})
    states = [child.state for child in children]
    assert states[2] is ChildState.REFUSED
    assert states[4] is ChildState.ACCEPTED
    assert (states[6], children[6].reason) == (ChildState.REFUSED, "never arrived")
    assert len(http.orders) == 10


def test_cancel_in_the_middle() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        whole = parent(parent_id="middle")
        placing = asyncio.create_task(executor.place_post_only_order_with_jitter(whole))
        await http.until(4)
        assert await executor.cancel("middle")
        children = await placing
        assert not await executor.cancel("middle")
        return children

    children, http, _ = play(story)
    assert 4 <= len(http.orders) <= 5
    assert {order["orderStatus"] for order in http.known.values()} == {"Cancelled"}
    assert [child.state for child in children[5:]] == [ChildState.NOT_SENT] * 5


def test_twap_spreads_evenly() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        with pytest.raises(QuietcoreError, match="not fit"):
            await executor.place_twap(parent(), 1.0, 50)
        return await executor.place_twap(parent(), 12.0, 7)

    children, http, _ = play(story)
    assert sum(child.size for child in children) == 1
    assert http.times[-1] - http.times[0] == pytest.approx(12.0, abs=0.01)
    assert not children[0].metadata["jittered"]


def test_iceberg_shows_one_piece_at_a_time() -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        placing = asyncio.create_task(executor.place_iceberg(parent("1"), Decimal("0.3")))
        for number in range(3):
            await http.until(number + 1)
            await asyncio.sleep(3.0)
            assert len(http.orders) == number + 1
            row = http.known[str(http.orders[number]["orderLinkId"])]
            row["orderStatus"] = "Filled" if number < 2 else "Cancelled"
            if number == 0:
                bus.publish("order", row)
        return await placing

    children, http, _ = play(story)
    assert [child.size for child in children] == [Decimal("0.25")] * 4
    assert (len(http.orders), children[3].state) == (3, ChildState.NOT_SENT)


def test_pieces_that_the_venue_has_forgotten_are_over_and_late_ones_are_not() -> None:
    """An accepted order may be listed later than its cancel comes; one that is not listed for seconds is no more."""

    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> list[Child]:
        loop = asyncio.get_running_loop()
        end = loop.time() + 20.0
        placing = asyncio.create_task(executor.place_iceberg(parent("1", parent_id="ice"), Decimal("0.5")))
        await http.until(1)
        await asyncio.sleep(3.0)
        http.known.clear()
        children = await placing
        assert loop.time() < end
        late = asyncio.create_task(executor.place_iceberg(parent("1", parent_id="late"), Decimal(1)))
        await http.until(2)
        await asyncio.sleep(1.0)
        hidden = dict(http.known)
        http.known.clear()
        cancelling = asyncio.create_task(executor.cancel("late"))
        await asyncio.sleep(2.0)
        assert not cancelling.done()
        http.known.update(hidden)
        await cancelling
        await late
        return children

    children, http, _ = play(story)
    assert (children[0].reason, children[1].state) == (
        "the venue does not know it any more",
        ChildState.NOT_SENT,
    )
    assert http.known["late-0"]["orderStatus"] == "Cancelled"


def test_pieces_of_a_batch_that_are_refused_keep_the_venues_words() -> None:
    class Refusing(Http):
        async def place_batch(self, orders: list[dict[str, Any]]) -> dict[str, Any]:
            rows = [{"orderLinkId": one["orderLinkId"], "orderId": ""} for one in orders]
            return {"list": [{**row, "code": 110007, "refused": "110007 ab not enough"} for row in rows]}

    async def story() -> list[Child]:
        executor = SmartLimitExecutor(EventBus(), Refusing(), rules={"BTCUSDT": RULES})
        return await executor.place_post_only_order_with_jitter(parent(batch=True))

    children = virtual_time.run(story())
    assert {(child.state, child.reason) for child in children} == {
        (ChildState.REFUSED, "110007 ab not enough")
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_count": 0},
        {"order_count": 1001},
        {"delay_min_ms": -1},
        {"delay_min_ms": 20},
        {"delay_max_ms": float("inf")},
        {"delay_min_ms": float("nan")},
        {"min_size_threshold": "NaN"},
        {"min_size_threshold": -1},
        {"min_size_threshold": "x"},
    ],
)
def test_impossible_jitter_is_refused(wrong: dict[str, Any]) -> None:
    async def story(executor: SmartLimitExecutor, http: Http, bus: EventBus) -> None:
        with pytest.raises(QuietcoreError, match="jitter parameters"):
            executor.set_jitter_parameters(True, **wrong)
        with pytest.raises(QuietcoreError, match="no rules for the symbol"):
            await executor.place_post_only_order_with_jitter(ParentOrder("ETH", True, Decimal(1), Decimal(1)))
        with pytest.raises(QuietcoreError, match="too small"):
            await executor.place_post_only_order_with_jitter(parent("0.001", "1"))
        with pytest.raises(QuietcoreError, match="visible size"):
            await executor.place_iceberg(parent("1"), Decimal(2))

    play(story)


def test_a_subscribers_fault_is_its_own() -> None:
    bus = EventBus()
    got: list[Any] = []

    def broken(event: Any) -> None:
        raise ValueError(event)

    bus.subscribe("t", broken)
    stop = bus.subscribe("t", got.append)
    bus.publish("t", 1)
    stop()
    bus.publish("t", 2)
    assert got == [1]
    assert [str(error) for _, error in bus.failures] == ["1", "2"]


def test_on_the_simulator_with_its_rates() -> None:
    """The children rest at the venue, sum up there too, and its own limit never refuses one."""
    from quietcore.sim.rate_limits import Rates

    async def test() -> None:
        source = generated(5, 1, 50, 1)
        async with simulator(source, rates=Rates(10, 0)) as (simulation, session):
            simulation.venue.replay.start()
            await simulation.replay

            class Client(Http):
                async def place_order(self, **order: str | bool | int) -> dict[str, Any]:
                    answer = await post(session, "/v5/order/create", {"category": "linear", **order})
                    if answer["retCode"]:
                        raise RefusedError(answer["retCode"], answer["retMsg"])
                    result: dict[str, Any] = answer["result"]
                    return result

                async def open_orders(self, **scope: str) -> list[dict[str, Any]]:
                    query = "&".join(f"{name}={value}" for name, value in scope.items())
                    answer = await get(session, "/v5/order/realtime", f"category=linear&{query}")
                    found: list[dict[str, Any]] = answer["result"]["list"]
                    return found

            # On a busy machine the network is this one loop, and it may stall.
            executor = SmartLimitExecutor(EventBus(), Client(), rules={"BTCUSDT": RULES}, rate_margin=2.0)
            executor.set_jitter_parameters(True, order_count=24)
            children = await executor.place_post_only_order_with_jitter(parent("2.5", "50000", stretch=True))
            account = simulation.venue.accounts.first
            assert {child.state for child in children} == {ChildState.ACCEPTED}
            assert account.limits.refused == 0
            resting = account.exchange.cancel_all()
            assert len(resting) == 24
            assert sum(order.quantity for order in resting) == Decimal("2.5")

    run(test)
