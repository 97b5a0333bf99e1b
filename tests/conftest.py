"""Which tests race against real time, and their second chance."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quietcore import stop_signals

# What a shell starts in the background ignores the keyboard's interrupt, and so would every program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Here live processes, sockets and clocks meet deadlines of seconds, and another machine's load can break one. Such a
# test may fail once: the summary counts it as rerun and shows the failure. What fails twice has failed.
LIVE = {"chaos", "monitoring", "native", "pipeline", "runtime", "sim"}
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that ends within pytest's process leaves signals ignored: the next test has them as they were."""
    before = {number: signal.getsignal(number) for number in stop_signals.IGNORED_AT_THE_END}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(HERE).parts[0] in LIVE:
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.flaky(reruns=1))
