"""The cheapest clock that compiled code can read, and what the kernel counts for the calling thread.

The counter is the TSC where it runs evenly (flags ``constant_tsc`` and ``nonstop_tsc``) and the kernel keeps time by it
too; elsewhere CLOCK_MONOTONIC in ns. `counter` says which, and how many ns a step is.
"""

# ruff: noqa: D103 -- the typed half below documents what the compiled half does

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from quietcore.bridge.atomics import CLOCK_MONOTONIC, now_ns
from quietcore.bridge.compiled import compiled
from quietcore.host.texts.cpuinfo import flags_of, read_cpuinfo
from quietcore.host.unreadable import NotUnderstoodError

# Words of struct rusage (getrusage(2)): two timevals, then 14 longs.
USAGE_WORDS: Final = 18
USER_SECONDS: Final = 0
USER_MICROSECONDS: Final = 1
SYSTEM_SECONDS: Final = 2
SYSTEM_MICROSECONDS: Final = 3
MINOR_FAULTS: Final = 8
MAJOR_FAULTS: Final = 9
GIVEN_UP: Final = 16  # voluntary context switches
TAKEN: Final = 17  # involuntary ones

CPUINFO = Path("/proc/cpuinfo")
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
CALIBRATION_NS = 20_000_000

if TYPE_CHECKING:

    def time_stamp() -> int:
        """Return the CPU's time-stamp counter, unordered; only where `counter` says that it is one to trust."""

    def thread_usage(address: int) -> None:
        """Write getrusage(RUSAGE_THREAD) into USAGE_WORDS int64 at ``address``."""

else:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from quietcore.bridge.atomics import I32, I64, external, pointer

    @intrinsic
    def time_stamp(typing_context):
        def build(context, builder, signature, arguments):
            return builder.call(external(builder, "llvm.readcyclecounter", I64), [])

        return types.int64(), build

    @intrinsic
    def thread_usage(typing_context, address):
        def build(context, builder, signature, arguments):
            function = external(builder, "getrusage", I32, I32, I64.as_pointer())
            builder.call(function, [ir.Constant(I32, 1), pointer(builder, arguments[0], I64)])
            return context.get_dummy_value()

        return types.void(types.int64), build


class Counter(NamedTuple):
    """Which clock compiled code reads, and what one of its steps is worth."""

    tsc: bool
    ns_per_step: float
    name: str


def trustworthy(cpuinfo: str, clock_source: str) -> bool:
    """Tell whether the TSC runs evenly, through idle states too, and the kernel trusts it itself."""
    return {"constant_tsc", "nonstop_tsc"} <= flags_of(
        read_cpuinfo(cpuinfo)
    ) and clock_source.strip() == "tsc"


@cache
def counter_is_trusted() -> bool:
    """Tell it of this machine."""
    try:
        return trustworthy(CPUINFO.read_text(errors="replace"), CLOCK_SOURCE.read_text())
    except (OSError, NotUnderstoodError):
        return False


@compiled
def both_clocks(out: Any) -> None:
    """Write (time stamp, CLOCK_MONOTONIC ns) into ``out``: the closest pair of 32 tries."""
    best = 1 << 62
    for _ in range(32):
        before = time_stamp()
        now = now_ns(CLOCK_MONOTONIC)
        after = time_stamp()
        if after - before < best:
            best = after - before
            out[0] = before + best // 2
            out[1] = now


@cache
def counter() -> Counter:
    """Return the clock to use, measured once against CLOCK_MONOTONIC over 20 ms."""
    if not counter_is_trusted():
        return Counter(False, 1.0, "CLOCK_MONOTONIC")
    import numpy as np

    begin, end = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
    both_clocks(begin)
    time.sleep(CALIBRATION_NS / 1e9)
    both_clocks(end)
    return Counter(True, float(end[1] - begin[1]) / float(end[0] - begin[0]), "TSC")
