"""From a tick in the ring to an order's bytes, handed to the socket: the whole pipeline, beside a bare write.

The pipeline is simulator, feed handler and runtime of this machine. Where feed handler, loop and gateway can each have
a core to themselves, and the simulator a fourth, they spin, and the goal holds; elsewhere they nap, and it is said that
the goal cannot be measured.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import uvloop

from bench.measure import NO_GOAL, Result, interval, verdict
from quietcore.compare.collect import AbsentError, Taken
from quietcore.compare.suite_order import OrderSuite
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.observe.status import HOP_TITLES

GOAL_US = 30.0
CORES = 4
ROUNDS = 9
ROUND_SECONDS = 2.0
PATH = tuple(HOP_TITLES[hop] for hop in ("published_read", "read_signal", "signal_sent"))

ORDER_BYTES = 300
"""About what an order to Bybit's WebSocket has."""
WRITES = 400


def path_us(taken: Mapping[str, Taken]) -> float | None:
    """Return the sum of the medians of the hops of ``PATH`` in µs; None where one has no sample."""
    if not all(len(taken[hop].latencies) for hop in PATH):
        return None
    return float(sum(statistics.median(taken[hop].latencies) for hop in PATH)) / 1000


def judged(values: Sequence[float], cores: int) -> Result:
    """Return the path's figure; the goal is one of cores that nobody else uses."""
    low, high = interval(values)
    name = "tick in ring → order's bytes to the socket"
    value, goal = statistics.median(values), f"≤ {GOAL_US:g} µs"
    if cores < CORES:
        note = f"{cores} CPUs, {CORES} needed to spin: napping here"
        return Result(name, value, low, high, "µs", goal, "not measurable here", len(values), note)
    note = "sum of the hops' medians"
    return Result(name, value, low, high, "µs", goal, verdict(low, high, GOAL_US), len(values), note)


async def bare_writes() -> list[float]:
    """Return the µs that each of some writes to a loopback connection took, until the loop had made it."""

    class Sink(asyncio.Protocol):
        pass

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_connection(Sink, "127.0.0.1", port)
    payload = bytes(ORDER_BYTES)
    took = []
    for _ in range(WRITES):
        began = time.perf_counter_ns()
        transport.write(payload)
        await asyncio.sleep(0)  # writes are made at the end of the loop's turn
        took.append((time.perf_counter_ns() - began) / 1000)
        await asyncio.sleep(0.0005)
    transport.close()
    server.close()
    return took


def bare_write_us() -> float:
    """Return the median of `bare_writes`."""
    return statistics.median(uvloop.run(bare_writes()))


def measure() -> Iterator[Result]:
    """Yield the path, the bare write, and their ratio, each round's path between two blocks of writes."""
    cores = len(os.sched_getaffinity(0))
    paths: list[float] = []
    writes = [bare_write_us()]
    try:
        with OrderSuite("spin" if cores >= CORES else "nap") as suite:
            for _ in range(ROUNDS):
                path = path_us(suite.measure(ROUND_SECONDS))
                if path is not None:
                    paths.append(path)
                    writes.append(bare_write_us())
    except AbsentError as error:
        raise QuietcoreError("the pipeline did not start", found=str(error), code=ExitCode.UNKNOWN) from error
    if len(paths) < ROUNDS // 2:
        raise QuietcoreError(
            "the pipeline sent no orders",
            found=f"orders in {len(paths)} of {ROUNDS} rounds",
            code=ExitCode.UNKNOWN,
        )
    yield judged(paths, cores)
    yield plain(
        "bare uvloop write to loopback", writes, "µs", f"{ORDER_BYTES} bytes, until the loop has made it"
    )
    yield plain("tick → bytes / bare write", ratios(paths, writes), "")


def ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Return each value over the mean of the references before and after it."""
    return [value / statistics.mean(pair) for value, pair in zip(values, pairwise(references), strict=True)]


def plain(name: str, values: Sequence[Any], unit: str, note: str = "") -> Result:
    """Return a figure without a goal."""
    low, high = interval(values)
    return Result(name, statistics.median(values), low, high, unit, "", NO_GOAL, len(values), note)
