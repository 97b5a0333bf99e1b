"""The simulator's order entry in this process, behind a network that delays, loses and breaks.

What the venue did is the truth that the runtime is held against: requests that arrived, orders, fills, position.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from quietcore.sim.accounts import whims
from quietcore.sim.book import Book
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.instruments import Instrument as Listed
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.order_entry import Answer, Delivery, OrderEntry
from quietcore.sim.private_messages import fill_row, messages, order_row
from quietcore.sim.rate_limits import RateLimits, Rates
from quietcore.venues.bybit import private, rest
from quietcore.venues.bybit.trade_stream import REST_PATHS
from quietcore.venues.interface import (
    Event,
    Fill,
    Instrument,
    OrderRequest,
    OrderUpdate,
    OrderWays,
    Position,
    RefusedError,
    Sent,
    StreamDown,
    StreamUp,
    UncertainError,
)

SYMBOL = "XUSDT"
KEY = "key"
TIMEOUT = 3.0
LIFETIME = 5.0
RESTART_SECONDS = 0.4
LISTED = {SYMBOL: Listed(SYMBOL, 1, 2)}
UP, DOWN = StreamUp(), StreamDown("broken")


class Droppable(Protocol):
    """A connection, as the server breaks it. ``number``: in order of their making."""

    number: int

    def drop(self) -> None: ...


class SimulatedVenue:
    """The server's side. ``on_accept`` is called with each order that was accepted, before it takes effect."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.book = Book(SYMBOL)
        self.faults = Faults()
        self.loop = asyncio.get_running_loop()
        self.exchange = Exchange(
            LISTED,
            Liquidity(lambda _: self.book),
            self.now_ms,
            prefix=1,
            whims=whims(self.faults, KEY),
        )
        self.entry = OrderEntry(
            KEY, self.exchange, RateLimits(Rates(50, 0), self.now_ms), self.faults, self.tell
        )
        self.arrived: Counter[str] = Counter()  # create requests by client id
        self.streams: set[Stream] = set()
        self.sockets: set[Droppable] = set()  # of order entry
        self.away_until = 0.0
        self.on_change: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return int(self.loop.time() * 1000)

    @property
    def away(self) -> bool:
        return self.loop.time() < self.away_until

    def break_streams(self) -> None:
        for stream in list(self.streams):
            stream.drop()

    def restart(self) -> None:
        self.away_until = self.loop.time() + RESTART_SECONDS
        self.break_streams()
        for socket in sorted(self.sockets, key=lambda one: one.number):
            socket.drop()

    def tell(self, report: Report | None) -> None:
        if report is None:
            return
        for topic, rows in messages(report, self.exchange, ("execution", "order")):
            text = msgspec.json.encode({"topic": topic, "data": rows})
            times = 2 if topic == "execution" and self.faults.strikes(Fault.DUPLICATE_FILL, KEY) else 1
            for stream in list(self.streams):
                for _ in range(times):
                    stream.send(text)
        self.on_change()

    def perform(self, operation: str, body: dict[str, Any], sent_ms: int) -> Answer:
        """Do what an arrived request asks for, without its effects."""
        for fault, code in ((Fault.WRONG_KEY, 10003), (Fault.CLOCK_SKEW, 10002)):
            if self.faults.strikes(fault, KEY):
                return Answer(code, fault.value)
        if self.now_ms() - sent_ms > LIFETIME * 1000:
            return Answer(10002, "too old")
        if operation == "create":
            self.arrived[str(body.get("orderLinkId"))] += 1
        return self.entry.perform(operation, body)


