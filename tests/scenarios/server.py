"""The simulated venue in this process: its REST paths, order entry and private streams, without sockets.

What the venue did is the truth that the runtime is held against: requests that arrived, orders, fills, position. It
is as strict as over the network: signatures over the bytes that came, parameters, filters, cursors, position modes.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec

from quietcore.sim.accounts import whims
from quietcore.sim.authentication import Authenticator, Credentials
from quietcore.sim.book import Book
from quietcore.sim.clock import Clock
from quietcore.sim.externals import External
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.instruments import Instrument, bybit_page
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report
from quietcore.sim.order_entry import Answer, Delivery, OrderEntry
from quietcore.sim.parameters import QUERIES
from quietcore.sim.private_messages import messages
from quietcore.sim.queries import Queries
from quietcore.sim.rate_limits import RateLimits, Rates
from quietcore.sim.refusal import HttpRefusal, Reject
from quietcore.sim.refusals import Refusals
from quietcore.sim.statistics import Statistics

SYMBOL = "XUSDT"
OTHERS = "XPERP", "X-26DEC25"  # contracts of the same category that settle in another coin
KEY, SECRET = "key", "secret"
LIFETIME = 5.0
RESTART_SECONDS = 0.4
CANCELLED_BY_RESTART = 0.3
LATE = 0.05  # of order requests, how many hang in the network for longer than their sender waits
LISTED = {name: Instrument(name, 1, 2) for name in (SYMBOL, *OTHERS)}
ORDERS = "/v5/order/"
ROWS_OF_A_PAGE = 3  # whatever limit is asked for: every list has several pages
ADDRESS = "here"
NEVER_ARRIVED = Delivery.LOST, Delivery.RESTART, Delivery.EMPTY_RESTART


class Droppable(Protocol):
    """A connection, as the server breaks it. ``number``: in order of their making."""

    number: int

    def drop(self) -> None: ...


class Served(NamedTuple):
    """An answer: HTTP status, body, headers; of an order request also what follows it."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    answer: Answer | None = None


