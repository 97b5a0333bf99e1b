"""`quietcore-feed monitor`: what it counts, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import output
from tests.native.messages import bybit
from tests.native.multicasting import MakeRelay, publish, two_books
from tests.native.packet_relay import Groups, sender
from tests.native.ring_file import until
from tests.native.venue_server import MakeServer

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def monitor(run: Run, groups: Groups, *more: object) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    done = run("monitor", *groups.options(), "--seconds", 2, "--json", *more)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    return done.returncode, lines[-1], lines[-1]["channels"]


def test_monitor_counts_what_is_lost(
    start: Start, run: Run, feed: str, make_server: MakeServer, make_relay: MakeRelay
) -> None:
    server, _, _ = two_books(start, feed, make_server)
    groups, beyond = Groups(), Groups()
    relay = make_relay(groups, beyond)
    publish(start, feed, groups)
    code, whole, channels = monitor(run, groups, "--feed", feed)
    assert code == 0, whole
    assert [(each["feed"], each["channel"]) for each in channels] == [(feed, "stream"), (feed, "snapshots")]
    assert channels[0]["heartbeats"] > 10
    assert channels[1]["packets"] > 10
    assert channels[1]["latency_p50_ns"] > 0
    assert whole["kernel_drops"] == whole["foreign"] == 0
    dropped = 0
    counter = 0

    def every_fourth(packet: bytes) -> Iterable[bytes]:
        nonlocal dropped, counter
        counter += 1
        if counter % 4 == 0:
            dropped += 1
            return ()
        return (packet, packet) if counter % 4 == 1 else (packet, b"something else")

    relay.snapshot_fault = every_fourth
    server.send(bybit(11))
    code, whole, channels = monitor(run, beyond)
    assert code == 1
    snapshots = next(each for each in channels if each["channel"] == "snapshots")
    assert snapshots["lost"] == snapshots["gaps"] > 3
    assert snapshots["duplicates"] > 3
    assert whole["foreign"] > 3
    assert dropped >= snapshots["lost"]


def test_monitor_tells_the_kernels_drops_from_gaps(start: Start, feed_handler: Path, tmp_path: Path) -> None:
    """A monitor that does not read: the kernel drops for want of room, and says how many."""
    groups = Groups()
    process = subprocess.Popen(
        [str(feed_handler), "monitor", *groups.options(), "--buffer", "4096", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    out = sender()
    try:
        assert process.stdout is not None
        # A second copy shows when the other has joined: both are sockets of this host.
        json.loads(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        until(lambda: "T" in Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1][:3], "a stop")
        for _ in range(500):
            out.sendto(bytes(1400), groups.stream)
        process.send_signal(signal.SIGCONT)
        final: dict[str, int] = {}

        def dropped() -> bool:
            nonlocal final
            assert process.stdout is not None
            final = json.loads(process.stdout.readline())
            return final["kernel_drops"] > 0

        until(dropped, "the kernel's count")
        assert final["foreign"] + final["kernel_drops"] == 500
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 3, "nothing of a feed came"
    finally:
        out.close()
        process.kill()
        process.wait(timeout=10)


def test_monitor_ends_cleanly_with_a_table(run: Run, start: Start, tmp_path: Path) -> None:
    groups = Groups()
    process = start("monitor", *groups.options())
    until(lambda: "nothing of any feed came" in output(tmp_path), "a table")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 3
    assert "in all" in output(tmp_path)
    assert "Traceback" not in output(tmp_path)
