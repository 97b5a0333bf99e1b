"""What ends a command for want of memory, descriptors, disk or threads: one line with the remedy, and no traceback.

Standard library only.
"""

from __future__ import annotations

import errno
import sys

from .errors import REMEDIES, ExitCode, QuietcoreError, named, remedy_of

MEMORY = REMEDIES[errno.ENOMEM]
FILES = REMEDIES[errno.EMFILE]
# Libraries pass on what the kernel said as text, in exceptions of their own.
SIGNS = {
    "cannot allocate memory": ("not enough memory", MEMORY),
    "failed to map segment": ("not enough memory", MEMORY),
    "unable to allocate": ("not enough memory", MEMORY),
    "out of memory": ("not enough memory", MEMORY),
    "insufficient memory": ("not enough memory", MEMORY),
    "can't start new thread": (
        "no more threads",
        "raise the limits of tasks and memory (TasksMax=, LimitNPROC=, LimitAS=, ulimit -u, ulimit -v)",
    ),
    "too many open files": ("too many open files", FILES),
    "no space left on device": ("no space left on a disk", REMEDIES[errno.ENOSPC]),
    "read-only file system": ("a file system is mounted read-only", REMEDIES[errno.EROFS]),
}

# MiB of address space without which libraries end the process themselves, each with words of its own.
LEAST_ADDRESS_SPACE = {
    "run": 640,
    **dict.fromkeys(("backtest", "bench", "latency", "new", "soak", "tally", "targets"), 640),
    **dict.fromkeys(("status", "top", "web", "metrics", "jitter"), 384),
}


# Descriptors without which libuv ends the process itself: event loops, connections, reserve.
LEAST_FILES = {"run": 64, "guard": 40}


def check_limits(command: str) -> None:
    """Raise QuietcoreError where a limit (RLIMIT_AS, RLIMIT_NOFILE) leaves a command less than it needs."""
    if sys.platform != "linux":
        return
    import resource

    files, limit = LEAST_FILES.get(command, 0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < files:
        raise QuietcoreError(
            "not enough descriptors",
            found=f"a limit of {limit} open files",
            expected=f"{files} at least",
            remedy=FILES,
            code=ExitCode.UNKNOWN,
        )
    least, limit = LEAST_ADDRESS_SPACE.get(command, 0), resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < least << 20:
        raise QuietcoreError(
            "not enough memory",
            found=f"an address space of {limit >> 20} MiB",
            expected=f"{least} MiB and the rings",
            remedy=MEMORY,
            code=ExitCode.UNKNOWN,
        )


def explain(error: BaseException) -> str | None:
    """Return the line for an error that the system's limits brought about, or its causes; None for any other.

    >>> explain(MemoryError())
    'not enough memory; remedy: give it more memory (LimitAS=, MemoryMax=, ulimit -v)'
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if (line := _explain_one(cause)) is not None:
            return line
        cause = cause.__cause__ or cause.__context__
    return None


def _explain_one(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return f"not enough memory; remedy: {MEMORY}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{named(error)}; remedy: {remedy_of(error, 'see what the system refuses there')}"
    text = str(error).lower()
    for sign, (what, remedy) in SIGNS.items():
        if sign in text:
            return f"{what}: {' '.join(str(error).split())[:300]}; remedy: {remedy}"
    return None
