"""The ring from compiled code, measured in blocks: a worker of native/bench, which does the same in C++.

    python runtime/bench/ring_worker.py FEED

Makes the segment /dev/shm/quietcore.FEED, full of ticks whose words are each the tick's number, and removes it at the
end of its input. Requests and answers are those of quietcore-bench: `CASE INPUT SECONDS`, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Also the writer of the runtime's tests: the ring's other end.
sys.path[:0] = [str(ROOT), str(ROOT / "runtime")]

import numba  # noqa: E402
import numpy as np  # noqa: E402
from tests.runtime.ring_writer import RingWriter, write_pattern, write_slot  # noqa: E402

from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns, pause  # noqa: E402
from quietcore.bridge.compiled import lean  # noqa: E402
from quietcore.bridge.ring import NEXT, TAKEN, Ring, batch_is_valid, claim_batch, new_cursor, take  # noqa: E402
from quietcore.bridge.segment import attach  # noqa: E402

CAPACITY = 65536
BATCH = 4096
ROUND_TRIPS = 200
NUMBERS = CAPACITY * (CAPACITY - 1) // 2
SUMS = {"drain": 7 * NUMBERS, "batch": 9 * NUMBERS + 2 * CAPACITY}  # of a pass; a sequence is 2n + 2
STOP = (1 << 62) - 1  # number of the tick that ends the answering thread


@lean
def drain(ring: Ring, nanoseconds: int, out: Any) -> None:
    """Take every tick, each checked, again and again; ``out``: ticks, ns, sum of all words."""
    begin = now_ns(CLOCK_MONOTONIC)
    ticks = total = 0
    while True:
        n = 0
        while True:
            status, _seen, a, b, c, d, e, f, g = take(ring.slots, ring.mask, n)
            if status != TAKEN:
                break
            total += a + b + c + d + e + f + g
            n += 1
        ticks += n
        took = now_ns(CLOCK_MONOTONIC) - begin
        if took >= nanoseconds:
            break
    out[0], out[1], out[2] = ticks, took, total


@lean
def batches(ring: Ring, cursor: Any, words: Any, nanoseconds: int, out: Any) -> None:
    """Do the same by batches, which are checked as one when they were used. ``words``: the slots, eight words each."""
    begin = now_ns(CLOCK_MONOTONIC)
    ticks = total = 0
    while True:
        cursor[NEXT] = 0
        while True:
            first = cursor[NEXT]
            count = claim_batch(ring, cursor, BATCH)
            if count == 0:
                break
            place = first & ring.mask
            part = 0
            # In one piece with the sequences: by columns, LLVM would gather, which takes longer than to add.
            batch = words[8 * place : 8 * (place + count)]
            for i in range(batch.shape[0]):
                part += batch[i]
            if batch_is_valid(ring.slots, ring.mask, first):
                total += part
                ticks += count
            cursor[NEXT] = first + count
        took = now_ns(CLOCK_MONOTONIC) - begin
        if took >= nanoseconds:
            break
    out[0], out[1], out[2] = ticks, took, total


@lean
def ask(there: Ring, back: Ring, words: Any, begin_with: int, nanoseconds: int, out: Any) -> None:
    """Send a tick and wait for it to come back, again and again; ``out``: round trips, ns, number of the next."""
    n = begin_with
    begin = now_ns(CLOCK_MONOTONIC)
    while True:
        for _ in range(ROUND_TRIPS):
            words[3] = n
            write_slot(there.slots, there.mask, n, words)
            while take(back.slots, back.mask, n)[0] != TAKEN:
                pause()
            n += 1
        took = now_ns(CLOCK_MONOTONIC) - begin
        if took >= nanoseconds:
            break
    out[0], out[1], out[2] = n - begin_with, took, n


@lean
def answer(there: Ring, back: Ring, words: Any, begin_with: int) -> None:
    """Send back each tick that comes, until one says STOP."""
    n = begin_with
    while True:
        status, _seen, _a, _b, _c, d, _e, _f, _g = take(there.slots, there.mask, n)
        if status != TAKEN:
            pause()
            continue
        if d == STOP:
            return
        words[3] = d
        write_slot(back.slots, back.mask, n, words)
        n += 1


class RoundTrips:
    """Two rings between two threads, each on a CPU of its own."""

    def __init__(self) -> None:
        self._memory = [np.zeros(CAPACITY * 8 + 16, dtype=np.int64) for _ in range(2)]
        self._rings = [self._ring(memory) for memory in self._memory]
        self._words = [np.zeros(7, dtype=np.int64) for _ in range(2)]
        self._next = 0

    @staticmethod
    def _ring(memory: Any) -> Ring:
        slots = memory.ctypes.data + -memory.ctypes.data % 128
        return Ring(0, 0, slots, CAPACITY - 1, CAPACITY, 0, 0, 0, 0)

    def block(self, nanoseconds: int, out: Any) -> None:
        """Measure for so long."""
        cpus = sorted(range(os.cpu_count() or 1))[-2:]
        if len(cpus) < 2:
            raise SystemExit("a figure of two threads needs two CPUs: not measurable here")
        there, back = self._rings

        def other() -> None:
            os.sched_setaffinity(0, {cpus[0]})
            answer(there, back, self._words[1], self._next)

        before = os.sched_getaffinity(0)
        thread = threading.Thread(target=other)
        thread.start()
        os.sched_setaffinity(0, {cpus[1]})
        try:
            ask(there, back, self._words[0], self._next, nanoseconds, out)
        finally:
            self._words[0][3] = STOP
            write_slot(there.slots, there.mask, int(out[2]), self._words[0])
            thread.join()
            os.sched_setaffinity(0, before)
        self._next = int(out[2]) + 1


def main(words: list[str]) -> int:
    """Answer requests until the input ends."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    writer = RingWriter(words[0], capacity=CAPACITY)
    try:
        going = np.zeros(1, dtype=np.int64)
        write_pattern(writer.slots, CAPACITY - 1, writer.address + 384, 0, CAPACITY, going)
        segment = attach(words[0])
        ring, cursor = segment.ring, new_cursor(0)
        slots = segment.bytes[writer.slots_offset :].view(np.int64)
        round_trips = RoundTrips()
        cases: dict[str, Callable[[int, Any], None]] = {
            "drain": lambda ns, out: drain(ring, ns, out),
            "batch": lambda ns, out: batches(ring, cursor, slots, ns, out),
            "round-trip": round_trips.block,
        }
        out = np.zeros(3, dtype=np.int64)
        for run in cases.values():
            run(1, out)  # compiles
        print(json.dumps({"version": f"numba {numba.__version__}"}), flush=True)
        for line in sys.stdin:
            case, _input, seconds = line.split()
            cases[case](int(float(seconds) * 1e9), out)
            ticks = int(out[0])
            if case in SUMS and int(out[2]) != ticks // CAPACITY * SUMS[case]:
                print(f"ring_worker: {case} handed out something else than was written", file=sys.stderr)
                return 3
            print(json.dumps({"operations": ticks, "seconds": int(out[1]) / 1e9}), flush=True)
    finally:
        writer.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
