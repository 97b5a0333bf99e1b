"""What the simulated venue lists: tick and lot sizes, and the two venues' answers that tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quietcore.sim.recording import Scale

MINIMUM_NOTIONAL = Decimal(5)
MAXIMUM_LOTS = 10_000_000


def step(exponent: int) -> Decimal:
    """Return 10**-exponent exactly.

    >>> step(1), step(0)
    (Decimal('0.1'), Decimal('1'))
    """
    return Decimal(1).scaleb(-exponent)


@dataclass(frozen=True)
class Instrument:
    """One symbol's steps: one tick is 10**-price_exponent, one lot 10**-size_exponent."""

    symbol: str
    price_exponent: int
    size_exponent: int

    @property
    def tick(self) -> Decimal:
        """Smallest step of a price."""
        return step(self.price_exponent)

    @property
    def lot(self) -> Decimal:
        """Smallest step of a quantity, and the smallest quantity."""
        return step(self.size_exponent)

    @property
    def coins(self) -> tuple[str, str]:
        """Base and quote coin."""
        for quote in ("USDT", "USDC", "USD"):
            if self.symbol.endswith(quote) and len(self.symbol) > len(quote):
                return self.symbol[: -len(quote)], quote
        return self.symbol, "USDT"


def from_scales(scales: Mapping[str, Scale]) -> dict[str, Instrument]:
    """Return the instruments of a recording: their steps are the finest decimals seen in it."""
    return {symbol: Instrument(symbol, scale.price, scale.size) for symbol, scale in scales.items()}


def bybit_instrument(instrument: Instrument) -> dict[str, Any]:
    """Return one entry of Bybit's `/v5/market/instruments-info`."""
    base, quote = instrument.coins
    tick, lot = f"{instrument.tick:f}", f"{instrument.lot:f}"
    most = f"{instrument.lot * MAXIMUM_LOTS:f}"
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
        "settleCoin": quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_exponent),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": f"{instrument.tick * 10**8:f}", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": lot,
            "qtyStep": lot,
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": f"{MINIMUM_NOTIONAL:f}",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
    }


def bybit_page(
    instruments: Iterable[Instrument], *, symbol: str | None, limit: int, cursor: str
) -> tuple[list[dict[str, Any]], str]:
    """Return a page of at most `limit` instruments from `cursor`, and the next cursor ("" on the last).

    Raises ValueError for a cursor that no page gave.
    """
    listed = [instrument for instrument in instruments if symbol in (None, instrument.symbol)]
    start = int(cursor) if cursor else 0
    if start < 0 or start > len(listed):
        raise ValueError(f"cursor {cursor!r}")
    end = start + limit
    page = [bybit_instrument(instrument) for instrument in listed[start:end]]
    return page, str(end) if end < len(listed) else ""


def binance_exchange_info(instruments: Iterable[Instrument], now_ms: int) -> dict[str, Any]:
    """Return Binance's `/fapi/v1/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [],
        "exchangeFilters": [],
        "assets": [],
        "symbols": [_binance_symbol(instrument) for instrument in instruments],
    }


def _binance_symbol(instrument: Instrument) -> dict[str, Any]:
    base, quote = instrument.coins
    tick, lot = f"{instrument.tick:f}", f"{instrument.lot:f}"
    most = f"{instrument.lot * MAXIMUM_LOTS:f}"
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": instrument.price_exponent,
        "quantityPrecision": instrument.size_exponent,
        "underlyingType": "COIN",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": f"{instrument.tick * 10**8:f}",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": most, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": most, "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": f"{MINIMUM_NOTIONAL:f}"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
