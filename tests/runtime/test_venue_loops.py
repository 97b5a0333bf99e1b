"""Event loops of their own: pinned, busy-polling or sleeping, ended without leaving anything."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest
from tests.runtime.delayed_venue import DelayedVenue

from quietcore.errors import QuietcoreError
from quietcore.execution.venue_loop import LoopSettings, VenueLoop
from quietcore.venues.bybit import BybitHTTPClient

ADDRESSES = ("127.0.0.2",)


@pytest.mark.parametrize("spin", [False, True])
def test_a_loop_of_its_own_on_its_core(tmp_path: Path, spin: bool) -> None:
    cpu = sorted(os.sched_getaffinity(0))[-1]
    warnings: list[str] = []

    async def ask() -> tuple[str, int, int]:
        async with (
            DelayedVenue(tmp_path, ADDRESSES, tls=False) as venue,
            BybitHTTPClient(venue.url("http", "127.0.0.2")) as http,
        ):
            await http.server_time_ns()
        module = type(asyncio.get_running_loop()).__module__
        return module, threading.get_native_id(), len(os.sched_getaffinity(0))

    with VenueLoop(LoopSettings("bybit-loop", cpu, spin), warnings.append) as loop:
        module, thread, cpus = loop.submit(ask()).result(30)
        assert module.startswith("uvloop")
        assert thread == loop.tid != threading.get_native_id()
        assert (loop.pinned, cpus) == (True, 1)
        assert Path(f"/proc/self/task/{loop.tid}/comm").read_text().strip() == "bybit-loop"
        forever = loop.submit(asyncio.sleep(3600))
        turns = loop.turns
    assert (turns > 10) is spin
    assert forever.cancelled()
    assert warnings == []
    # The kernel takes a thread off its list a moment after it was joined.
    end = time.monotonic() + 5
    while Path(f"/proc/self/task/{loop.tid}").exists():
        assert time.monotonic() < end, "the thread is still there"
        time.sleep(0.001)


def test_two_venues_two_loops() -> None:
    async def where() -> int:
        return threading.get_native_id()

    with VenueLoop(LoopSettings("one"), print) as one, VenueLoop(LoopSettings("two"), print) as two:
        assert one.submit(where()).result(10) != two.submit(where()).result(10)
    with pytest.raises(QuietcoreError, match="bad name of a loop"):
        VenueLoop(LoopSettings("a" * 16), print)


def test_a_loop_by_configuration_and_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"version": 1, "sets": {"gateway": [5, 6], "strategy": [4]}}')
    assert LoopSettings.planned("bybit", "plan", "spin", plan) == ("bybit", 5, True)
    assert LoopSettings.planned("bybit", 2, "nap", plan) == ("bybit", 2, False)
    with pytest.raises(QuietcoreError, match="bybit: wait; found 'doze'"):
        LoopSettings.planned("bybit", -1, "doze", plan)
    with pytest.raises(QuietcoreError, match="core plan is missing"):
        LoopSettings.planned("bybit", "plan", "nap", tmp_path / "none")
