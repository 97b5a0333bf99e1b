"""orjson, and a dict of floats for each side: the plain way in Python."""

from __future__ import annotations

from typing import Any

import orjson

from serve import serve


class DictBook:
    """Two dicts, price to size; the best prices are followed, and looked for only when the best one goes."""

    def __init__(self, symbol: str) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self.quote = (0.0, 0.0)

    def take(self, message: bytes) -> None:
        """Apply one message and look at the best prices."""
        parsed: dict[str, Any] = orjson.loads(message)
        data = parsed["data"]
        best_bid, best_ask = self.quote
        if parsed["type"] == "snapshot":
            self._bids.clear()
            self._asks.clear()
            best_bid, best_ask = 0.0, float("inf")
        side = self._bids
        for price_text, size_text in data["b"]:
            price, size = float(price_text), float(size_text)
            if size == 0.0:
                side.pop(price, None)
                if price == best_bid:
                    best_bid = max(side, default=0.0)
            else:
                side[price] = size
                if price > best_bid:
                    best_bid = price
        side = self._asks
        for price_text, size_text in data["a"]:
            price, size = float(price_text), float(size_text)
            if size == 0.0:
                side.pop(price, None)
                if price == best_ask:
                    best_ask = min(side, default=float("inf"))
            else:
                side[price] = size
                if price < best_ask:
                    best_ask = price
        self.quote = (best_bid, best_ask)

    def best(self) -> tuple[str, str]:
        """Return the quote after the last message."""
        return str(self.quote[0]), str(self.quote[1])


if __name__ == "__main__":
    serve("orjson", DictBook)
