"""Feeds over UDP multicast on the loopback interface: publish, receive, record."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import at_update, live, output, says
from tests.native.messages import bybit, bybit_trade
from tests.native.multicasting import MakeRelay, publish, receive, same, two_books
from tests.native.packet_relay import Groups, as_they_are, is_heartbeat, nothing, sender
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

LIVE, STALE, RESYNC = layout.STATE_LIVE, layout.STATE_STALE, layout.STATE_RESYNC
Ladders = dict[int, tuple[dict[int, int], dict[int, int]]]
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_feed_arrives_as_it_is(start: Start, feed: str, target: str, make_server: MakeServer) -> None:
    server, ring, _ = two_books(start, feed, make_server)
    groups = Groups()
    publisher = publish(start, feed, groups, "--json")
    process, received = receive(start, target, feed, groups)
    until(lambda: same(ring, received) and same(ring, received, 1), "both books")
    server.send(bybit(11, b=[["100.0", "0"], ["99.8", "4"]]), bybit_trade("1"))
    server.send(
        {
            "topic": "tickers.BTCUSDT",
            "type": "snapshot",
            "ts": 1,
            "data": {
                "symbol": "BTCUSDT",
                "bid1Price": "99.9",
                "bid1Size": "2",
                "ask1Price": "100.1",
                "ask1Size": "3",
            },
        }
    )
    until(lambda: received.book()["venue_sequence"] == 11, "the delta")
    assert received.ladder() == ring.ladder() == ([[999, 2000], [998, 4000]], [[1001, 3000]])
    until(lambda: received.statistics()["trades"] == 1, "the trade")
    ticks = received.ticks()
    trade = ticks[ticks["kind"] == layout.KIND_TRADE][0]
    assert (int(trade["a"]), int(trade["b"])) == (1001, 1)
    books = ticks[ticks["kind"] == layout.KIND_BOOK]
    assert set(map(int, books["time_source"])) == {layout.TIME_SOURCE_KERNEL}
    statistics = received.statistics()
    assert {name: statistics[name] for name in ("packets_lost", "kernel_drops", "gaps", "malformed")} == {
        "packets_lost": 0,
        "kernel_drops": 0,
        "gaps": 0,
        "malformed": 0,
    }
    for one in (process, publisher):
        one.send_signal(signal.SIGTERM)
        assert one.wait(timeout=10) == 0
    assert received.state() == STALE


def test_what_is_lost_is_counted_and_made_good(
    start: Start, feed: str, target: str, make_server: MakeServer, make_relay: MakeRelay
) -> None:
    server, ring, _ = two_books(start, feed, make_server)
    groups, beyond = Groups(), Groups()
    relay = make_relay(groups, beyond)
    publish(start, feed, groups)
    _, received = receive(start, target, feed, beyond)
    until(lambda: same(ring, received) and same(ring, received, 1), "both books")
    # No snapshots: what is lost stays lost, and no book may be trusted.
    relay.snapshot_fault = nothing
    relay.fault = lambda packet: (packet,) if is_heartbeat(packet) else ()
    server.send(bybit(11, b=[["100.0", "5"]]))
    until(lambda: received.state() != LIVE, "doubt")
    until(lambda: received.state(1) == STALE, "doubt of the other book, which may have been meant")
    until(lambda: received.statistics()["packets_lost"] >= 1, "the loss, counted")
    assert received.ladder() != ring.ladder()
    relay.fault = as_they_are
    server.send(bybit(6, symbol="ETHUSDT", b=[["99.9", "7"]]))
    until(lambda: same(ring, received, 1), "its next update shows that none was missed")
    assert received.state() == STALE
    server.send(bybit(12, b=[["99.9", "9"]]))
    until(lambda: received.statistics()["gaps"] == 1, "a gap in the numbers")
    until(lambda: received.state() == RESYNC, "the book is wrong")
    relay.snapshot_fault = as_they_are
    until(lambda: same(ring, received), "a snapshot")
    lost = received.statistics()["packets_lost"]
    server.send(bybit(13, b=[["99.9", "1"]]))
    until(lambda: same(ring, received), "and on")
    assert received.statistics()["packets_lost"] == lost


def test_an_outdated_snapshot_confirms_nothing(
    start: Start, feed: str, target: str, make_server: MakeServer, make_relay: MakeRelay
) -> None:
    server, ring, _ = two_books(start, feed, make_server)
    groups, beyond = Groups(), Groups()
    relay = make_relay(groups, beyond)
    publish(start, feed, groups)
    _, received = receive(start, target, feed, beyond)
    until(lambda: same(ring, received) and same(ring, received, 1), "both books")
    kept: list[bytes] = []

    def keep(packet: bytes) -> Iterable[bytes]:
        if len(kept) < 20:
            kept.append(packet)
        return ()

    relay.snapshot_fault = keep
    until(lambda: len(kept) == 20, "snapshots of before the loss")
    relay.fault = lambda packet: (packet,) if is_heartbeat(packet) else ()
    server.send(bybit(11, b=[["100.0", "5"]]))
    until(lambda: received.state() != LIVE, "doubt")
    relay.snapshot_fault = lambda _packet: kept
    before = relay.taken
    until(lambda: relay.taken > before + 10, "old snapshots on their way")
    time.sleep(0.1)
    assert received.state() != LIVE
    assert received.state(1) != LIVE
    relay.snapshot_fault = as_they_are
    until(lambda: same(ring, received) and same(ring, received, 1), "snapshots of now")


def test_snapshots_alone_make_no_book_live(
    start: Start, feed: str, target: str, make_server: MakeServer, make_relay: MakeRelay
) -> None:
    _server, ring, _ = two_books(start, feed, make_server)
    groups, beyond = Groups(), Groups()
    relay = make_relay(groups, beyond)
    publish(start, feed, groups)
    _, received = receive(start, target, feed, beyond)
    until(lambda: same(ring, received), "the book")
    relay.fault = nothing
    until(lambda: received.state() == STALE and received.state(1) == STALE, "silence on the stream")
    before = relay.taken
    until(lambda: relay.taken > before + 40, "snapshots of both books")
    assert received.state() == received.state(1) == STALE
    relay.fault = as_they_are
    until(lambda: same(ring, received) and same(ring, received, 1), "both again")


def test_restarts_of_publisher_and_source(
    start: Start, feed: str, target: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server, ring, source = two_books(start, feed, make_server)
    groups = Groups()
    publisher = publish(start, feed, groups)
    _, received = receive(start, target, feed, groups)
    until(lambda: same(ring, received), "the book")
    publisher.send_signal(signal.SIGKILL)
    publisher.wait(timeout=10)
    until(lambda: received.state() == STALE, "silence")
    says(tmp_path, "no packet of")
    server.send(bybit(11, b=[["100.0", "5"]]))
    publish(start, feed, groups)
    until(lambda: same(ring, received) and same(ring, received, 1), "a new epoch")
    until(lambda: received.statistics()["reconnects"] == 1, "a new start, counted")
    # The source dies: packets go on coming, and say so.
    source.send_signal(signal.SIGKILL)
    source.wait(timeout=10)
    until(lambda: received.state() == RESYNC, "the source's death")
    until(lambda: "says that its feed does not run" in output(tmp_path), "why")
    server.hang_up()
    _, ring = live(start, feed, server)
    until(lambda: same(ring, received), "the next producer of the ring")


def every_ladder(ring: RingFile) -> Ladders:
    """The ladder after each LIVE message, from the ticks alone, by the venue's update id."""
    depth = ring.number("ladder_depth")
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    out: Ladders = {}
    for tick in ring.ticks():
        if tick["kind"] == layout.KIND_LEVEL:
            ask = bool(tick["flags"] & layout.FLAG_SELL)
            side = sides[ask]
            side[int(tick["a"])] = int(tick["b"])
            if not tick["b"]:
                del side[int(tick["a"])]
            while len(side) > depth:
                del side[max(side) if ask else min(side)]
        elif tick["kind"] == layout.KIND_BOOK and tick["d"] == LIVE:
            out[int(tick["b"])] = (dict(sides[0]), dict(sides[1]))
    return out


