"""What clients asked for that the simulator does not have, and when they asked although they had been told to wait."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("quietcore.sim")

KEPT_NAMES = 1000  # of each counter: names come from clients


@dataclass
class Statistics:
    """Counters of one simulator, for `/sim/state`. The first of each kind is logged."""

    unknown_parameters: Counter[str] = field(default_factory=Counter)  # "/v5/order/create colour"
    missing_routes: Counter[str] = field(default_factory=Counter)  # "GET /v5/market/kline"
    refused_topics: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)  # by the venue's code, or "HTTP 403"
    early: Counter[str] = field(default_factory=Counter)  # requests that came during a pause, by its kind
    before_market: int = 0  # orders that needed a market which had not begun

    def unknown_parameter(self, place: str, name: str) -> None:
        """Count a parameter that the venue does not know and so ignores."""
        self._count(self.unknown_parameters, f"{place} {name}", "a parameter that the venue does not know")

    def missing_route(self, method: str, path: str) -> None:
        """Count a request for a path that is not served."""
        self._count(self.missing_routes, f"{method} {path}", "a path that is not served")

    def refused_topic(self, topic: str) -> None:
        """Count a subscription that was refused."""
        self._count(self.refused_topics, topic, "a topic that is not served")

    def refusal(self, code: int | str) -> None:
        """Count a refusal."""
        self.refusals[str(code)] += 1

    def no_market(self, symbol: str) -> None:
        """Count an order that needs a market of `symbol`, which has not begun."""
        if not self.before_market:
            log.warning(
                "an order in %s was refused: its market has not begun; subscribe to its book, "
                "or start it by POST /sim/start",
                symbol,
            )
        self.before_market += 1

    def _count(self, counter: Counter[str], name: str, what: str) -> None:
        name = name if len(name) <= 200 else name[:200] + "…"
        if name not in counter:
            if len(counter) >= KEPT_NAMES:
                name = "others"
            else:
                log.warning("%s: %r", what, name)
        counter[name] += 1

    def state(self) -> dict[str, Any]:
        """Return the counts by name."""
        return {
            "unknown_parameters": dict(self.unknown_parameters),
            "missing_routes": dict(self.missing_routes),
            "refused_topics": dict(self.refused_topics),
            "refusals": dict(self.refusals),
            "early": dict(self.early),
            "before_market": self.before_market,
        }
