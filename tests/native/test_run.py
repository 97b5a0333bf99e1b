"""`quietcore-feed run` against an exchange that does what the test says."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import at_update, follow, live, output, says
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer, VenueServer, certificate

from quietcore.bridge import layout

LIVE, STALE, RESYNC = layout.STATE_LIVE, layout.STATE_STALE, layout.STATE_RESYNC
# The exchange ends while clients are still connected, or in the middle of a TLS handshake that they broke off:
# asyncio then complains of transports that it had no time left to close.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


# Bybit ------------------------------------------------------------------------------------------------------
def test_subscribes_and_publishes(start: Start, feed: str, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server("BTCUSDT", "ETHUSDT")
    server.on_subscribe = lambda topics: [bybit_snapshot(5, "ETHUSDT")]
    process, ring = live(start, feed, server)
    assert json.loads(server.received[0]) == {
        "req_id": "1",
        "op": "subscribe",
        "args": [
            *("orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"),
            *("orderbook.50.ETHUSDT", "publicTrade.ETHUSDT", "tickers.ETHUSDT"),
        ],
    }
    assert len(server.requests) == 2, "two pages of instruments"
    server.send(bybit(11, b=[["100.0", "0"]]))
    until(lambda: ring.book()["update_id"] == 11, "the delta")
    assert ring.ladder() == ([[999, 2000]], [[1001, 3000]])
    ticks = ring.ticks()
    assert set(ticks["time_source"]) <= {layout.TIME_SOURCE_USER, layout.TIME_SOURCE_KERNEL}
    assert (ticks["flags"] & layout.FLAG_PUBLISH_DELTA_SATURATED == 0).all()
    assert (ticks["venue_delta_us"] < 10_000_000).all()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert ring.state() == STALE
    assert ring.number("closed") == 0
    says(tmp_path, "ready: 2 symbols of bybit-linear")


def test_a_gap_resubscribes_that_book_alone(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server("BTCUSDT", "ETHUSDT")
    _, ring = live(start, feed, server)
    server.send(bybit_snapshot(5, "ETHUSDT"))
    until(lambda: ring.state(1) == LIVE, "the other book")
    server.send(bybit(12))
    until(lambda: ring.state() == RESYNC, "a resync")
    until(lambda: len(server.received) >= 3, "unsubscribe and subscribe")
    assert [json.loads(text) for text in server.received[1:3]] == [
        {"op": "unsubscribe", "args": ["orderbook.50.BTCUSDT"]},
        {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]},
    ]
    server.send(bybit_snapshot(100))
    until(lambda: ring.state() == LIVE, "the book is back")
    assert ring.state(1) == LIVE
    until(lambda: ring.statistics()["gaps"] == 1, "one gap")
    assert server.clients == 1


def test_repeated_gaps_do_not_storm(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    _, ring = live(start, feed, server)
    for n in range(30):
        server.send(bybit_snapshot(1000 * n + 2000), bybit(1000 * n + 2007))
    until(lambda: ring.statistics()["gaps"] == 30, "all gaps")

    def resubscribed() -> int:
        return sum('"unsubscribe"' in text for text in server.received)

    until(lambda: resubscribed() >= 1, "the first request, which may come after the count")
    assert resubscribed() <= 3, "the first at once, then not before the back-off allows"


def test_a_lost_connection_comes_back(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    process, ring = live(start, feed, server)
    server.stop_listening()
    until(lambda: ring.state() == STALE, "a stale book")
    server.received.clear()
    server.listen()
    until(lambda: server.received, "the subscription again")
    server.send(bybit_snapshot(500))
    until(lambda: ring.state() == LIVE, "a live book again")
    assert ring.number("epoch") == 1
    until(lambda: ring.statistics()["reconnects"] == 1, "one reconnect")
    assert process.poll() is None
    says(tmp_path, "connection lost")
    lost = [line for line in output(tmp_path).splitlines() if "connection lost" in line]
    assert len(lost) == 1
    assert "trying again in" in lost[0]


def test_what_is_not_for_it_leaves_it_unharmed(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    process, ring = live(start, feed, server)
    unknown = {"topic": "publicTrade.DOGEUSDT", "ts": 1, "data": [{"p": "1", "v": "1", "S": "Buy"}]}
    server.send(*["nonsense"] * 20, "", '{"topic":"orderbook.50.BTCUSDT"', unknown, bybit(11))
    until(lambda: ring.book()["update_id"] == 11, "the delta after them")
    until(lambda: ring.statistics()["malformed"] == 22, "all counted")
    until(lambda: ring.statistics()["unknown_symbol"] == 1, "the unknown symbol counted")
    assert ring.state() == LIVE
    assert process.poll() is None
    says(tmp_path, "DOGEUSDT")
    text = output(tmp_path)
    assert text.count("message refused") == 5, "the first few are shown"


def test_a_refused_subscription_is_said(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.refusal = "error:handler not found,topic:orderbook.50.BTCUSDT"
    process = follow(start, feed, "bybit-linear", server)
    until(lambda: "handler not found" in output(tmp_path), "the venue's words")
    assert "ready" not in output(tmp_path)
    assert process.poll() is None


def test_the_heartbeat_goes_on_without_data(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    _, ring = live(start, feed, server)
    beats = set()
    end = time.monotonic() + 1.0
    longest = 0.0
    last, seen = 0, time.monotonic()
    while time.monotonic() < end:
        beat = ring.number("heartbeat_ns")
        if beat != last:
            longest = max(longest, time.monotonic() - seen)
            last, seen = beat, time.monotonic()
            beats.add(beat)
        time.sleep(0.005)
    assert len(beats) >= 8, f"{len(beats)} in a second, the longest pause {longest:.3f} s"


# Binance ----------------------------------------------------------------------------------------------------
def test_binance_fetches_its_snapshot_and_bridges_it(
    start: Start, feed: str, make_server: MakeServer
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server)
    assert server.targets == ["/stream?streams=btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade"]
    ring = RingFile(feed)
    server.send(binance(90, 99, 89), binance(100, 110, 99, b=[["99.9", "5"]]), binance(111, 120, 110))
    until(lambda: ring.state() == LIVE and ring.book()["update_id"] == 120, "a live book")
    assert ring.ladder() == ([[1000, 1000], [999, 5000]], [[1001, 3000]])
    assert "/fapi/v1/depth?symbol=BTCUSDT&limit=1000" in server.requests
    until(lambda: ring.statistics()["depth_applied"] == 2, "the counters, stored a little later")
    statistics = ring.statistics()
    assert (statistics["depth_dropped"], statistics["gaps"]) == (1, 0)


def test_binance_fetches_again_after_a_gap(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server)
    ring = RingFile(feed)
    server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")
    server.snapshots["BTCUSDT"] = binance_snapshot(205)
    server.send(binance(200, 210, 199))
    until(lambda: ring.statistics()["gaps"] == 1, "the gap")
    until(lambda: ring.state() == LIVE, "live again")
    assert ring.book()["update_id"] == 210
    assert sum("depth" in request for request in server.requests) == 2


def test_binance_fetches_again_where_the_snapshot_is_too_old(
    start: Start, feed: str, make_server: MakeServer
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(50)
    follow(start, feed, "binance-usdm", server)
    ring = RingFile(feed)
    until(lambda: ring.statistics()["snapshots"] == 1, "the first snapshot")
    server.snapshots["BTCUSDT"] = binance_snapshot(105)
    server.send(binance(100, 110, 99))
    until(lambda: ring.statistics()["depth_applied"] == 1, "the counters")
    assert ring.state() == LIVE
    assert ring.statistics()["gaps"] == 0


def test_binance_tries_again_where_the_snapshot_is_refused(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    server.snapshot_failures = 2
    follow(start, feed, "binance-usdm", server)
    ring = RingFile(feed)
    server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")
    says(tmp_path, "HTTP 429")


def test_pings_are_answered_with_their_payload(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server)
    server.ping(b"1773386409407")
    until(lambda: "pong 1773386409407" in server.received, "the pong")


# TLS --------------------------------------------------------------------------------------------------------
def over_tls(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> tuple[VenueServer, RingFile]:
    """A server with a certificate of its own, and a feed handler that has been sent a snapshot."""
    tls = certificate(tmp_path)
    server = make_server(tls=tls)
    start(
        *("run", "--feed", feed, "--venue", "bybit-linear", "--tls-ca", tls[0]),
        *server.addresses("localhost"),
    )
    until(lambda: server.received, "a subscription")
    ring = RingFile(feed)
    server.send(bybit_snapshot(1))
    return server, ring


def test_tls_with_a_certificate_authority_of_ours(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    _, ring = over_tls(start, feed, make_server, tmp_path)
    until(lambda: ring.state() == LIVE, "a live book over TLS")


def test_the_last_message_of_a_burst_over_tls_waits_for_no_other(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """One read from the socket brings many records: what TLS has in hand needs no more bytes to be taken."""
    server, ring = over_tls(start, feed, make_server, tmp_path)
    update = 1
    for burst in range(40):
        messages = [bybit(update + 1 + each, b=[["100.0", str(each + 1)]]) for each in range(25)]
        update += len(messages)
        server.send(*messages)
        until(at_update(ring, update), f"the end of burst {burst}", 5)


@pytest.mark.parametrize(
    ("host", "trusted"), [("localhost", False), ("127.0.0.1", True)], ids=["not trusted", "for another host"]
)
def test_tls_that_cannot_be_trusted_is_refused(
    run: Run, feed: str, make_server: MakeServer, tmp_path: Path, host: str, trusted: bool
) -> None:
    tls = certificate(tmp_path)
    server = make_server(tls=tls)
    more = ["--tls-ca", tls[0]] if trusted else []
    done = run("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses(host), *more)
    assert done.returncode == 3
    assert "certificate verify failed" in done.stderr
    assert not server.requests


def test_an_unusable_authority_file_is_said(
    run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    tls = certificate(tmp_path)
    server = make_server(tls=tls)
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    done = run(
        *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses("localhost")),
        *("--tls-ca", broken),
    )
    assert done.returncode == 2
    assert str(broken) in done.stderr


# the host ---------------------------------------------------------------------------------------------------
def test_ready_is_told_when_subscriptions_are_confirmed_and_the_books_are_there(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.confirm = False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(tmp_path / "notify")
        notify.bind(path)
        notify.settimeout(20)
        process = start(
            *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
            environment={"NOTIFY_SOCKET": path},
        )
        until(lambda: server.received, "a subscription")
        notify.setblocking(False)
        with pytest.raises(BlockingIOError):
            notify.recv(4096)
        notify.settimeout(20)
        server.send({"success": True, "ret_msg": "", "op": "subscribe", "req_id": "1"})
        assert notify.recv(4096) == b"STATUS=subscribed; waiting for the books of 1 symbols"
        server.send(bybit_snapshot(10))
        assert notify.recv(4096) == b"READY=1\nSTATUS=following 1 symbols of bybit-linear"
        process.send_signal(signal.SIGTERM)
        assert notify.recv(4096) == b"STOPPING=1"
    assert process.wait(timeout=10) == 0


def test_the_watchdog_is_fed(start: Start, feed: str, make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(tmp_path / "notify")
        notify.bind(path)
        notify.settimeout(20)
        start(
            *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
            environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"},
        )
        heard = [notify.recv(4096) for _ in range(5)]
    assert heard.count(b"WATCHDOG=1") >= 3


@pytest.mark.parametrize("wait", ["nap", "spin"])
def test_pinned_locked_and_without_page_faults(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, wait: str
) -> None:
    cpu = max(os.sched_getaffinity(0))
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "sets": {"feed": [cpu]}}))
    server = make_server()
    process, ring = live(start, feed, server, "--cpu", "plan", "--plan", plan, "--wait", wait)
    assert os.sched_getaffinity(process.pid) == {cpu}
    until(lambda: ring.statistics()["cpu"] == cpu + 1, "the CPU in the statistics")
    steady = time.monotonic() + 3
    u = 10
    while time.monotonic() < steady:  # the first two seconds after READY do not count
        u += 1
        server.send(bybit(u, b=[["99.8", str(u)]]))
    before = ring.statistics()["depth_applied"]
    for _ in range(500):
        u += 1
        server.send(bybit(u, b=[["99.8", str(u)]]))
    until(lambda: ring.statistics()["depth_applied"] >= before + 500, "all deltas")
    statistics = ring.statistics()
    if statistics["locked_kib"] == 0:
        says(tmp_path, "memory is not locked")
        pytest.skip("this process may not lock memory: faults are not excluded")
    status = Path(f"/proc/{process.pid}/status").read_text()
    locked = next(line for line in status.splitlines() if line.startswith("VmLck:"))
    assert int(locked.split()[1]) > 0
    assert (statistics["page_faults_minor"], statistics["page_faults_major"]) == (0, 0)


def test_memory_that_may_not_be_locked_is_a_warning(
    feed_handler: Path, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """As another user with a limit: ENOMEM; with a limit of none at all: EPERM."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become an ordinary user")
    server = make_server()
    server.on_subscribe = lambda topics: [bybit_snapshot(10)]
    place = Path(f"/dev/shm/quietcore.{feed}.lock")
    for limit, expected in ((65_536, "raise LimitMEMLOCK="), (0, "CAP_IPC_LOCK")):

        def become_nobody(kib: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (kib, kib))
            os.setgid(65_534)
            os.setuid(65_534)

        log = tmp_path / f"log-{limit}"
        with log.open("w") as file:
            process = subprocess.Popen(
                [feed_handler, "run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()],
                stderr=file,
                preexec_fn=become_nobody,
            )
        try:
            until(lambda log=log: "ready" in log.read_text(), "ready all the same")  # type: ignore[misc]
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0
        warning = next(line for line in log.read_text().splitlines() if "memory is not locked" in line)
        if "0 kB after mlockall" in warning:
            pytest.skip("mlockall does nothing here, as in a build with a sanitizer")
        assert expected in warning
        Path(f"/dev/shm/quietcore.{feed}").unlink()
        place.unlink()


def test_a_cpu_that_is_not_there_is_a_warning(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    _, ring = live(start, feed, server, "--cpu", "1023")
    says(tmp_path, "not pinned: CPU 1023")
    assert ring.statistics()["cpu"] == 0


def test_symbols_are_chosen_and_limited(start: Start, run: Run, feed: str, make_server: MakeServer) -> None:
    server = make_server("AUSDT", "BUSDT", "CUSDT")
    done = run(
        *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
        *("--symbols-list", "AUSDT,XUSDT"),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "XUSDT" in done.stderr
    follow(start, feed, "bybit-linear", server, "--symbols", "2", "--streams", "book", "--depth", "200")
    until(lambda: server.received, "a subscription")
    assert json.loads(server.received[0])["args"] == ["orderbook.200.AUSDT", "orderbook.200.BUSDT"]
    assert RingFile(feed).number("symbol_count") == 2


def test_a_restart_continues_the_ring(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    process, ring = live(start, feed, server)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    published = ring.number("published")
    server.received.clear()
    follow(start, feed, "bybit-linear", server)
    until(lambda: ring.number("epoch") == 2, "the next producer in the same segment")
    assert ring.state() == STALE
    assert ring.number("published") == published + 1
    until(lambda: server.received, "a subscription")
    server.send(bybit_snapshot(900))
    until(lambda: ring.state() == LIVE, "a live book")
