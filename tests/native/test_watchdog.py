"""Connected but stale: servers and streams that stay silent."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.native.conftest import Start
from tests.native.following import follow, live, output, says, with_config
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.tcp_relay import TcpRelay
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

LIVE, STALE, RESYNC = layout.STATE_LIVE, layout.STATE_STALE, layout.STATE_RESYNC
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
QUICK = (
    "[connection]",
    "retry_first = 0.05",
    "retry_limit = 0.2",
    "resync_first = 0.1",
    "resync_limit = 0.5",
)


def test_a_silent_book_is_stale_and_asked_for(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("BTCUSDT", "ETHUSDT")
    _, ring = live(start, feed, server, *with_config(tmp_path, *QUICK, "stale_after = 1"))
    u = 1
    until(lambda: server.received, "the subscription")
    server.received.clear()
    server.send(bybit_snapshot(1, "ETHUSDT"))
    deadline = time.monotonic() + 20
    while ring.state() == LIVE:
        u += 1
        server.send(bybit(u, symbol="ETHUSDT"))  # its connection is well
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (ring.state(0), ring.state(1)) == (STALE, LIVE)
    until(lambda: len(server.received) >= 2, "asked for again")
    assert json.loads(server.received[-1]) == {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}
    server.send(bybit_snapshot(500))
    until(lambda: ring.state() == LIVE, "the book is back")
    until(lambda: ring.statistics()["silences"] >= 1, "counted")
    assert server.clients == 1, "the connection stayed"
    says(tmp_path, "nothing came for the book of BTCUSDT")


def test_a_book_that_is_quiet_by_nature_is_left_alone(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.on_subscribe = lambda _: [bybit_snapshot(10)]  # nothing ever changes
    _, ring = live(start, feed, server, *with_config(tmp_path, *QUICK, "stale_after = 0.3"))
    until(lambda: ring.statistics()["silences"] >= 3, "three doubts")
    third = time.monotonic()
    until(lambda: ring.state() == LIVE, "confirmed")
    until(lambda: ring.statistics()["silences"] >= 4, "a fourth")
    assert time.monotonic() - third > 1.5, "patience has doubled each time"


def test_binance_is_revived_over_its_stream(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server, *with_config(tmp_path, *QUICK, "stale_after = 1"))
    ring = RingFile(feed)
    server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")
    server.snapshots["BTCUSDT"] = binance_snapshot(110)
    until(lambda: ring.statistics()["silences"] == 1, "doubted")
    until(lambda: ring.state() == LIVE, "the snapshot says that nothing was missed")
    until(lambda: len(server.received) >= 2, "both requests, as slowly as the venue wants them")
    methods = [json.loads(text)["method"] for text in server.received]
    assert methods[:2] == ["UNSUBSCRIBE", "SUBSCRIBE"]
    server.snapshots["BTCUSDT"] = binance_snapshot(300)
    until(lambda: ring.statistics()["silences"] == 2, "doubted again")
    until(lambda: ring.state() == RESYNC, "and rightly: 111 to 300 never came")
    server.send(binance(290, 310, 289))
    until(lambda: ring.state() == LIVE, "live with the stream that speaks again")


def test_a_server_that_answers_and_sends_nothing(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    live(start, feed, server, *with_config(tmp_path, *QUICK, "stale_after = 0.3"))
    ring = RingFile(feed)
    until(lambda: len(server.targets) >= 2, "a new connection, as asking again did not help")
    says(tmp_path, "subscribing again did not help")
    server.on_subscribe = lambda _: [bybit_snapshot(600)]
    until(lambda: ring.state() == LIVE, "live again")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_accepts_and_stays_silent(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, silent_port: int
) -> None:
    server = make_server()
    config = with_config(tmp_path, *QUICK, "idle_timeout = 0.5")
    start(
        *("run", *config, "--feed", feed, "--venue", "bybit-linear"),
        *("--websocket", f"ws://127.0.0.1:{silent_port}", "--rest", server.addresses()[3]),
    )
    until(lambda: output(tmp_path).count("WebSocket handshake") >= 3, "given up again and again")
    says(tmp_path, "trying again in")
    assert RingFile(feed).state() == layout.STATE_EMPTY


def test_a_half_open_connection_is_noticed(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.on_subscribe = lambda _: [bybit_snapshot(10)]
    relay = TcpRelay(server.port)
    try:
        config = with_config(tmp_path, *QUICK, "idle_timeout = 1", "stale_after = 0")
        start(
            *("run", *config, "--feed", feed, "--venue", "bybit-linear"),
            *("--websocket", f"ws://127.0.0.1:{relay.port}", "--rest", server.addresses()[3]),
        )
        ring = RingFile(feed)
        until(lambda: ring.state() == LIVE, "a live book")
        relay.freeze()  # neither bytes nor an end: as when a host or a NAT on the way dies
        began = time.monotonic()
        until(lambda: ring.state() == STALE, "noticed")
        assert time.monotonic() - began < 5
        relay.thaw()  # for new connections
        until(lambda: ring.state() == LIVE, "live over a new connection")
        assert ring.statistics()["reconnects"] >= 1
        says(tmp_path, "connection lost")
    finally:
        relay.close()