class Stream:
    """One private connection: in order, late, and losing what was on its way when it breaks."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.venue = venue
        self.up = True
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.in_flight = 0
        self._last = 0.0
        venue.streams.add(self)

    def send(self, text: bytes) -> None:
        loop = self.venue.loop
        self._last = max(self._last, loop.time() + self.venue.chance.uniform(0.001, 0.03))
        self.in_flight += 1

        def arrive() -> None:
            self.in_flight -= 1
            if self.up:
                self.queue.put_nowait(text)

        loop.call_at(self._last, arrive)

    def drop(self) -> None:
        if self.up:
            self.up = False
            self.venue.streams.discard(self)
            self.queue.put_nowait(None)


class LinkedVenue:
    """The client's side by REST, as the runtime's `OrderVenue`. ``cut`` is the death of the client's process."""

    name = "simulated"
    request_lifetime = LIFETIME

    def __init__(self, server: SimulatedVenue) -> None:
        self.server = server
        self.dead = False
        self.by_rest = 0
        self.sent: list[tuple[float, OrderRequest]] = []

    def cut(self) -> None:
        self.dead = True

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def instrument(self, symbol: str) -> Instrument:
        return Instrument(symbol, Decimal("0.1"), Decimal("0.01"), Decimal("0.01"), Decimal(1000), Decimal(5))

    async def place(self, order: OrderRequest) -> Sent:
        self.sent.append((self.server.loop.time(), order))
        body = {
            **{"symbol": order.symbol, "side": "Buy" if order.buy else "Sell"},
            **{"orderType": "Limit", "qty": order.quantity, "price": order.price},
            **{"timeInForce": "PostOnly" if order.post_only else "GTC", "orderLinkId": order.client_id},
        }
        return await self._send("order.create", body)

    async def cancel(self, symbol: str, client_id: str) -> Sent:
        return await self._send("order.cancel", {"symbol": symbol, "orderLinkId": client_id})

    async def _send(self, operation: str, words: dict[str, Any]) -> Sent:
        result, written_ns = await self.post(REST_PATHS[operation], {"category": "linear", **words})
        return Sent(result["orderId"], written_ns)

    async def post(self, path: str, body: dict[str, Any]) -> tuple[Any, int]:
        """Send an order request by REST."""
        self.by_rest += 1
        return await self._request(path.rpartition("/")[2], body), 1

    async def switch_endpoints(self, websocket: str, rest: str) -> float:
        return 0.0

    def order_ways(self) -> OrderWays:
        return OrderWays(0, self.by_rest)

    async def cancel_all(self, symbol: str) -> None:
        await self._request("cancel-all", {"category": "linear", "settleCoin": "USDT"})

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        raise RefusedError(10005, "not for this account")

    async def query(self, symbol: str, client_id: str) -> OrderUpdate | None:
        rows = await self._ask(lambda: self._rows_of(client_id))
        return private.order_update(rows[0]) if rows else None

    async def open_orders(self, symbol: str) -> list[OrderUpdate]:
        exchange = self.server.exchange
        rows = await self._ask(lambda: [order_row(order) for order in exchange.cancel_all()])
        return [update for row in rows if (update := private.order_update(row)) is not None]

    async def executions(self, symbol: str, since_ms: int) -> list[Fill]:
        exchange = self.server.exchange
        rows = await self._ask(
            lambda: [fill_row(one) for one in exchange.executions if one.time_ms >= since_ms]
        )
        return [fill for row in rows if (fill := private.fill(row)) is not None]

    async def position(self, symbol: str) -> Position:
        positions = self.server.exchange.wallet.positions

        def look() -> list[Any]:
            held = positions.get((SYMBOL, 0))
            return [] if held is None else [(held.size, held.entry)]

        found = await self._ask(look)
        return Position(*found[0]) if found else Position(Decimal(0), Decimal(0))

    async def events(self) -> AsyncGenerator[Event, None]:
        chance = self.server.chance
        while True:
            await asyncio.sleep(chance.uniform(0.002, 0.02))
            if self.server.away:
                continue
            stream = Stream(self.server)
            try:
                yield UP
                while (text := await stream.queue.get()) is not None:
                    events, skipped = private.parse(text)
                    assert skipped == 0
                    for event in events:
                        yield event
            finally:
                stream.drop()
            yield DOWN
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    # the network

    def _rows_of(self, client_id: str) -> list[Any]:
        order = self.server.exchange.find({"orderLinkId": client_id})
        return [] if order is None else [order_row(order)]

    async def _ask(self, look: Callable[[], list[Any]]) -> list[Any]:
        """Query the venue: nothing but time, restarts and a wrong key come between."""
        server, chance = self.server, self.server.chance
        self._check_alive()
        await asyncio.sleep(chance.uniform(0.001, 0.02))
        if server.away:
            raise UncertainError("connection lost")
        if server.faults.strikes(Fault.WRONG_KEY, KEY):
            raise UncertainError("10003 refused")
        found = look()
        await asyncio.sleep(chance.uniform(0.001, 0.02))
        return found

    async def _request(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send an order request; it goes on even where the one who sent it is no more."""
        server, chance = self.server, self.server.chance
        self._check_alive()
        loop, sent_ms = server.loop, server.now_ms()
        answered: asyncio.Future[Answer] = loop.create_future()
        # Now and then a request hangs in the network for longer than its sender waits.
        travel = chance.uniform(0.001, 0.02) if chance.random() > 0.05 else chance.uniform(2.5, 5.5)

        def answer(value: Answer | Exception, delay: float) -> None:
            def settle() -> None:
                if not answered.done():
                    if isinstance(value, Exception):
                        answered.set_exception(value)
                    else:
                        answered.set_result(value)

            loop.call_later(delay, settle)

        def arrive() -> None:
            if server.away:
                answer(UncertainError("connection lost"), 0.001)
                return
            made = server.perform(operation, body, sent_ms)
            delivery = made.delivery
            back = chance.uniform(0.001, 0.02)
            if delivery in (Delivery.LOST, Delivery.RESTART):
                if delivery is Delivery.RESTART:
                    server.restart()
                answer(UncertainError("connection lost"), 0.001)
                return
            server.entry.effects(made)
            if delivery is Delivery.DISCONNECT:
                server.break_streams()
                answer(UncertainError("connection lost"), 0.001)
            elif delivery is not Delivery.NEVER:
                answer(made, back + (0.05 if delivery is Delivery.EFFECTS_FIRST else 0.0))

        loop.call_later(travel, arrive)
        try:
            async with asyncio.timeout(TIMEOUT):
                made = await answered
        except TimeoutError:
            raise UncertainError("no answer", 1) from None
        content = msgspec.json.encode({"retCode": made.code, "retMsg": made.message, "result": made.result})
        result, _ = rest.judge(200, content, 1)
        assert isinstance(result, dict)
        return result

    def _check_alive(self) -> None:
        if self.dead:
            raise asyncio.CancelledError
