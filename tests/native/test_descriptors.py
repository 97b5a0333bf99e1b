"""Descriptors used up, and files cut short: the feed goes on or ends with a word, and obeys SIGTERM."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import live, output, says
from tests.native.messages import bybit
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def connect(path: Path) -> socket.socket:
    """A client of the control socket that says nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(path))
    return client


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptor_left_for_a_client(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """The control socket waits instead of trying again at once; books go on; so does SIGTERM."""
    server = make_server()
    path = tmp_path / "control"
    process, ring = live(start, feed, server, "--control", path)
    used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, hard))
    waiting = [connect(path) for _ in range(4)]
    says(tmp_path, "control socket takes no clients")
    assert "Too many open files" in output(tmp_path)
    before, began = processor_seconds(process.pid), time.monotonic()
    time.sleep(2)
    assert processor_seconds(process.pid) - before < 0.3 * (time.monotonic() - began)
    server.send(bybit(11))
    until(lambda: ring.book()["update_id"] == 11, "the books go on")
    assert output(tmp_path).count("takes no clients") <= 4, "about once a second"
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 20, hard))
    waiting[0].sendall(b"status\n")
    assert waiting[0].recv(100).startswith(b'{"ok": true'), "served when there is one again"
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used, hard))
    more = [connect(path) for _ in range(8)]
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 3
    for client in (*waiting, *more):
        client.close()


def test_no_descriptor_left_for_the_next_connection(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """The stream is lost while every descriptor is used: tried again until there is one."""
    server = make_server()
    process, ring = live(start, feed, server)
    hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))  # those of standard input and output
    server.hang_up()
    says(tmp_path, "Too many open files")
    assert process.poll() is None
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (256, hard))
    until(lambda: server.clients == 1, "the stream again", 60)
    assert ring.path.exists()


def test_a_client_that_says_nothing_is_let_go(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "control"
    live(start, feed, make_server(), "--control", path)
    with connect(path) as silent, connect(path) as long_winded:
        long_winded.sendall(b"x" * 5000)
        assert b"longer than 4096 bytes" in long_winded.recv(200)
        began = time.monotonic()
        assert silent.recv(10) == b""
        assert 5 < time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("status now", "a word too many"),
        ("fly", "unknown request"),
        ("switch c ws://h", "leg not known"),
        ("switch a ws://h http://h x", "a word too many"),
        ("switch a ws://h/\x01", "address not usable"),
    ],
)
def test_requests_that_are_none(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, line: str, problem: str
) -> None:
    path = tmp_path / "control"
    live(start, feed, make_server(), "--control", path)
    with connect(path) as client:
        client.sendall(line.encode() + b"\n")
        answer = client.recv(1000)
    assert answer.startswith(b'{"ok": false')
    assert problem.encode() in answer


def test_a_ring_cut_short_ends_the_feed_with_its_name(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    process, ring = live(start, feed, server)
    os.truncate(ring.path, 4096)
    server.send(bybit(11))  # the head is still there: what follows is not
    assert process.wait(timeout=10) == 3, "no signal"
    text = output(tmp_path)
    assert text.count(f"ring cut short while in use: /dev/shm/quietcore.{feed};") == 1
    server.received.clear()
    again = start("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses())
    until(lambda: server.received, "the next feed in a new ring")
    assert RingFile(feed).number("capacity") == 65536
    assert again.poll() is None
