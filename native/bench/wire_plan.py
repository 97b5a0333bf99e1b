"""From bytes sent on a loopback WebSocket to ticks in the ring, above a peer that does the least there is to do."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feed_plan import interleave
from pairing import paired
from results import Result
from worker import Worker

MOST_ABOVE_NS = 3000.0


def measure(native: Worker, path: Path, *, seconds: float, pairs: int) -> Iterator[Result]:
    """Yield the median time a message, against the peer's and three microseconds, and both alone."""
    answers: dict[str, list[dict[str, Any]]] = {"wire-to-slot": [], "wire-to-tick": []}

    def median(case: str) -> float:
        answers[case].append(native.block(case, path, seconds))
        return float(answers[case][-1]["p50_ns"])

    references, values = interleave(
        lambda: median("wire-to-slot") + MOST_ABOVE_NS, lambda: median("wire-to-tick"), pairs
    )
    yield Result(
        name="WebSocket bytes sent to tick, p50",
        value=statistics.median(values),
        unit="ns",
        reference="receive, store + 3 µs:",
        reference_value=statistics.median(references),
        ratio=paired(references, values),
        goal=1.0,
        at_most=True,
        facts={"above_ns": statistics.median(values) - statistics.median(references) + MOST_ABOVE_NS},
    )
    for case, name in (("wire-to-tick", "WebSocket bytes sent to tick"), ("wire-to-slot", "receive, store")):
        tails = [float(answer["p99_ns"]) for answer in answers[case]]
        yield Result(name=f"{name}, p99", value=statistics.median(tails), unit="ns")
