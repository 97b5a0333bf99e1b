"""The simulator's own books: what it accepted, what is open, what was executed. Asked directly, past every proxy."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

from quietcore.local.pipeline import KEY, SECRET
from quietcore.venues.bybit import signing
from quietcore.venues.interface import Credentials

SECONDS = 30.0  # of a simulator that may be starved of CPU
PAGE = 100


class Moment(NamedTuple):
    """The account's state. ``position`` in the instrument's unit."""

    accepted: int
    open: int
    fills: int
    position: Decimal


class Books:
    """The truth about account `sim-key`. Raises OSError where the simulator does not answer."""

    def __init__(self, port: int, symbol: str) -> None:
        self.port, self.symbol = port, symbol
        self.clock_off_ms = 0  # the simulator's clock minus ours

    def ask(
        self, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return an answer of the simulator, decoded."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers or {}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def moment(self) -> Moment:
        """Return what the account has now."""
        account = self.ask("/sim/state")["accounts"][KEY]
        orders = account["orders"]
        position = Decimal(account["positions"].get(self.symbol, "0"))
        return Moment(orders["accepted"], orders["open"], orders["fills"], position)

    def fault(self, name: str, count: int) -> None:
        """Arm a fault of the simulator for so many requests of the account."""
        self.ask("/sim/faults", {"fault": name, "count": count, "account": KEY})

    def no_faults(self) -> None:
        """Disarm every fault."""
        self.ask("/sim/faults", {"clear": True})

    def restart(self, seconds: float) -> None:
        """Break every connection and be away for a while; orders stay."""
        self.ask(f"/sim/restart?seconds={seconds}", {})

    def _signed(self, path: str, query: str = "", body: dict[str, Any] | None = None) -> Any:
        now = time.time_ns() // 1_000_000 + self.clock_off_ms
        signed = query if body is None else json.dumps(body)
        headers = signing.headers(Credentials(KEY, SECRET.encode()), now, signed)
        answer = self.ask(f"{path}?{query}" if query else path, body, headers)
        if answer["retCode"]:
            raise OSError(f"{path}: {answer['retMsg']}")
        return answer["result"]

    def cancel_all(self) -> None:
        """Cancel what is open, as somebody does by hand in the same account."""
        self._signed("/v5/order/cancel-all", body={"category": "linear", "symbol": self.symbol})

    def execute(self, quantity: Decimal, price: Decimal) -> None:
        """Execute what no order of the account asked for; a negative quantity is sold."""
        wish = {"type": "BlockTrade", "symbol": self.symbol, "side": "Buy" if quantity > 0 else "Sell"}
        self.ask("/sim/executions", {**wish, "qty": str(abs(quantity)), "price": str(price), "account": KEY})

    def bid(self) -> Decimal:
        """Return the venue's own best bid."""
        found = self.ask(f"/v5/market/tickers?category=linear&symbol={self.symbol}")
        return Decimal(found["result"]["list"][0]["bid1Price"])

    def open_orders(self) -> list[str]:
        """Return the client ids of what is open."""
        found = self._signed("/v5/order/realtime", f"category=linear&symbol={self.symbol}&openOnly=0")
        return [str(row["orderLinkId"]) for row in found["list"]]

    def executed(self, most: int) -> Counter[str]:
        """Return how much of each order, by client id, was executed, in 1e-8: of the latest ``most`` executions."""
        sums: Counter[str] = Counter()
        cursor = ""
        for _ in range(0, most, PAGE):
            query = f"category=linear&symbol={self.symbol}&limit={PAGE}"
            found = self._signed("/v5/execution/list", query + (f"&cursor={cursor}" if cursor else ""))
            for row in found["list"]:
                sums[row["orderLinkId"]] += int(Decimal(row["execQty"]) * 10**8)
            cursor = found.get("nextPageCursor") or ""
            if not cursor:
                break
        return sums
