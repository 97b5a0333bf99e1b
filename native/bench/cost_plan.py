"""What the measuring itself costs: the feed handler's core and the runtime's loop with it, and built without it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from feed_plan import DisagreementError, inputs, interleave, rate, same_prices
from pairing import paired, paired_differences
from results import Result
from ring_plan import NO_INPUT
from windowed_recording import describe
from worker import Worker

LEAST_SHARE = 0.97
"""Of the throughput without measuring, that is left with it."""
MOST_NS_A_TICK = 10.0
FINER = 6
"""So many more pairs than elsewhere, of blocks so much shorter but for a half: a few per cent are looked for."""


def measure(
    native: Worker, binary: Path, root: Path, data: Path, *, seconds: float, pairs: int, cpu: int
) -> Iterator[Result]:
    """Yield the feed's and the loop's results; ``binary`` is the benchmark whose core measures nothing."""
    pairs, seconds = pairs * FINER, seconds * 2 / FINER
    recorded = inputs(data, root / "build/bench/data")
    for name, path in recorded.items():
        # A new process each: where its memory happens to lie is no property of the code.
        with Worker(binary.name, [str(binary)], cpu) as unmeasured:
            yield feed(native, unmeasured, name, path, seconds, pairs)
    with Worker("runtime", [sys.executable, str(root / "runtime/bench/loop_worker.py")], cpu) as runtime:
        yield loop(runtime, "books of ob50", recorded["ob50"], seconds, pairs)
        yield loop(runtime, "messages of one tick", NO_INPUT, seconds, pairs)


def feed(native: Worker, unmeasured: Worker, name: str, path: Path, seconds: float, pairs: int) -> Result:
    """Compare messages a second; raise DisagreementError where the two do not publish the same."""
    with_it, without = native.block("feed", path, 0), unmeasured.block("feed", path, 0)
    if not same_prices(with_it, without) or with_it["ticks"] != without["ticks"]:
        raise DisagreementError(f"{path}: with measuring {with_it}, without {without}: not the same work")
    references, values = interleave(
        lambda: rate(unmeasured.block("feed", path, seconds)),
        lambda: rate(native.block("feed", path, seconds)),
        pairs,
    )
    return Result(
        name=f"measuring, feed {name}",
        value=statistics.median(values),
        unit="messages/s",
        reference="without",
        reference_value=statistics.median(references),
        ratio=paired(references, values),
        goal=LEAST_SHARE,
        facts={"input": describe(path)},
    )


def loop(runtime: Worker, name: str, source: Path | str, seconds: float, pairs: int) -> Result:
    """Take the ns a tick without measuring from those with it."""

    def ns(case: str) -> float:
        return 1e9 / rate(runtime.block(case, source, seconds))

    once = runtime.block("loop-measured", source, 0)
    references, values = interleave(lambda: ns("loop-unmeasured"), lambda: ns("loop-measured"), pairs)
    return Result(
        name=f"measuring, loop, {name}",
        value=statistics.median(values),
        unit="ns/tick",
        reference="without",
        reference_value=statistics.median(references),
        ratio=paired_differences(references, values),
        differences=True,
        goal=MOST_NS_A_TICK,
        at_most=True,
        facts={"ticks_a_message": round(once["operations"] / once["messages"], 2)},
    )
