"""What the simulated venue lists: tick and lot sizes, and the two venues' answers that tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quietcore.sim.recording import Scale

MINIMUM_NOTIONAL = Decimal(5)
MAXIMUM_LOTS = 10_000_000
MAXIMUM_TICKS = 10**8
PRICE_LIMIT = Decimal("0.1")  # how far beyond the mark price an order may be priced, of it


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
    def lowest_price(self) -> Decimal:
        """Lowest price of an order."""
        return self.tick

    @property
    def highest_price(self) -> Decimal:
        """Highest price of an order."""
        return self.tick * MAXIMUM_TICKS

    @property
    def most(self) -> Decimal:
        """Largest quantity of an order."""
        return self.lot * MAXIMUM_LOTS

    @property
    def delivers(self) -> bool:
        """Whether it is a future with a date, like BTC-26DEC25, and no perpetual contract."""
        return "-" in self.symbol

    @property
    def coins(self) -> tuple[str, str]:
        """Base coin, and the coin that it is quoted and settled in.

        >>> [Instrument(name, 1, 3).coins for name in ("BTCUSDT", "BTCPERP", "BTC-26DEC25", "BTCUSDT-26DEC25")]
        [('BTC', 'USDT'), ('BTC', 'USDC'), ('BTC', 'USDC'), ('BTC', 'USDT')]
        """
        name = self.symbol.partition("-")[0]
        if name.endswith("PERP") and len(name) > len("PERP"):
            return name.removesuffix("PERP"), "USDC"
        for quote in ("USDT", "USDC", "USD"):
            if name.endswith(quote) and len(name) > len(quote):
                return name[: -len(quote)], quote
        return name, "USDC" if self.delivers else "USDT"


def from_scales(scales: Mapping[str, Scale]) -> dict[str, Instrument]:
    """Return the instruments of a recording: their steps are the finest decimals seen in it."""
    return {symbol: Instrument(symbol, scale.price, scale.size) for symbol, scale in scales.items()}


def bybit_instrument(instrument: Instrument) -> dict[str, Any]:
    """Return one entry of Bybit's `/v5/market/instruments-info`."""
    base, quote = instrument.coins
    tick, lot, most = f"{instrument.tick:f}", f"{instrument.lot:f}", f"{instrument.most:f}"
    return {
        "symbol": instrument.symbol,
        "displayName": "",
        "contractType": "LinearFutures" if instrument.delivers else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
        "settleCoin": quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_exponent),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": f"{instrument.lowest_price:f}",
            "maxPrice": f"{instrument.highest_price:f}",
            "tickSize": tick,
        },
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
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": f"{PRICE_LIMIT:f}", "priceLimitRatioY": f"{PRICE_LIMIT:f}"},
        "symbolType": "",
    }


def bybit_page(
    instruments: Iterable[Instrument],
    *,
    symbol: str | None,
    limit: int,
    cursor: str,
    base_coin: str | None = None,
) -> tuple[list[dict[str, Any]], str]:
    """Return a page of at most `limit` instruments from `cursor`, and the next cursor ("" on the last).

    Raises ValueError for a cursor that no page gave.
    """
    listed = [
        instrument
        for instrument in instruments
        if symbol in (None, instrument.symbol) and base_coin in (None, instrument.coins[0])
    ]
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
