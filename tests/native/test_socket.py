"""What the feed handler asks of its sockets: time stamps, buffers, one receive call for each read."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import live, output, says, with_config
from tests.native.messages import bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer, certificate

from quietcore.bridge import layout

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
KERNEL, USER = layout.TIME_SOURCE_KERNEL, layout.TIME_SOURCE_USER


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("wish", ["best", "none"])
def test_the_receive_time_is_that_of_the_packet(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, secure: bool, wish: str
) -> None:
    """A feed handler that is held up when the packet comes: only the kernel knows when that was."""
    tls = certificate(tmp_path) if secure else None
    server = make_server(tls=tls)
    process = start(
        *("run", "--feed", feed, "--venue", "bybit-linear"),
        *(("--tls-ca", tls[0]) if tls else ()),
        *server.addresses("localhost"),
        *with_config(tmp_path, "[socket]", f'time_stamps = "{wish}"'),
    )
    until(lambda: server.received, "a subscription")
    ring = RingFile(feed)
    server.send(bybit_snapshot(10))
    until(lambda: ring.state() == layout.STATE_LIVE, "a live book")
    u = 10
    if wish == "best":  # the kernel begins some packets after it is asked
        while int(ring.ticks()[-1]["time_source"]) != KERNEL:
            u += 1
            if u == 60:
                pytest.skip("this kernel stamps no packets of the loopback device")
            server.send(bybit(u, b=[["99.9", str(u)]]))
            until(lambda u=u: ring.book()["update_id"] == u, f"update {u}")  # type: ignore[misc]
        says(tmp_path, "receive times by the kernel")
    else:
        says(tmp_path, "time stamps of this process")
    process.send_signal(signal.SIGSTOP)
    before = time.time_ns()
    server.send(bybit(u + 1, b=[["99.9", "7"]]))
    time.sleep(0.3)
    woken = time.time_ns()
    process.send_signal(signal.SIGCONT)
    until(lambda: ring.book()["update_id"] == u + 1, "the update")
    last = ring.ticks()[-1]
    received, published = int(last["receive_ns"]), int(last["receive_ns"]) + int(last["publish_delta_ns"])
    assert int(last["time_source"]) == (KERNEL if wish == "best" else USER)
    assert (before <= received < woken) == (wish == "best")
    assert published >= woken


def test_an_unknown_wish_is_refused(run: Run, feed: str, tmp_path: Path) -> None:
    config = with_config(tmp_path, "[socket]", 'time_stamps = "exact"')
    done = run(
        *("run", *config, "--feed", feed, "--venue", "bybit-linear", "--check"),
        *("--websocket", "ws://127.0.0.1:1", "--rest", "http://127.0.0.1:1"),
    )
    assert done.returncode == 2
    assert "socket.time_stamps" in done.stderr
    assert "best, kernel or none" in done.stderr


def test_busy_polling_is_granted_or_the_reason_said(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    live(start, feed, make_server(), *with_config(tmp_path, "[socket]", "busy_poll_us = 50"))
    says(tmp_path, "busy polling")
    granted = "busy polling 50 us" in output(tmp_path)
    assert granted != ("not granted" in output(tmp_path))


@pytest.mark.parametrize("wish", ["best", "none"])
@pytest.mark.parametrize("each", [1, 2], ids=["as it is", "with one added"])
def test_one_receive_call_for_each_read(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, wish: str, each: int
) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the calls cannot be counted")
    shim = tmp_path / "receive_calls.so"
    source = Path(__file__).with_name("receive_calls.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    counter = tmp_path / "calls"
    counter.write_bytes(bytes(8))
    server = make_server()
    start(
        *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
        *with_config(tmp_path, "[socket]", f'time_stamps = "{wish}"', "[connection]", "refresh = 0"),
        environment={
            "LD_PRELOAD": str(shim),
            "RECEIVE_CALLS_FILE": str(counter),
            **({"RECEIVE_CALLS_TWICE": "1"} if each == 2 else {}),
        },
    )
    until(lambda: server.received, "a subscription")
    ring = RingFile(feed)
    server.send(bybit_snapshot(10))
    until(lambda: ring.state() == layout.STATE_LIVE, "a live book")

    def calls() -> int:
        return int(struct.unpack("<Q", counter.read_bytes())[0])

    before = calls()
    for u in range(11, 31):
        server.send(bybit(u, b=[["99.9", str(u)]]))
        until(lambda u=u: ring.book()["update_id"] == u, f"update {u}")  # type: ignore[misc]
    assert calls() - before == 20 * each