def live_books(ring: RingFile) -> int:
    """How many LIVE messages the ring has."""
    ticks = ring.ticks()
    return int(((ticks["kind"] == layout.KIND_BOOK) & (ticks["d"] == LIVE)).sum())


def random_fault(dice: random.Random, seen: dict[str, int]) -> Callable[[bytes], Iterable[bytes]]:
    """Loses, doubles, delays, cuts, and adds what is of others."""
    delayed: list[bytes] = []

    def fault(packet: bytes) -> Iterable[bytes]:
        out = [packet]
        kind = dice.choices(
            ["none", "lost", "twice", "delayed", "cut", "foreign", "replaced"], [80, 4, 4, 6, 2, 2, 2]
        )[0]
        seen[kind] = seen.get(kind, 0) + 1
        if kind == "lost":
            out = []
        elif kind == "twice":
            out = [packet, packet]
        elif kind == "delayed":
            delayed.append(packet)
            out = []
        elif kind == "cut":
            out = [packet[: dice.randrange(len(packet))]]
        elif kind == "foreign":
            out = [packet, packet[:12] + b"\x01\x02\x03\x04" + packet[16:]]
        elif kind == "replaced":
            out = [packet, dice.randbytes(dice.randrange(1, 200))]
        if delayed and dice.random() < 0.5:
            out.append(delayed.pop(0))
        return out

    return fault


