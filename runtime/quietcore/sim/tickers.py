"""Tickers of a session that brings none of its own, made of the replayed book and its trades.

A snapshot when a client joins, then what changed, at most every 100 ms: bybit-exchange.github.io/docs/v5/websocket/
public/ticker, linear contracts. There is no index and no funding: the index price is the mark price, the rate 0, and
what a day's history would tell begins with the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import msgspec

from quietcore.sim.hub import Hub
from quietcore.sim.liquidity import Liquidity
from quietcore.sim.private_messages import plain
from quietcore.sim.source import Source

PUSH_SECONDS = 0.1
TOPIC = "tickers."
FUNDING_MS = 8 * 3600 * 1000


class Tickers:
    """The tickers of all symbols, for the clients of `hub`."""

    def __init__(self, source: Source, liquidity: Liquidity, hub: Hub, now_ms: Callable[[], int]) -> None:
        self._listed = set(source.instruments)
        self._symbols = {name for name in source.instruments if TOPIC + name not in source.topics}
        self._liquidity, self._hub, self._now_ms = liquidity, hub, now_ms
        self._told: dict[str, dict[str, str]] = {}
        self._first: dict[str, Decimal] = {}
        self._sequence = 0

    def rows(self, symbol: str | None) -> list[dict[str, str]]:
        """Return the rows of `/v5/market/tickers`: of a symbol, or of all whose market has begun."""
        names = [symbol] if symbol is not None else sorted(self._listed)
        basis = {"predictedDeliveryPrice": "", "basisRate": "", "basis": "", "basisRateYear": ""}
        delivery = {"deliveryFeeRate": "", "deliveryTime": "0"}
        return [{**fields, **basis, **delivery} for name in names if (fields := self._fields(name))]

    def snapshot(self, topic: str) -> bytes | None:
        """Return the first message of a client that joins; None where the topic is another one, or nothing is known."""
        symbol = topic.removeprefix(TOPIC)
        if not topic.startswith(TOPIC) or symbol not in self._symbols:
            return None
        fields = self._fields(symbol)
        if not fields:
            return None
        # What others were told last must not change for them unseen.
        self._told.setdefault(symbol, fields)
        return self._message("snapshot", symbol, fields)

    async def run(self) -> None:
        """Tell changes until cancelled."""
        while True:
            await asyncio.sleep(PUSH_SECONDS)
            for topic in [one for one in self._hub.subscribed() if one.startswith(TOPIC)]:
                symbol = topic.removeprefix(TOPIC)
                if symbol in self._symbols:
                    await self._tell(topic, symbol)

    async def _tell(self, topic: str, symbol: str) -> None:
        fields = self._fields(symbol)
        told = self._told.get(symbol)
        if not fields or fields == told:
            return
        self._told[symbol] = fields
        if told is None:
            # Whoever joined before the market began has had no snapshot yet.
            await self._hub.publish(topic, self._message("snapshot", symbol, fields))
            return
        changed = {name: value for name, value in fields.items() if told.get(name) != value}
        await self._hub.publish(topic, self._message("delta", symbol, {"symbol": symbol, **changed}))

    def _fields(self, symbol: str) -> dict[str, str]:
        liquidity = self._liquidity
        book = liquidity.book(symbol)
        if book is None:
            return {}
        bid, ask, last = book.bids.best(), book.asks.best(), liquidity.last(symbol)
        mark = liquidity.mark(symbol)
        if bid is None or ask is None or last is None or mark is None:
            return {}
        first = self._first.setdefault(symbol, last)
        now = self._now_ms()
        return {
            "symbol": symbol,
            "tickDirection": "PlusTick" if last >= first else "MinusTick",
            "price24hPcnt": plain(((last - first) / first).quantize(Decimal("0.000001"))),
            "lastPrice": plain(last),
            "prevPrice24h": plain(first),
            "highPrice24h": plain(max(first, last)),
            "lowPrice24h": plain(min(first, last)),
            "prevPrice1h": plain(first),
            "markPrice": plain(mark),
            "indexPrice": plain(mark),
            "openInterest": "0",
            "openInterestValue": "0",
            "turnover24h": "0",
            "volume24h": "0",
            "fundingIntervalHour": "8",
            "fundingCap": "0.00375",
            "nextFundingTime": str((now // FUNDING_MS + 1) * FUNDING_MS),
            "fundingRate": "0",
            "bid1Price": plain(bid[0]),
            "bid1Size": plain(bid[1]),
            "ask1Price": plain(ask[0]),
            "ask1Size": plain(ask[1]),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def _message(self, kind: str, symbol: str, fields: dict[str, str]) -> bytes:
        self._sequence += 1
        return msgspec.json.encode(
            {
                "topic": TOPIC + symbol,
                "type": kind,
                "data": fields,
                "cs": self._sequence,
                "ts": self._now_ms(),
            }
        )
