"""Hits of the last-level cache while something runs, from the CPU's own counters (perf_event_open(2))."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Callable

from quietcore.targets.outcome import Absent, Measured, exactly

# linux/perf_event.h
CALL = {"x86_64": 298, "aarch64": 241}
HARDWARE, REFERENCES, MISSES = 0, 2, 3
DISABLED, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
ENABLE, DISABLE = 0x2400, 0x2401
ATTRIBUTE_SIZE = 64  # PERF_ATTR_SIZE_VER0


def attribute(event: int) -> bytes:
    """Return struct perf_event_attr for a hardware event of this thread, in user space."""
    flags = DISABLED | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
    return struct.pack("=IIQQQQQIIQ", HARDWARE, ATTRIBUTE_SIZE, event, 0, 0, 0, flags, 0, 0, 0)


def opened(event: int) -> int:
    """Return a descriptor that counts ``event`` for the calling thread; raise OSError where that cannot be had."""
    number = CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"perf_event_open on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    described = ctypes.create_string_buffer(attribute(event), ATTRIBUTE_SIZE)
    descriptor = int(libc.syscall(number, described, 0, -1, -1, 0))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def hit_share(work: Callable[[], object]) -> Measured | Absent:
    """Run ``work`` in this thread; return how many per cent of its cache references hit."""
    descriptors: list[int] = []
    try:
        for event in (REFERENCES, MISSES):
            descriptors.append(opened(event))
        for descriptor in descriptors:
            fcntl.ioctl(descriptor, ENABLE, 0)
        work()
        for descriptor in descriptors:
            fcntl.ioctl(descriptor, DISABLE, 0)
        references, misses = (struct.unpack("=Q", os.read(one, 8))[0] for one in descriptors)
    except OSError as error:
        return Absent(refusal(error))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    if references == 0:
        return Absent("the counter of cache references stands still on this machine")
    return exactly(100.0 * (1 - misses / references), f"{references:,} references")


def refusal(error: OSError) -> str:
    """Return why there are no counters, and the remedy: each cause has its own."""
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        return "this machine gives no hardware counters (virtual machines seldom do)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "hardware counters are forbidden here (kernel.perf_event_paranoid, CAP_PERFMON, a container's filter)"
    return f"hardware counters: {error.strerror}"
