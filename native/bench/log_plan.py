"""A report from the hot path, against a figure that it must not exceed and the stores that it is made of."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from feed_plan import interleave, rate
from pairing import paired
from results import Result
from ring_plan import NO_INPUT
from ring_plan import result as compared
from worker import Worker

MOST_NS = 15.0


def measure(native: Worker, *, seconds: float, pairs: int) -> Iterator[Result]:
    """Yield nanoseconds a call, each a median over blocks of 1,000 with the empty loop subtracted."""

    def ns(case: str) -> float:
        return 1e9 / rate(native.block(case, NO_INPUT, seconds))

    values = [ns("log-call") for _ in range(pairs)]
    yield Result(
        name="log call",
        value=statistics.median(values),
        unit="ns",
        reference="limit",
        reference_value=MOST_NS,
        ratio=paired([MOST_NS] * (pairs + 1), values),
        goal=1.0,
        at_most=True,
    )
    references, values = interleave(lambda: ns("line-stores"), lambda: ns("log-call"), pairs)
    yield compared(
        "log call / 64-byte stores", "ns", "64-byte stores", references, values, None, at_most=True
    )
