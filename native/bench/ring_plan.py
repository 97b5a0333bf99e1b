"""The ring between two CPUs, against the least that the hardware needs and other queues; and from numba."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from feed_plan import interleave, rate
from pairing import Ratio, paired
from peers_environment import ensure_peers
from results import Result
from worker import Worker

NO_INPUT = "-"
COMPILED = Path(__file__).resolve().parents[2] / "runtime/bench/ring_worker.py"


def measure(
    native: Worker, root: Path, *, seconds: float, pairs: int, peers: bool, cpu: int
) -> Iterator[Result]:
    """Yield round trips as time against time (at most), and ticks a second against ticks a second (at least)."""
    yield round_trip(native, "raw-round-trip", "raw ping-pong", 1.05, seconds, pairs)
    yield round_trip(native, "boost-round-trip", "boost spsc_queue", None, seconds, pairs)
    yield throughput(native, "bulk-throughput", "bulk hand-off", 0.5, seconds, pairs)
    yield throughput(native, "boost-throughput", "boost spsc_queue", None, seconds, pairs)
    if peers:
        command = [str(ensure_peers(root)), str(Path(__file__).parent / "peers/iceoryx2_round_trip.py")]
        with Worker("iceoryx2", command, cpu) as peer:
            found = round_trip(native, NO_INPUT, peer.version, None, seconds, pairs, peer)
            yield replace(found, facts={"version": peer.version})
    feed = f"bench-{os.getpid()}"
    with Worker("numba", [sys.executable, str(COMPILED), feed], cpu) as compiled:
        segment = f"/dev/shm/quietcore.{feed}"  # noqa: S108 -- where the worker has just made it
        yield from drains(native, compiled, segment, seconds, pairs)

        def ns(worker: Worker, case: str) -> float:
            return 1e9 / rate(worker.block(case, NO_INPUT, seconds))

        reference, value = partial(ns, native, "raw-round-trip"), partial(ns, compiled, "round-trip")
        references, values = interleave(reference, value, pairs)
        name, label = "ring round trip, numba / raw ping-pong", "raw ping-pong"
        yield result(name, "ns", label, references, values, 1.10, at_most=True)


def drains(native: Worker, compiled: Worker, path: str, seconds: float, pairs: int) -> Iterator[Result]:
    """Compare ticks a second out of one full ring: each checked, as C++ does, and batches that are checked as one."""

    def ticks(worker: Worker, case: str) -> float:
        return rate(worker.block(case, path, seconds))

    for case, what, goal in (("drain", "numba drain", 0.85), ("batch", "batch view", 0.95)):
        in_numba = partial(ticks, compiled, case)
        references, values = interleave(partial(ticks, native, "ring-drain"), in_numba, pairs)
        yield result(f"{what} / C++ drain", "ticks/s", "C++ drain", references, values, goal, at_most=False)


def round_trip(
    native: Worker,
    case: str,
    label: str,
    goal: float | None,
    seconds: float,
    pairs: int,
    peer: Worker | None = None,
) -> Result:
    """Compare nanoseconds a round trip, with a case of this program or of a peer."""

    def ns(worker: Worker, case: str) -> float:
        return 1e9 / rate(worker.block(case, NO_INPUT, seconds))

    references, values = interleave(
        lambda: ns(peer or native, case), lambda: ns(native, "ring-round-trip"), pairs
    )
    return result(f"ring round trip / {label}", "ns", label, references, values, goal, at_most=True)


def throughput(
    native: Worker, case: str, label: str, goal: float | None, seconds: float, pairs: int
) -> Result:
    """Compare ticks a second."""

    def ticks(case: str) -> float:
        return rate(native.block(case, NO_INPUT, seconds))

    references, values = interleave(lambda: ticks(case), lambda: ticks("ring-throughput"), pairs)
    return result(f"ring throughput / {label}", "ticks/s", label, references, values, goal, at_most=False)


def result(
    name: str,
    unit: str,
    label: str,
    references: list[float],
    values: list[float],
    goal: float | None,
    *,
    at_most: bool,
) -> Result:
    """Make the line of one comparison."""
    ratio: Ratio = paired(references, values)
    return Result(
        name=name,
        value=statistics.median(values),
        unit=unit,
        reference=label,
        reference_value=statistics.median(references),
        ratio=ratio,
        goal=goal,
        at_most=at_most,
    )
