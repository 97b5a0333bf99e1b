"""The targets. Bounds are those of the project; ``how`` says what is held against them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Target(NamedTuple):
    """One promise: the value must be below ``bound``, or above it where ``at_least``."""

    key: str
    what: str
    bound: float
    unit: str
    how: str
    at_least: bool = False

    @property
    def bound_text(self) -> str:
        """Return the bound as people write it."""
        return f"{'≥' if self.at_least else '<'} {self.bound:,.0f} {self.unit}".rstrip()

    def met_by(self, low: float, high: float) -> bool | None:
        """Tell whether a value known to lie between ``low`` and ``high`` is within; None where that is open."""
        if self.at_least:
            return True if low >= self.bound else False if high < self.bound else None
        return True if high < self.bound else False if low >= self.bound else None


TARGETS: Final = (
    Target("market_data", "market data processing", 100_000, "ns", "p99 of received → published"),
    Target("order_submission", "order submission", 10_000_000, "ns", "p99 of signal → order sent"),
    Target(
        "quote_to_trade",
        "quote to trade",
        1_000_000,
        "ns",
        "sum of the p50 of the hops from received to order sent",
    ),
    Target("jitter", "p99 jitter", 50_000, "ns", "p99 of the interruptions of the worst of the cores"),
    Target("signal", "signal", 1_000, "ns", "two EMAs, VWAP and imbalance, in compiled code"),
    Target("indicator", "indicator", 500, "ns", "one step of the dearest: Bollinger bands, in compiled code"),
    Target("order_creation", "order creation", 100, "ns", "an intent put into the ring to the gateway"),
    Target("log", "log", 50, "ns", "a line of the feed handler's log, to the thread that leaves it"),
    Target("ring_tick", "ring, one tick", 1_000, "ns", "p99 over batches of 64 of reading into ladders"),
    Target("ring_rate", "ring", 100_000, "ticks/s", "reading into ladders", at_least=True),
    Target(
        "messages",
        "messages",
        1_000_000,
        "messages/s",
        "parser, book and ring of the feed handler",
        at_least=True,
    ),
    Target(
        "endpoint_switch", "endpoint switch", 500_000_000, "ns", "until every book is there by the new one"
    ),
    Target(
        "engine_cycle",
        "engine cycle",
        10_000_000,
        "ns",
        "p99 of read → signal plus p99 of signal → order sent",
    ),
    Target(
        "cpu", "CPU outside the spinning cores", 30, "%", "busy share of housekeeping while the pipeline runs"
    ),
    Target("page_faults", "page faults in 10 minutes", 1, "", "of the strategy's thread since it was ready"),
    Target("context_switches", "context switches a minute", 100, "", "of the pinned strategy thread"),
    Target("cache", "cache hits", 95, "%", "last-level cache, while a ring is read", at_least=True),
)