class SimulatedVenue:
    """The server's side. ``on_change`` is called with everything that happened."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.book = Book(SYMBOL)
        self.loop = asyncio.get_running_loop()
        self.faults, self.statistics = Faults(Clock.of(self.now_ms)), Statistics()
        self.refusals = Refusals(self.faults, self.statistics)
        self.last_price: Decimal | None = None
        self.exchange = Exchange(
            LISTED,
            Liquidity(lambda _: self.book, lambda _: self.last_price),
            self.now_ms,
            prefix=1,
            whims=whims(self.faults, KEY),
        )
        limits = RateLimits(Rates(50, 0), Clock.of(self.now_ms), self.statistics)
        self.entry = OrderEntry(KEY, self.exchange, limits, self.faults, self.tell, self.statistics)
        self.queries = Queries(
            self.exchange,
            self.now_ms,
            self.statistics,
            odd_status=lambda: self.faults.strikes(Fault.ODD_STATUS, KEY),
            most_rows=ROWS_OF_A_PAGE,
        )
        self._authenticator = Authenticator(Credentials(KEY, SECRET), self.now_ms)
        self.arrived: Counter[str] = Counter()  # create requests by client id
        self.late = LATE
        self.restarts_after_next = (
            False  # an order is taken, and nobody hears of it: what it came to is history
        )
        self.pages = 0  # asked for by a cursor
        self.external_lots = Decimal(0)  # that others than the runtime moved the position by, or may
        self.streams: set[Stream] = set()
        self.sockets: set[Droppable] = set()  # of order entry
        self.away_until = 0.0
        self.on_change: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return int(self.loop.time() * 1000)

    @property
    def away(self) -> bool:
        return self.loop.time() < self.away_until

    # what happens to everybody

    def break_streams(self) -> None:
        for stream in list(self.streams):
            stream.drop()

    def restart(self, *, empty: bool = False) -> None:
        if empty:
            self.exchange.forget()
        else:
            # What ends while it is away stands in the history alone, as what had ended before.
            self.loop.call_later(RESTART_SECONDS / 2, self._clean_up)
            self.loop.call_later(RESTART_SECONDS, self.exchange.restarted)
        self.away_until = self.loop.time() + RESTART_SECONDS
        self.break_streams()
        for socket in sorted(self.sockets, key=lambda one: one.number):
            socket.drop()

    def _clean_up(self) -> None:
        """Cancel some of what rests: nobody listens."""
        for order in self.exchange.cancel_all():
            if self.chance.random() < CANCELLED_BY_RESTART:
                self.tell(self.exchange.cancelled(order, "CancelByAdmin"))

    def tell(self, report: Report | None) -> None:
        if report is None:
            return
        for topic, rows in messages(report, self.exchange, ("execution", "order")):
            text = msgspec.json.encode({"topic": topic, "data": rows})
            times = 2 if topic == "execution" and self.faults.strikes(Fault.DUPLICATE_FILL, KEY) else 1
            if self.faults.strikes(Fault.MUTE, KEY):
                for stream in self.streams:
                    stream.mute = True
            for stream in list(self.streams):
                for _ in range(times):
                    stream.send(text)
        self.on_change()

    def execute(self, wish: External) -> None:
        """Let the venue move the position by itself."""
        if wish.symbol == SYMBOL:
            self.external_lots += wish.quantity
        self.tell(self.exchange.external(wish))

    # requests

    def serve(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Served:
        """Answer a REST request; the effects of an order request are left to its delivery."""
        path, _, query = target.partition("?")
        answer = None
        try:
            self.refusals.check_visitor(ADDRESS, query=method == "GET")
            if path == "/v5/market/time":
                result: Any = {
                    "timeSecond": str(self.now_ms() // 1000),
                    "timeNano": str(self.now_ms() * 10**6),
                }
            elif path == "/v5/market/instruments-info":
                words = dict(parse_qsl(query))
                page, _ = bybit_page(LISTED.values(), symbol=words.get("symbol"), limit=500, cursor="")
                result = {"category": "linear", "list": page, "nextPageCursor": ""}
            elif method == "GET" and path in QUERIES:
                self._check(headers, query.encode())
                words = dict(parse_qsl(query, keep_blank_values=True))
                self.pages += "cursor" in words
                result = self.queries.answer(path, words)
            elif method == "POST" and path.startswith(ORDERS):
                self._check(headers, body)
                answer = self._order(path.removeprefix(ORDERS), msgspec.json.decode(body))
                if answer.code:
                    raise Reject(answer.code, answer.message)
                result = answer.result
            else:
                return self._envelope({}, 10017, "Route not found.", status=404)
        except HttpRefusal as refusal:
            return Served(refusal.status, refusal.body.encode(), refusal.headers)
        except Reject as reject:
            refused = self._envelope({}, reject.code, str(reject))
            return refused._replace(headers=reject.headers, answer=answer)
        return self._envelope(result)._replace(answer=answer)

    def perform(self, operation: str, body: dict[str, Any], sent_ms: int) -> Answer:
        """Do what a request over an authenticated socket asks for, without its effects."""
        try:
            self.refusals.check_authentication(KEY)
            self.refusals.check_request(KEY)
            if self.now_ms() - sent_ms > LIFETIME * 1000:
                raise Reject(10002, "too old")
        except Reject as reject:
            return Answer(reject.code, str(reject))
        return self._order(operation, body)

    def _order(self, operation: str, body: dict[str, Any]) -> Answer:
        answer = self.entry.perform(operation, body)
        if self.restarts_after_next and operation == "create" and answer.delivery not in NEVER_ARRIVED:
            self.restarts_after_next = False
            self.arrived[str(body.get("orderLinkId"))] += 1
            self.entry.effects(answer)
            answer = Answer(delivery=Delivery.RESTART)
        if operation == "create" and answer.delivery not in NEVER_ARRIVED:
            self.arrived[str(body.get("orderLinkId"))] += 1
            for stream in self.streams:
                if stream.mute and not answer.code:
                    stream.unheard_since = stream.unheard_since or self.loop.time()
        return answer

    def _check(self, headers: Mapping[str, str], signed: bytes) -> None:
        self.refusals.check_authentication(KEY)
        self._authenticator.check_rest(headers, signed)
        self.refusals.check_request(KEY)

    def _envelope(self, result: Any, code: int = 0, message: str = "OK", *, status: int = 200) -> Served:
        words = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": self.now_ms(),
        }
        return Served(status, msgspec.json.encode(words), {})


class Stream:
    """One private connection: in order, late, and losing what was on its way when it breaks."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.venue = venue
        self.up = True
        self.mute = False
        self.unheard_since = 0.0  # an order was taken, and nothing was told of it
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.in_flight = 0
        self._last = 0.0
        venue.streams.add(self)

    def send(self, text: bytes) -> None:
        if self.mute:
            return
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
