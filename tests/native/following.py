"""Feed handlers that follow a `VenueServer`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.native.conftest import Start
from tests.native.messages import bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import VenueServer

from quietcore.bridge import layout


def output(tmp_path: Path) -> str:
    """What the feed handlers of this test have said."""
    return (tmp_path / "output").read_text()


def says(tmp_path: Path, text: str) -> None:
    """Wait until a feed handler of this test has said something; it writes a millisecond later than it happens."""
    until(lambda: text in output(tmp_path), f'"{text}" in the output')


def follow(start: Start, feed: str, venue: str, server: VenueServer, *more: object) -> subprocess.Popen[str]:
    """Start a feed handler and wait until its subscriptions are confirmed."""
    process = start("run", "--feed", feed, "--venue", venue, *server.addresses(), *more)
    until(lambda: server.clients > 0 or process.poll() is not None, "a stream")
    assert process.poll() is None, "the feed handler ended"
    return process


def live(
    start: Start, feed: str, server: VenueServer, *more: object
) -> tuple[subprocess.Popen[str], RingFile]:
    """Follow a Bybit server until the book is live."""
    process = follow(start, feed, "bybit-linear", server, *more)
    until(lambda: server.received, "a subscription")
    ring = RingFile(feed)
    server.send(bybit_snapshot(10))
    until(lambda: ring.state() == layout.STATE_LIVE, "a live book")
    return process, ring


def at_update(ring: RingFile, update: int) -> Callable[[], bool]:
    """Return a condition: the book has come to this update."""
    return lambda: ring.book()["update_id"] == update


def with_config(tmp_path: Path, *lines: str) -> list[object]:
    """Options that name a configuration file of these lines; it must leave the addresses to options."""
    path = tmp_path / "feed.toml"
    path.write_text("\n".join(lines) + "\n")
    return ["--config", path]
