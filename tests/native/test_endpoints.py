"""Two hosts for one feed, and the change from one to another while the feed runs."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import live, says, with_config
from tests.native.ladder_reader import LadderReader
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot, bybit_trade
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer, VenueServer

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


def test_status_and_the_socket(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    path = tmp_path / "control"
    live(start, feed, server, "--control", path)
    assert oct(path.stat().st_mode & 0o7777) == "0o660"
    done = run("control", "--socket", path, "--json", "status")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert (answer["feed"], answer["venue"], answer["books_live"]) == (feed, "bybit-linear", 1)
    (leg,) = answer["legs"]
    assert (leg["websocket"], leg["ready"], leg["books_live"]) == (server.addresses()[1], 1, 1)
    assert "1 of 1 books live" in run("control", "--socket", path, "status").stdout
    for words in (["switch", "http://x"], ["switch", "ws://127.0.0.1:1", "--leg", "b"]):
        done = run("control", "--socket", path, *words)
        assert done.returncode == 1, done.stderr
        assert "address not usable" in done.stdout or "no second connection" in done.stdout


def _alone(server: VenueServer) -> bool:
    return server.clients == 0


def _more_snapshots(ring: RingFile, than: int) -> bool:
    return ring.statistics()["snapshots"] > than


class Market:
    """One market, sent by several servers: each message to one of them or to all, in the order of the calls."""

    def __init__(self, seed_u: int = 1000) -> None:
        self.u = seed_u
        self.bids = {"100.0": "1", "99.9": "2"}
        self.asks = {"100.1": "3"}
        self._lock = threading.Lock()

    def snapshot(self) -> dict[str, object]:
        with self._lock:
            return self._snapshot()

    def move(self) -> dict[str, object]:
        """One more message: sizes change and a level comes and goes."""
        with self._lock:
            return self._move()

    def _snapshot(self) -> dict[str, object]:
        return bybit(
            self.u,
            "snapshot",
            seq=self.u * 10,
            b=[[p, s] for p, s in self.bids.items()],
            a=[[p, s] for p, s in self.asks.items()],
        )

    def _move(self) -> dict[str, object]:
        self.u += 1
        self.bids["99.9"] = str(self.u)
        if self.u % 2:
            self.bids["99.8"] = "7"
            change = [["99.9", str(self.u)], ["99.8", "7"]]
        else:
            self.bids.pop("99.8", None)
            change = [["99.9", str(self.u)], ["99.8", "0"]]
        return bybit(self.u, seq=self.u * 10, b=change)


def test_a_switch_is_neither_a_gap_nor_a_stale_book(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    old, new = make_server(), make_server()
    market = Market()

    def snapshot(_: list[str]) -> list[dict[str, object]]:
        return [market.snapshot()]

    old.on_subscribe = snapshot
    new.on_subscribe = snapshot
    path = tmp_path / "control"
    process = start(
        *("run", "--feed", feed, "--venue", "bybit-linear", *old.addresses(), "--control", path),
        *("--capacity", 1 << 17),
    )
    ring = RingFile(feed)
    until(lambda: ring.state() == LIVE, "a live book")
    stop = threading.Event()

    def trade() -> None:
        while not stop.is_set():
            message = market.move()
            for server in (old, new):
                server.send(message)
            stop.wait(0.002)

    mover = threading.Thread(target=trade)
    mover.start()
    try:
        for target, other in ((new, old), (old, new), (new, old)):
            done = run("control", "--socket", path, "switch", target.addresses()[1])
            assert done.returncode == 0, done.stdout + done.stderr
            assert target.addresses()[1] in done.stdout
            until(partial(_alone, other), "the old connection is closed")
    finally:
        stop.set()
        mover.join()
    until(lambda: ring.book()["update_id"] == market.u, "everything arrived")
    reader = LadderReader(ring)
    reader.read()
    assert reader.states == {LIVE}, "never anything else"
    assert reader.crossed == 0
    assert reader.update_ids == sorted(reader.update_ids)
    assert reader.largest_step == 1, "no update was left out"
    assert ring.ladder()[0][1][1] == market.u * 1000
    until(lambda: ring.statistics()["switches"] == 3, "counted")
    statistics = ring.statistics()
    assert (statistics["gaps"], statistics["reconnects"], statistics["crossed"]) == (0, 0, 0)
    assert process.poll() is None


def test_a_switch_to_nowhere_changes_nothing(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server, deaf = make_server(), make_server()
    deaf.confirm = False
    path = tmp_path / "control"
    config = with_config(tmp_path, *QUICK, "switch_timeout = 0.7")
    _, ring = live(start, feed, server, "--control", path, *config)
    for target in ("ws://127.0.0.1:1", deaf.addresses()[1]):
        done = run("control", "--socket", path, "switch", target)
        assert done.returncode == 1
        assert "no switch" in done.stdout
        assert "the old connections stay" in done.stdout
    server.send(bybit(11))
    until(lambda: ring.book()["update_id"] == 11, "the old connection")
    assert ring.state() == LIVE
    until(lambda: deaf.clients == 0, "the new one is closed")
    says(tmp_path, "Connection refused")


def test_the_first_of_two_hosts_wins(start: Start, feed: str, make_server: MakeServer) -> None:
    a, b = make_server(), make_server()
    market = Market()
    a.on_subscribe = b.on_subscribe = lambda _: [market.snapshot()]
    start(
        *("run", "--feed", feed, "--venue", "bybit-linear", *a.addresses()),
        *("--websocket-b", b.addresses()[1], "--rest-b", b.addresses()[3]),
    )
    ring = RingFile(feed)
    until(lambda: a.clients == 1 and b.clients == 1 and ring.state() == LIVE, "both")
    until(lambda: ring.statistics()["snapshots"] == 2, "both have the book")
    for n in range(200):
        message = market.move()
        first, second = (a, b) if n % 3 else (b, a)
        first.send(message)
        second.send(message)
    until(lambda: ring.book()["update_id"] == market.u, "all of them")
    until(lambda: ring.statistics()["depth_applied"] >= 400, "both books")
    reader = LadderReader(ring)
    reader.read()
    assert reader.largest_step == 1
    assert len(reader.update_ids) == len(set(reader.update_ids)), "each update once"
    assert ring.statistics()["duplicates"] >= 200
    for server in (a, b, a):
        server.send(bybit_trade("00c706e1-ba52-5bb0-98d0-bf694bdc69f7"))
    server.send(bybit_trade("another"))
    until(lambda: ring.statistics()["trades"] == 2, "each trade once")


def test_a_gap_on_one_host_is_filled_by_the_other(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    a, b = make_server(), make_server()
    market = Market()
    a.on_subscribe = b.on_subscribe = lambda _: [market.snapshot()]
    start(
        *("run", "--feed", feed, "--venue", "bybit-linear", *a.addresses()),
        *("--websocket-b", b.addresses()[1]),
        *with_config(tmp_path, *QUICK),
    )
    ring = RingFile(feed)
    until(lambda: ring.statistics()["snapshots"] == 2, "both have the book")
    for lossy, whole in ((a, b), (b, a), (a, b), (b, a)):
        before = ring.statistics()["snapshots"]
        for n in range(50):
            message = market.move()
            whole.send(message)
            if n != 20:
                lossy.send(message)
        until(partial(_more_snapshots, ring, before), "the host with the gap has sent the book again")
    until(lambda: ring.book()["update_id"] == market.u, "all of them")
    reader = LadderReader(ring)
    reader.read()
    assert reader.states == {LIVE}
    assert reader.largest_step == 1
    until(lambda: ring.statistics()["gaps"] == 4, "each host's gaps are counted")
    a.stop_listening()
    b.send(market.move())
    until(lambda: ring.book()["update_id"] == market.u, "on one host alone")
    assert ring.state() == LIVE
    b.stop_listening()
    until(lambda: ring.state() == STALE, "both are gone")


def test_a_snapshot_market_switches_too(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    old, new = make_server(), make_server()
    old.snapshots["BTCUSDT"] = binance_snapshot(100)
    path = tmp_path / "control"
    start(
        *("run", "--feed", feed, "--venue", "binance-usdm", *old.addresses(), "--control", path),
        *with_config(tmp_path, *QUICK),
    )
    ring = RingFile(feed)
    until(lambda: old.clients == 1, "a stream")
    old.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")
    new.snapshots["BTCUSDT"] = binance_snapshot(112)
    results: list[int] = []

    def switch() -> None:
        results.append(run("control", "--socket", path, "switch", *new.addresses()[1::2]).returncode)

    switcher = threading.Thread(target=switch)
    switcher.start()
    until(lambda: any("depth" in request for request in new.requests), "the new host's own snapshot")
    # The new host cuts its updates into other messages.
    old.send(binance(111, 115, 110, b=[["99.5", "1"]]))
    new.send(binance(111, 113, 110), binance(114, 118, 113, b=[["99.5", "1"]]))
    switcher.join()
    assert results == [0]
    new.send(binance(119, 120, 118))
    until(lambda: ring.book()["update_id"] == 120, "the new host")
    reader = LadderReader(ring)
    reader.read()
    assert reader.states - {RESYNC} == {LIVE}
    assert reader.update_ids == sorted(reader.update_ids)
    assert ring.ladder() == ([[1000, 1000], [995, 1000]], [[1001, 3000]])
    assert bybit_snapshot(1)["type"] == "snapshot"


def test_connections_are_renewed_before_the_venue_ends_them(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    market = Market()
    server.on_subscribe = lambda _: [market.snapshot()]
    config = with_config(tmp_path, *QUICK, "lifetime = 1")
    start("run", *config, "--feed", feed, "--venue", "bybit-linear", *server.addresses())
    ring = RingFile(feed)
    until(lambda: ring.state() == LIVE, "a live book")
    while ring.statistics()["switches"] < 2:
        server.send(market.move())
        # No faster than it follows: a connection that lags by thousands of messages is no fair rival.
        until(lambda: ring.book()["update_id"] >= market.u - 20, "it follows")
    says(tmp_path, "renewing connections before the venue ends them")
    until(lambda: ring.book()["update_id"] == market.u, "everything arrived")
    reader = LadderReader(ring)
    reader.read()
    assert reader.states == {LIVE}
    assert reader.largest_step == 1
    assert ring.statistics()["reconnects"] == 0
