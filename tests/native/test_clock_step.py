"""The host's clock is set while the feed runs."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tests.native.conftest import Start
from tests.native.following import with_config
from tests.native.messages import bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
HOUR = 3600 * 10**9


def test_a_clock_step_harms_no_book(start: Start, feed: str, make_server: MakeServer, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the clock cannot be set for one process")
    shim = tmp_path / "clock_step.so"
    source = Path(__file__).with_name("clock_step.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    offset_file = tmp_path / "offset"
    offset_file.write_bytes(bytes(8))
    server = make_server()
    process = start(
        *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
        *with_config(tmp_path, "[socket]", 'time_stamps = "none"'),
        environment={"LD_PRELOAD": str(shim), "CLOCK_STEP_FILE": str(offset_file)},
    )
    until(lambda: server.received, "a subscription")
    ring = RingFile(feed)
    server.send(bybit_snapshot(10))
    until(lambda: ring.state() == layout.STATE_LIVE, "a live book")
    with offset_file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as offset:
        for u, step in ((11, HOUR), (12, -2 * HOUR), (13, 0)):
            offset[:] = struct.pack("<q", step)
            beat = ring.number("heartbeat_ns")
            message = bybit(u, b=[["99.9", str(u)]])
            server.send(message)
            until(lambda u=u: ring.book()["update_id"] == u, f"update {u}")  # type: ignore[misc]
            until(lambda beat=beat: ring.number("heartbeat_ns") > beat, "the heartbeat")  # type: ignore[misc]
            assert ring.state() == layout.STATE_LIVE
            last = ring.ticks()[-1]
            assert abs(int(last["receive_ns"]) - step - int(message["ts"]) * 10**6) < 60 * 10**9
            foreign = bool(int(last["flags"]) & layout.FLAG_VENUE_TIME_FOREIGN)
            assert foreign == (step != 0), "no latency is made of clocks that disagree"
    assert process.poll() is None
    statistics = ring.statistics()
    assert (statistics["reconnects"], statistics["gaps"], statistics["silences"]) == (0, 0, 0)
