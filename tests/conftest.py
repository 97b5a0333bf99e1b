"""Which tests race against real time, and their second chance."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# What a shell starts in the background ignores the keyboard's interrupt, and so would every program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Here live processes, sockets and clocks meet deadlines of seconds, and another machine's load can break one. Such a
# test may fail once: the summary counts it as rerun and shows the failure. What fails twice has failed.
LIVE = {"chaos", "monitoring", "native", "pipeline", "runtime", "sim"}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(HERE).parts[0] in LIVE:
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.flaky(reruns=1))