def test_a_recording_through_a_bad_network(
    start: Start,
    run: Run,
    feed: str,
    target: str,
    make_server: MakeServer,
    make_relay: MakeRelay,
    tmp_path: Path,
) -> None:
    """Every LIVE book that is received is one that was published, to the level."""
    dice = random.Random(4)
    server = make_server("BTCUSDT")
    _, ring = live(start, feed, server, "--capacity", 1 << 17)
    groups, beyond = Groups(), Groups()
    relay = make_relay(groups, beyond)
    publish(start, feed, groups)
    (tmp_path / "recordings").mkdir()
    config = tmp_path / f"{target}.toml"
    config.write_text(
        f'venue = "multicast"\n[multicast]\nfeed = "{feed}"\npatience = 0.005\n'
        f'[ring]\ncapacity = {1 << 17}\n[recorder]\nfolder = "{tmp_path}/recordings"\n'
    )
    process = start("run", "--config", config, *beyond.options())
    received = RingFile(target)
    until(lambda: same(ring, received), "the book")
    seen: dict[str, int] = {}
    relay.fault = relay.snapshot_fault = random_fault(dice, seen)
    update = 10
    # How much is received depends on how fast snapshots come among the losses: on until it is enough.
    while update < 3_010 or live_books(received) <= 500:
        assert update < 12_000, f"of {update} messages {live_books(received)} were received as LIVE"
        messages = []
        for _ in range(20):
            update += 1
            bids = [[f"{dice.randrange(900, 1000) / 10}", str(dice.randrange(0, 4))] for _ in range(3)]
            asks = [[f"{dice.randrange(1001, 1100) / 10}", str(dice.randrange(0, 4))] for _ in range(3)]
            messages.append(bybit(update, b=bids, a=asks))
        server.send(*messages)
        until(at_update(ring, update), "the messages in the source's ring")
    relay.fault = relay.snapshot_fault = as_they_are
    until(lambda: same(ring, received), "the received book")
    # A replay goes by the times at which packets came, the receiver by those at which it took them: for both
    # to have given up what was lost, and got a snapshot, more must come than made the receiver content.
    before = relay.taken
    until(lambda: relay.taken > before + 40 and same(ring, received), "snapshots of the last book")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    published, got = every_ladder(ring), every_ladder(received)
    assert len(published) > 2_900
    assert len(got) > 500
    assert all(published[key] == ladder for key, ladder in got.items())
    statistics = received.statistics()
    assert statistics["packets_lost"] > 3
    assert statistics["malformed"] > 3
    assert statistics["kernel_drops"] == 0
    assert set(seen) == {"none", "lost", "twice", "delayed", "cut", "foreign", "replaced"}
    # What was recorded shows the same: packets are missing, and every LIVE book is one that was published.
    (capture,) = (tmp_path / "recordings").glob("*.pcap.zst")
    assert statistics["recorded"] >= statistics["messages"]
    judged = run("verify", "--venue", "multicast", capture)
    assert judged.returncode == 1
    verified = json.loads(judged.stdout)
    assert verified["gaps"] + verified["malformed"] > 0
    assert verified["crossed"] == 0
    assert verified["absent_deletes"] == 0
    replayed = run("replay", "--feed", target, "--venue", "multicast", "--speed", "max", capture)
    assert replayed.returncode == 0
    assert RingFile(target).ladder() == ring.ladder()


