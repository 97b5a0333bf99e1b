"""What the pipeline's own measuring costs: the loop with and without it, in turns, and the timers for users' code.

`make bench` has the loop's figure too, paired, with the feed handler's beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.loop_cost import LoopRun
from bench.measure import Result, figure
from quietcore.observe.performance import PrecisionTimer, compiled_cost_ns

GOAL_NS_A_TICK = 10.0


def measure() -> Iterator[Result]:
    """Yield the results."""
    with LoopRun(None) as run:

        def block() -> float:
            # In turns, the quickest of each: what else the machine does comes on top of both.
            pairs = [(run.once(measured=True), run.once(measured=False)) for _ in range(9)]
            return (min(one for one, _ in pairs) - min(other for _, other in pairs)) / run.ticks

        note = f"{run.ticks:,} messages of one tick, with and without in turns"
        yield figure("measuring the hops in the loop", block, "ns/tick", GOAL_NS_A_TICK, note=note)
        yield figure("the loop without it", lambda: run.once(measured=False) / run.ticks, "ns/tick")
    yield figure("PerformanceStats in compiled code: start and stop", compiled_cost_ns, "ns")
    yield figure("PrecisionTimer in Python: a with block that records", PrecisionTimer.cost_ns, "ns")
