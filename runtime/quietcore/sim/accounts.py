"""The accounts that may trade: each with its key, orders, limits and private clients."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from quietcore.sim.authentication import Authenticator, Credentials
from quietcore.sim.clock import Clock
from quietcore.sim.faults import Fault, Faults
from quietcore.sim.hub import Client, Hub
from quietcore.sim.instruments import Instrument
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.matching import Exchange, Report, Whims
from quietcore.sim.order_entry import OrderEntry
from quietcore.sim.private_messages import messages
from quietcore.sim.queries import Queries
from quietcore.sim.rate_limits import UNLIMITED, RateLimits, Rates
from quietcore.sim.refusal import Reject
from quietcore.sim.refusals import Refusals
from quietcore.sim.statistics import Statistics

LEAST_WINDOW, MOST_WINDOW = 3, 300  # seconds of a disconnect-cancel
# Only connections that subscribe it count: bybit-exchange.github.io/docs/v5/websocket/private/dcp
DISCONNECT_TOPIC = "dcp.future"


class Account:
    """One account: its exchange of orders, its order entry, and the clients of its private topics."""

    def __init__(
        self,
        credentials: Credentials,
        instruments: Mapping[str, Instrument],
        liquidity: Liquidity,
        faults: Faults,
        clock: Clock,
        *,
        rates: Rates = UNLIMITED,
        institutional: bool = False,
        stall_limit: float = 30.0,
        prefix: int | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        statistics = statistics or Statistics()
        now_ms = clock.now_ms
        self.key = credentials.key
        self.authenticator = Authenticator(credentials, now_ms)
        self.hub = Hub(stall_limit=stall_limit)
        self.institutional = institutional
        self.disconnect_window = 0.0  # seconds, 0: not armed
        self._faults, self._now_ms = faults, now_ms
        self.exchange = Exchange(
            instruments,
            liquidity,
            now_ms,
            prefix=prefix,
            whims=whims(faults, self.key),
        )
        self.limits = RateLimits(rates, clock, statistics)
        self.entry = OrderEntry(self.key, self.exchange, self.limits, faults, self.tell, statistics)
        self.queries = Queries(
            self.exchange,
            now_ms,
            statistics,
            odd_status=lambda: faults.strikes(Fault.ODD_STATUS, self.key),
        )
        self._outgoing: asyncio.Queue[tuple[str, list[dict[str, Any]]]] = asyncio.Queue()
        self._cancelling: asyncio.TimerHandle | None = None
        self._guarded: set[Client] = set()  # whose end arms the disconnect-cancel

    # what happened ------------------------------------------------------------------------------------------
    def tell(self, report: Report) -> None:
        """Send what happened to the private topics, in the order of the calls."""
        for topic, rows in messages(report, self.exchange):
            times = 1
            if topic == "execution" and self._faults.strikes(Fault.DUPLICATE_FILL, self.key):
                times = 2
            for _ in range(times):
                self._outgoing.put_nowait((topic, rows))

    async def run(self) -> None:
        """Deliver private messages until cancelled."""
        while True:
            plain_topic, rows = await self._outgoing.get()
            if self._faults.strikes(Fault.MUTE, self.key):
                self.mute()
            for topic in (plain_topic, f"{plain_topic}.linear"):
                message = {
                    **{"id": uuid.uuid4().hex, "topic": topic},
                    **{"creationTime": self._now_ms(), "data": rows},
                }
                await self.hub.publish(topic, msgspec.json.encode(message))

    @property
    def told(self) -> bool:
        """Whether everything that happened has been handed to the private clients."""
        return self._outgoing.empty()

    def mute(self) -> None:
        """Leave every private connection that there is open, and say nothing on it any more."""
        for client in self.hub.clients:
            client.mute = True

    # disconnect-cancel --------------------------------------------------------------------------------------
    def arm_disconnect(self, product: object, window: object) -> None:
        """Cancel everything when the last guarded connection has been gone for `window` seconds; raise Reject."""
        if product != "DERIVATIVES":
            found = product or "OPTIONS (the default)"
            raise Reject(10001, f"params error: product {found} is not supported by this simulator")
        if not self.institutional:
            raise Reject(10005, "Permission denied: disconnect-cancel-all is for institutional accounts")
        if not isinstance(window, int) or not LEAST_WINDOW <= window <= MOST_WINDOW:
            raise Reject(10001, f"params error: timeWindow must be {LEAST_WINDOW} to {MOST_WINDOW}")
        self.disconnect_window = window

    def subscribed(self, client: Client) -> None:
        """Take note of a private connection's topics: those with `DISCONNECT_TOPIC` are guarded, no others."""
        if DISCONNECT_TOPIC in client.topics:
            self._guarded.add(client)
            self._end_timer()
        else:
            self._guarded.discard(client)

    def disconnected(self, client: Client) -> None:
        """Take note that a private connection has gone; without any that is guarded the time begins to run."""
        guarded = client in self._guarded
        self._guarded.discard(client)
        if guarded and self.disconnect_window and not self._guarded:
            loop = asyncio.get_running_loop()
            self._cancelling = loop.call_later(self.disconnect_window, self._cancel_everything)

    def _end_timer(self) -> None:
        if self._cancelling is not None:
            self._cancelling.cancel()
            self._cancelling = None

    def _cancel_everything(self) -> None:
        for order in self.exchange.cancel_all():
            self.tell(self.exchange.cancelled(order, "CancelByDCP"))

    def close(self) -> None:
        """Forget a cancel that is due."""
        self._end_timer()

    def drop_streams(self) -> None:
        """Break every private connection."""
        for client in list(self.hub.clients):
            client.abort()


class Accounts:
    """All accounts, by key; the first is the one that `state` tells of by default."""

    def __init__(self, accounts: list[Account], refusals: Refusals) -> None:
        self._by_key = {account.key: account for account in accounts}
        self._refusals = refusals

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_key.values())

    @property
    def first(self) -> Account:
        """The account that was named first."""
        return next(iter(self))

    def find(self, key: object) -> Account:
        """Return the account of an API key; raise Reject 10003, or what a fault refuses it with."""
        account = self._by_key.get(key) if isinstance(key, str) else None
        if account is None:
            raise Reject(10003, "API key is invalid.")
        self._refusals.check_authentication(account.key)
        return account

    def check_rest(self, headers: Mapping[str, str], payload: bytes) -> Account:
        """Return the account that signed a REST request; raise Reject.

        `payload`: the bytes of query string or body, as they came.
        """
        account = self.find(headers.get("X-BAPI-API-KEY", ""))
        account.authenticator.check_rest(headers, payload)
        self._refusals.check_request(account.key)
        return account

    def check_socket(self, arguments: object) -> Account:
        """Return the account of an `auth`; raise Reject."""
        key = arguments[0] if isinstance(arguments, list) and arguments else ""
        account = self.find(key)
        account.authenticator.check_socket(arguments)
        return account

    def check_request(self, account: Account) -> None:
        """Refuse a request of an authenticated connection where a fault is armed; raise Reject."""
        self._refusals.check_authentication(account.key)
        self._refusals.check_request(account.key)


def whims(faults: Faults, key: str) -> Whims:
    """Return the faults of an account's matching."""
    return Whims(
        post_only=lambda: faults.strikes(Fault.POST_ONLY, key),
        reject_later=lambda: faults.strikes(Fault.REJECT_LATER, key),
        used_id=lambda: faults.strikes(Fault.USED_ID, key),
    )