def test_a_clean_recording_verifies(
    start: Start, run: Run, feed: str, target: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server, ring, _ = two_books(start, feed, make_server)
    groups = Groups()
    publish(start, feed, groups)
    config = tmp_path / f"{target}.toml"
    config.write_text(
        f'venue = "multicast"\n[multicast]\nfeed = "{feed}"\n[recorder]\nfolder = "{tmp_path}"\n'
    )
    process = start("run", "--config", config, *groups.options())
    received = RingFile(target)
    until(lambda: same(ring, received), "the book")
    for update in range(11, 60):
        server.send(bybit(update, b=[["99.5", str(update)]]))
    until(lambda: received.book()["venue_sequence"] == 59, "all of them")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    (capture,) = tmp_path.glob("*.pcap.zst")
    judged = run("verify", "--venue", "multicast", capture)
    assert judged.returncode == 0, judged.stdout
    verified = json.loads(judged.stdout)
    # A snapshot that is read before updates that wait in the other socket holds them already.
    assert verified["depth_applied"] >= 1
    assert verified["messages"] >= 2
    assert verified["symbols"]["BTCUSDT"]["bids"] == ring.ladder()[0]
    assert verified["symbols"]["BTCUSDT"]["tick_exponent"] == 1


def test_only_the_symbols_asked_for(start: Start, feed: str, target: str, make_server: MakeServer) -> None:
    _server, ring, _ = two_books(start, feed, make_server)
    groups = Groups()
    publish(start, feed, groups)
    _, received = receive(start, target, feed, groups, "--symbols-list", "ETHUSDT")
    until(lambda: received.state() == LIVE, "the book")
    assert received.number("symbol_count") == 1
    assert received.ladder() == ring.ladder(1)
    assert received.statistics()["unknown_symbol"] == 0


# what cannot be done ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["publish"], ["--feed"]),
        (["publish", "--feed", "nobody-has-this"], ["no ring", "nobody-has-this"]),
        (
            ["publish", "--feed", "x", "--multicast", "10.0.0.1:9001"],
            ["not usable", "10.0.0.1:9001", "GROUP:PORT"],
        ),
        (
            ["publish", "--feed", "x", "--multicast", "239.1.1.1:1", "--snapshots", "239.1.1.1:1"],
            ["one group for both", "two"],
        ),
        (["monitor", "--multicast", "239.1.1.1:0"], ["not usable", "239.1.1.1:0"]),
        (["monitor", "--interface", "nowhere0"], ["no such interface", "nowhere0"]),
        (["run", "--feed", "x", "--venue", "multicast"], ["setting missing", "multicast.feed", "--source"]),
    ],
)
def test_wrong_use_is_told(run: Run, arguments: list[str], parts: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_port_held_without_sharing(run: Run) -> None:
    groups = Groups()
    with sender() as hog:
        hog.bind(groups.stream)
        done = run("monitor", *groups.options(), "--seconds", 1)
        assert done.returncode == 2
        assert "the port cannot be had" in done.stderr
