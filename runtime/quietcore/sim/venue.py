"""The simulated venue: what the HTTP and WebSocket handlers share."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web

from quietcore.sim.accounts import Account, Accounts
from quietcore.sim.authentication import Credentials
from quietcore.sim.clock import HOST_CLOCK, Clock
from quietcore.sim.faults import Faults
from quietcore.sim.frames import Frame, Refused
from quietcore.sim.hub import Client, Hub
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.orders import Side
from quietcore.sim.pacing import Pacer
from quietcore.sim.rate_limits import UNLIMITED, AddressLimits, Rates
from quietcore.sim.refusals import Refusals
from quietcore.sim.replay import Replay
from quietcore.sim.source import Source
from quietcore.sim.statistics import Statistics
from quietcore.sim.tickers import Tickers


class Venue:
    """A replay, its market-data clients, and the accounts that trade against its books.

    `credentials`: of one account, or of several. `rates`: what each may ask for in a second; `address_limit`:
    requests of one address in five seconds, 0 for any number. `delay_ms`: how long each WebSocket message is held back.
    """

    def __init__(
        self,
        source: Source,
        pacer: Pacer,
        credentials: Credentials | list[Credentials],
        *,
        hold: bool = False,
        restamp: bool = True,
        loops: int | None = 1,
        clock: Clock = HOST_CLOCK,
        stall_limit: float = 30.0,
        rates: Rates = UNLIMITED,
        address_limit: int = 0,
        institutional: bool = False,
        delay_ms: int = 0,
    ) -> None:
        self.source = source
        self.delay_ms = delay_ms
        now_ms = self.now_ms = clock.now_ms
        self.hub = Hub(stall_limit=stall_limit)
        self.guests = Hub(stall_limit=stall_limit)  # private connections, whoever they turn out to be
        self.faults = Faults(clock)
        self.statistics = Statistics()
        self.refusals = Refusals(self.faults, self.statistics)
        self.address_limits = AddressLimits(clock, limit=address_limit, statistics=self.statistics)
        self.away_until = 0.0  # loop time until which nothing is served
        self.replay = Replay(
            source,
            self.hub,
            pacer,
            hold=hold,
            restamp=restamp,
            loops=loops,
            on_book=self._on_book,
            on_trades=self._on_trades,
            wall_ms=now_ms,
        )
        self._latest_trades: dict[str, Frame] = {}
        self._last_prices: dict[str, tuple[Frame, Decimal]] = {}
        liquidity = Liquidity(self.replay.reader.book, self._last_trade)
        self.tickers = Tickers(source, liquidity, self.hub, now_ms)
        keys = credentials if isinstance(credentials, list) else [credentials]
        self.accounts = Accounts(
            [
                Account(
                    *(one, source.instruments, liquidity, self.faults, clock),
                    rates=rates,
                    institutional=institutional,
                    stall_limit=stall_limit,
                    statistics=self.statistics,
                )
                for one in keys
            ],
            self.refusals,
        )

    def _on_book(self, symbol: str) -> None:
        for account in self.accounts:
            report = account.exchange.on_book(symbol)
            if report:
                account.tell(report)

    def _on_trades(self, frame: Frame) -> None:
        self._latest_trades[frame.symbol] = frame
        if not any(account.exchange.watches(frame.symbol) for account in self.accounts):
            return
        try:
            trades = list(self.replay.reader.trades(frame))
        except Refused:
            return  # not understood: it fills nobody
        for trade in trades:
            taker = Side.SELL if trade.sell else Side.BUY
            for account in self.accounts:
                report = account.exchange.on_trade(
                    frame.symbol, Decimal(trade.price), Decimal(trade.size), taker
                )
                if report:
                    account.tell(report)

    def _last_trade(self, symbol: str) -> Decimal | None:
        """Return the price of the latest trade; its message is read only when somebody asks."""
        frame = self._latest_trades.get(symbol)
        if frame is None:
            return None
        known = self._last_prices.get(symbol)
        if known is None or known[0] is not frame:
            try:
                trades = list(self.replay.reader.trades(frame))
            except Refused:
                trades = []
            if not trades:
                return None if known is None else known[1]
            known = self._last_prices[symbol] = (frame, Decimal(trades[-1].price))
        return known[1]

    def restart(self, seconds: float, *, empty: bool = False) -> None:
        """Break every connection and serve nothing for a while, as a venue's restart does.

        Open orders stay; those that are final when it is back stand in the history alone. `empty`: everything is
        forgotten.
        """
        loop = asyncio.get_running_loop()
        for account in self.accounts:
            if empty:
                account.exchange.forget()
            else:
                account.exchange.restarted()
                loop.call_later(seconds, account.exchange.restarted)
        self.away_until = loop.time() + seconds
        for client in [*self.hub.clients, *self.guests.clients]:
            client.abort()

    @property
    def away(self) -> bool:
        """Whether a restart goes on."""
        return bool(self.away_until) and asyncio.get_running_loop().time() < self.away_until

    def state(self) -> dict[str, Any]:
        """Return everything worth seeing from outside."""
        accounts = {account.key: account_state(account) for account in self.accounts}
        total = {
            name: sum(one["orders"][name] for one in accounts.values())
            for name in ("accepted", "rejected", "open", "fills")
        }
        return {
            **self.replay.state(),
            "orders": total,
            "positions": accounts[self.accounts.first.key]["positions"],
            "accounts": accounts,
            "faults": self.faults.state(),
            "requests": self.statistics.state(),
        }


def account_state(account: Account) -> dict[str, Any]:
    """Return what one account has."""
    exchange = account.exchange
    return {
        "orders": {
            "accepted": exchange.accepted,
            "rejected": exchange.rejected,
            "open": sum(len(orders) for orders in exchange.open_orders.values()),
            "fills": exchange.fills,
            "rate_limited": account.limits.refused,
            "untriggered": len(exchange.conditionals),
        },
        "positions": {
            symbol if not index else f"{symbol} {'long' if index == 1 else 'short'}": f"{one.size:f}"
            for (symbol, index), one in exchange.wallet.positions.items()
        },
        "disconnect_window": account.disconnect_window,
        "streams": len(account.hub.clients),
    }


VENUE: web.AppKey[Venue] = web.AppKey("venue", Venue)


def json_response(payload: object, *, status: int = 200) -> web.Response:
    """Return `payload` as JSON without spaces."""
    return web.Response(body=msgspec.json.encode(payload), status=status, content_type="application/json")


async def drive(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel background tasks and wait until they are gone."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def client_of(request: web.Request, socket: web.WebSocketResponse) -> Client:
    """Return the client behind a WebSocket request."""
    transport = request.transport

    def abort() -> None:
        if transport is not None:
            transport.abort()

    return Client(socket, abort)
