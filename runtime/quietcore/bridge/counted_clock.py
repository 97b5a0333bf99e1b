"""UTC inside compiled loops, for less than half the price of clock_gettime.

As native/include/quietcore/counted_clock.hpp: the time is counted on from the kernel's last answer, which is at most a
millisecond old, by the CPU's counter where that is one to trust; elsewhere each time is the kernel's. So it follows a
clock that is slewed or set, and is wrong by less than a microsecond in between.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quietcore.bridge.atomics import CLOCK_REALTIME, now_ns
from quietcore.bridge.compiled import inlined, lean
from quietcore.bridge.cycles import counter_is_trusted, time_stamp

# Words of a clock.
TRUSTED: Final = 0
STAMP: Final = 1  # of the last answer
UTC: Final = 2
SCALE: Final = 3  # ns a step, times 2^SHIFT; 0: not known yet
LIMIT: Final = 4  # steps until the kernel is asked again; 0: each time
BASE_STAMP: Final = 5  # of the answer from which the scale is taken next
BASE_UTC: Final = 6
CLOCK_WORDS: Final = 8

SHIFT: Final = 24
ASK_EVERY_NS: Final = 1_000_000
FIRST_NS: Final = 1_000_000  # over so long the first scale is taken
SCALE_EVERY_NS: Final = 100_000_000  # and each later one over at least so long
TOO_LONG_NS: Final = 10_000_000_000
SLEW: Final = 1024  # a scale that differs by 1/1024 is a clock that was set


def new_clock(*, trusted: bool | None = None) -> Any:
    """Return a clock, int64 [CLOCK_WORDS], for one thread; ``trusted`` None: see `counter_is_trusted`."""
    clock = np.zeros(CLOCK_WORDS, dtype=np.int64)
    clock[TRUSTED] = counter_is_trusted() if trusted is None else trusted
    return clock


@lean
def _rebase(clock: Any) -> None:
    clock[BASE_UTC] = clock[UTC]
    clock[BASE_STAMP] = clock[STAMP]


@lean
def settle(clock: Any, stamp: int, utc: int) -> None:
    """Take what counter and kernel said at the same time, and now and then the scale between two such pairs."""
    clock[STAMP] = stamp
    clock[UTC] = utc
    passed = utc - clock[BASE_UTC]
    steps = stamp - clock[BASE_STAMP]
    if passed < 0 or passed > TOO_LONG_NS:
        _rebase(clock)
    elif passed >= (FIRST_NS if clock[SCALE] == 0 else SCALE_EVERY_NS) and steps > 0:
        scale = (passed << SHIFT) // steps
        if scale > 0 and (clock[SCALE] == 0 or abs(scale - clock[SCALE]) < clock[SCALE] // SLEW):
            clock[SCALE] = scale
            clock[LIMIT] = (ASK_EVERY_NS << SHIFT) // scale
        _rebase(clock)


@inlined
def counted(clock: Any, since: int) -> int:
    """Return UTC ns, ``since`` steps after the last answer."""
    return int(clock[UTC] + ((since * clock[SCALE]) >> SHIFT))


@lean
def ask(clock: Any) -> int:
    """Ask the kernel, and return its answer."""
    # The closest pair of three: an interruption between the two readings would be wrong for a millisecond.
    closest = 1 << 62
    stamp = utc = 0
    for _ in range(3):
        before = time_stamp()
        now = now_ns(CLOCK_REALTIME)
        took = time_stamp() - before
        if took < closest:
            closest = took
            utc = now
            stamp = before + took // 2
    settle(clock, stamp, utc)
    return utc


@inlined
def utc_ns(clock: Any) -> int:
    """Return UTC in ns."""
    if clock[TRUSTED] == 0:
        return now_ns(CLOCK_REALTIME)
    since = time_stamp() - clock[STAMP]
    # A counter behind the last answer is another CPU's, or was set back with the machine.
    if since < 0 or since >= clock[LIMIT]:
        return ask(clock)
    return counted(clock, since)
