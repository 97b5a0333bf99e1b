"""SIGTERM and SIGINT: each asks a program to end, and no further one cuts short what it does in ending.

An event loop that closes takes its handlers away (asyncio), and so does Python as it ends. A second signal would then
kill the process where it writes its report, and its manager would be told of a signal instead of an exit code. So the
signals are ignored before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

NUMBERS = (signal.SIGTERM, signal.SIGINT)
IGNORED_AT_THE_END = (*NUMBERS, signal.SIGHUP)


def hear(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    """Let both signals call ``stop`` in the loop."""
    for number in NUMBERS:
        loop.add_signal_handler(number, stop)


def ignore(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Ignore both signals, and SIGHUP, to the end of the process.

    To be called in the main thread and, where there is a loop, while it still runs.
    """
    # Between the loop's handler and none a signal would kill: it waits until it is ignored.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_AT_THE_END)
    try:
        for number in IGNORED_AT_THE_END:
            if loop is not None:
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def heard(stop: Callable[[], object]) -> Iterator[None]:
    """Let both signals call ``stop`` in the running loop for the length of a block, and ignore them after it."""
    loop = asyncio.get_running_loop()
    hear(loop, stop)
    try:
        yield
    finally:
        ignore(loop)
