"""The chaos test's own parts: what they claim to see and to do, they see and do."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.__main__ import parted
from tests.chaos.attacks import ATTACKS
from tests.chaos.planted import PLANTED
from tests.chaos.proxy import Cut, Line, Proxy, Way
from tests.chaos.schedule import schedule
from tests.chaos.starvation import Starvation
from tests.chaos.wire_watch import Sending, WireWatch

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = {"X1", "X2", "X3", "X4", "X5", "X6", "X7"}


def order(client_id: str) -> dict[str, str]:
    return {"orderLinkId": client_id, "price": "100.5", "qty": "0.001", "side": "Buy"}


def frame(text: bytes, *, final: bool = True, opcode: int = 1) -> bytes:
    """Render a client's frame: RFC 6455 section 5.2, masked."""
    mask = b"\x11\x22\x33\x44"
    size = len(text)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
    return bytes([(0x80 if final else 0) | opcode]) + length + mask + body


def seen(pieces: list[bytes]) -> list[str]:
    found: list[Sending] = []
    watch = WireWatch("a line", found.append)
    for piece in pieces:
        watch.read(piece)
    return [one.client_id for one in found]


def request(client_id: str) -> bytes:
    body = json.dumps(order(client_id)).encode()
    return b"POST /v5/order/create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


UPGRADE = b"GET /v5/trade HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CREATE = json.dumps({"op": "order.create", "args": [order("one")]}).encode()


def test_orders_are_seen_in_requests_and_frames_however_they_are_cut() -> None:
    question = b"GET /v5/order/realtime?symbol=X HTTP/1.1\r\nHost: x\r\n\r\n"
    http = request("a") + question + request("b")
    socket_bytes = (
        UPGRADE
        + frame(b'{"op":"ping"}')
        + frame(CREATE[:10], final=False)
        + frame(b"", opcode=9)
        + frame(CREATE[10:], opcode=0)
        + frame(CREATE)
    )
    for whole, wanted in ((http, ["a", "b"]), (socket_bytes, ["one", "one"])):
        assert seen([whole]) == wanted
        assert seen([whole[i : i + 1] for i in range(len(whole))]) == wanted


def test_cancels_and_bytes_that_mean_nothing_are_no_orders() -> None:
    cancel = json.dumps({"op": "order.cancel", "args": [order("one")]}).encode()
    assert seen([UPGRADE, frame(cancel), frame(b"not JSON"), frame(b"[1]")]) == []


def test_a_schedule_follows_from_its_seed_and_plays_every_case() -> None:
    for count in (30, 200):
        lives = schedule(ATTACKS, 7, count)
        assert lives == schedule(ATTACKS, 7, count)
        assert lives != schedule(ATTACKS, 8, count)
        turns = [turn for life in lives for turn in life]
        assert len(turns) == count
        assert {ATTACKS[turn.name].case for turn in turns} >= CASES
        assert len({turn.chance for turn in turns}) == count


def test_no_attack_comes_twice_before_all_have_come_once() -> None:
    turns = [turn.name for life in schedule(ATTACKS, 1, len(ATTACKS)) for turn in life]
    assert sorted(turns) == sorted(ATTACKS)


def test_parts_of_a_campaign_add_up_and_differ() -> None:
    parts = [parted(5, 2003, {"QUIETCORE_PART": str(part), "QUIETCORE_PARTS": "20"}) for part in range(20)]
    assert sum(count for _, count in parts) == 2003
    assert len({seed for seed, _ in parts}) == 20
    assert parted(5, 30, {}) == (5, 30)


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_have_a_place_and_an_attack(name: str) -> None:
    assert PLANTED[name].attacks
    assert set(PLANTED[name].attacks) <= set(ATTACKS)
    # In a process of its own, as it is used: what is changed stays changed.
    script = "import sys; from tests.chaos.planted import PLANTED; PLANTED[sys.argv[1]].plant()"
    subprocess.run([sys.executable, "-c", script, name], check=True, cwd=REPOSITORY)


