"""The gap detector: a compiled loop reads a clock as fast as it can, and every longer pause was an interruption.

After each pause it asks the kernel (getrusage, outside the measured time) whether this thread was switched out or
took a page fault meanwhile: these two causes are known for each pause, not guessed. It writes to memory of its own
at every step, as a trading loop does, so that whatever takes pages away (NUMA balancing, reclaim, madvise) shows as
faults.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge.atomics import CLOCK_MONOTONIC, load_relaxed, now_ns, store_release
from quietcore.bridge.compiled import compiled
from quietcore.bridge.cycles import (
    GIVEN_UP,
    MAJOR_FAULTS,
    MINOR_FAULTS,
    TAKEN,
    USAGE_WORDS,
    thread_usage,
    time_stamp,
)
from quietcore.histogram import BUCKETS, MARKS, record

# Rows of the histograms: what is known of a pause when it ends.
SWITCHED: Final = 0
FAULTED: Final = 1
OTHER: Final = 2  # interrupt, softirq, or something that the kernel does not count
ROWS: Final = 3

# Words that the loop shares with the thread that started it.
STOP: Final = 0
LOGGED: Final = 1  # pauses in the log so far
STEPS: Final = 2
BEGAN_NS: Final = 3  # CLOCK_MONOTONIC
ENDED_NS: Final = 4
LOST_NS: Final = 5  # sum of all pauses
SWITCHES: Final = 6  # of this thread, by the kernel's count
FAULTS: Final = 7
ASKING_NS: Final = 8  # spent asking the kernel about pauses: neither measured nor lost
WORDS: Final = 16

LOG: Final = 1 << 16  # pauses; the reader takes them every few ms
LOG_MASK: Final = LOG - 1
PAGES: Final = 16
PAGE_WORDS: Final = 512
LOOK_MASK: Final = 1023  # the stop word and the end are looked at every 1,024 steps


@compiled
def watch(
    words: Any,
    tsc: bool,
    ns_per_step: float,
    duration_ns: int,
    threshold_ns: int,
    buckets: Any,
    marks: Any,
    log: Any,
    memory: Any,
    usage: Any,
) -> None:
    """Watch the calling thread's core for ``duration_ns`` or until the stop word is set.

    Shapes: ``words`` [WORDS], ``buckets`` [ROWS, BUCKETS], ``marks`` [ROWS, MARKS], ``log`` [LOG, 3] (end of the
    pause in CLOCK_MONOTONIC ns, its length, its row), ``memory`` [PAGES * PAGE_WORDS], ``usage`` [USAGE_WORDS]; all
    int64.
    """
    address, shared = usage.ctypes.data, words.ctypes.data
    threshold = int(threshold_ns / ns_per_step)
    thread_usage(address)
    switches = first_switches = usage[GIVEN_UP] + usage[TAKEN]
    faults = first_faults = usage[MINOR_FAULTS] + usage[MAJOR_FAULTS]
    began_ns = now_ns(CLOCK_MONOTONIC)
    began = last = time_stamp() if tsc else began_ns
    end = began + int(duration_ns / ns_per_step)
    logged = steps = lost = asking = 0
    words[BEGAN_NS] = began_ns
    while True:
        now = time_stamp() if tsc else now_ns(CLOCK_MONOTONIC)
        if now - last >= threshold:
            pause = int((now - last) * ns_per_step)
            thread_usage(address)
            switched = usage[GIVEN_UP] + usage[TAKEN]
            faulted = usage[MINOR_FAULTS] + usage[MAJOR_FAULTS]
            row = SWITCHED if switched != switches else FAULTED if faulted != faults else OTHER
            switches, faults = switched, faulted
            record(buckets, marks, row, pause)
            lost += pause
            log[logged & LOG_MASK, 0] = began_ns + int((now - began) * ns_per_step)
            log[logged & LOG_MASK, 1] = pause
            log[logged & LOG_MASK, 2] = row
            logged += 1
            store_release(shared + 8 * LOGGED, logged)
            asked = now
            now = time_stamp() if tsc else now_ns(CLOCK_MONOTONIC)
            asking += int((now - asked) * ns_per_step)
        last = now
        memory[(steps & (PAGES - 1)) * PAGE_WORDS] = steps
        steps += 1
        if steps & LOOK_MASK == 0 and (now >= end or load_relaxed(shared + 8 * STOP) != 0):
            break
    words[ENDED_NS] = began_ns + int((last - began) * ns_per_step)
    thread_usage(address)
    words[STEPS] = steps
    words[LOST_NS] = lost
    words[ASKING_NS] = asking
    words[SWITCHES] = usage[GIVEN_UP] + usage[TAKEN] - first_switches
    words[FAULTS] = usage[MINOR_FAULTS] + usage[MAJOR_FAULTS] - first_faults


class Detector:
    """One core's memory. ``memory`` begins at a page, so that a test can take its pages away."""

    def __init__(self) -> None:
        self.words = np.zeros(WORDS, dtype=np.int64)
        self.buckets = np.zeros((ROWS, BUCKETS), dtype=np.int64)
        self.marks = np.zeros((ROWS, MARKS), dtype=np.int64)
        self.log = np.zeros((LOG, 3), dtype=np.int64)
        room = np.zeros((PAGES + 1) * PAGE_WORDS, dtype=np.int64)
        first = -room.ctypes.data % 4096 // 8
        self.memory = room[first : first + PAGES * PAGE_WORDS]
        self.usage = np.zeros(USAGE_WORDS, dtype=np.int64)
        for array in (self.buckets, self.marks, self.log, self.memory):
            array.fill(1)  # every page is there before the first step
            array.fill(0)

    def run(self, tsc: bool, ns_per_step: float, duration_ns: int, threshold_ns: int) -> None:
        """Watch the core that the calling thread is pinned to; without the GIL."""
        watch(
            self.words,
            tsc,
            ns_per_step,
            duration_ns,
            threshold_ns,
            self.buckets,
            self.marks,
            self.log,
            self.memory,
            self.usage,
        )

    def stop(self) -> None:
        """End the loop within 1,024 steps."""
        store_release_word(self.words.ctypes.data + 8 * STOP, 1)


@compiled
def store_release_word(address: int, value: int) -> None:
    """Store one word for a loop in another thread."""
    store_release(address, value)


@compiled
def drain(words: Any, log: Any, seen: int, out: Any) -> int:
    """Copy the pauses logged since ``seen`` into ``out`` [LOG, 3]; return how many were logged in all.

    Where more came than the log holds, the oldest are lost: the caller sees more new ones than ``LOG``.
    """
    logged = load_relaxed(words.ctypes.data + 8 * LOGGED)
    first = max(seen, logged - LOG)
    for i in range(first, logged):
        out[i - first, 0] = log[i & LOG_MASK, 0]
        out[i - first, 1] = log[i & LOG_MASK, 1]
        out[i - first, 2] = log[i & LOG_MASK, 2]
    return logged
