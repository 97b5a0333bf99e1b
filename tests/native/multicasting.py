"""Feed handlers that publish and receive over multicast."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tests.native.conftest import Start
from tests.native.following import live
from tests.native.messages import bybit_snapshot
from tests.native.packet_relay import Groups, PacketRelay
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer, VenueServer

from quietcore.bridge import layout

MakeRelay = Callable[[Groups, Groups], PacketRelay]
QUICK = ("--cycle", 50, "--heartbeat", 20)


def publish(start: Start, feed: str, groups: Groups, *more: object) -> subprocess.Popen[str]:
    return start("publish", "--feed", feed, *groups.options(), *QUICK, *more)


def receive(
    start: Start, target: str, feed: str, groups: Groups, *more: object
) -> tuple[subprocess.Popen[str], RingFile]:
    process = start(
        "run", "--feed", target, "--venue", "multicast", "--source", feed, *groups.options(), *more
    )
    return process, RingFile(target)


def same(source: RingFile, received: RingFile, symbol: int = 0) -> bool:
    """Both LIVE, with the same book of the same update."""
    if received.state(symbol) != layout.STATE_LIVE or source.state(symbol) != layout.STATE_LIVE:
        return False
    ids = received.book(symbol)["venue_sequence"], source.book(symbol)["update_id"]
    return ids[0] == ids[1] and received.ladder(symbol) == source.ladder(symbol)


def two_books(
    start: Start, feed: str, make_server: MakeServer
) -> tuple[VenueServer, RingFile, subprocess.Popen[str]]:
    server = make_server("BTCUSDT", "ETHUSDT")
    process, ring = live(start, feed, server)
    server.send(bybit_snapshot(5, "ETHUSDT"))
    until(lambda: ring.state(1) == layout.STATE_LIVE, "the other book")
    return server, ring, process