def test_what_a_process_was_starved_of_is_counted() -> None:
    """Two processes that spin on one CPU get half of it each: the other half is what they waited."""
    cpu = min(os.sched_getaffinity(0))
    spin = f"import os, sys\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass"
    spinners = [
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for spinner in spinners:
            assert spinner.stdout is not None
            spinner.stdout.readline()
        starved = Starvation(lambda: [spinners[0].pid])
        alone = Starvation(lambda: [])
        time.sleep(1.0)
        assert starved.seconds() > 0.3
        assert alone.seconds() == 0
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.communicate()


# the proxy


@pytest.fixture
def line() -> Iterator[Line]:
    """A line to a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(4096):
                    peer.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with Proxy(["only"], lambda sending: None) as proxy:
        proxy.venue_port = listener.getsockname()[1]
        yield proxy.lines["only"]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def client(line: Line) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", line.port)) as found:
        found.settimeout(3.0)
        found.sendall(b"hello")
        assert found.recv(100) == b"hello"
        yield found


def test_a_stalled_line_is_silent_and_late(line: Line, client: socket.socket) -> None:
    line.stalled = {Way.DOWN}
    client.sendall(b"later")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(100)
    line.heal()
    client.settimeout(3.0)
    assert client.recv(100) == b"later"


def test_a_delayed_line_is_late(line: Line, client: socket.socket) -> None:
    line.delay = {Way.UP: 0.15, Way.DOWN: 0.15}
    began = time.monotonic()
    client.sendall(b"slow")
    assert client.recv(100) == b"slow"
    assert time.monotonic() - began >= 0.3


def test_a_throttled_line_takes_its_time(line: Line, client: socket.socket) -> None:
    line.rate = {Way.UP: 0.0, Way.DOWN: 1000.0}
    began = time.monotonic()
    client.sendall(bytes(200))
    received = 0
    while received < 200:
        received += len(client.recv(4096))
    assert time.monotonic() - began >= 0.15


def test_lost_replies_are_gone(line: Line, client: socket.socket) -> None:
    line.lost = {Way.DOWN}
    client.sendall(b"never")
    time.sleep(0.2)
    line.heal()
    client.sendall(b"this")
    assert client.recv(100) == b"this"


@pytest.mark.parametrize("how", [Cut.RESET, Cut.MID_FRAME])
def test_a_reset_is_a_reset(line: Line, client: socket.socket, how: Cut) -> None:
    line.cut(how)
    received = b""
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - what comes before the reset is part of it
        client.sendall(b"half of it")
        for _ in range(5):
            received += client.recv(100)
            client.sendall(b"x")
            time.sleep(0.05)
    assert b"half of it".startswith(received)
    assert len(received) in ((5,) if how is Cut.MID_FRAME else (0,)) or not received


@pytest.mark.parametrize("how", [Cut.CLOSE, Cut.HALF_CLOSE])
def test_an_end_is_an_end(line: Line, client: socket.socket, how: Cut) -> None:
    line.cut(how)
    assert client.recv(100) == b""
    if how is Cut.HALF_CLOSE:
        client.sendall(b"it takes this, and answers nothing")
        assert client.recv(100) == b""


def test_a_refusing_line_resets_new_connections(line: Line, client: socket.socket) -> None:
    line.refused = True
    with socket.create_connection(("127.0.0.1", line.port)) as other:
        other.settimeout(3.0)
        with pytest.raises(ConnectionResetError):
            other.recv(100)


def test_an_answering_line_answers_in_the_venues_stead(line: Line, client: socket.socket) -> None:
    line.answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 502")
    with socket.create_connection(("127.0.0.1", line.port)) as other:
        other.settimeout(3.0)
        other.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 502")


def test_the_program_sets_the_clock_off(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("q", 3600 * 10**9))
    script = (
        "import sys, time; from pathlib import Path; from tests.chaos.program import set_clock_off;"
        "set_clock_off(Path(sys.argv[1])); print(time.time_ns(), time.time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(clock)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    nanoseconds, seconds = done.stdout.split()
    assert abs(int(nanoseconds) / 1e9 - time.time() - 3600) < 10
    assert abs(float(seconds) - time.time() - 3600) < 10
