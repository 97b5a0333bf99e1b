"""What the recorder leaves behind, and that it can be played again."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import follow, live, output, says, with_config
from tests.native.messages import binance, binance_snapshot, bybit
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

LIVE = layout.STATE_LIVE
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def recordings(folder: Path, leg: str = "a") -> list[Path]:
    return sorted(folder.glob(f"*-{leg}-*.jsonl.zst"))


def test_what_was_recorded_gives_the_same_book(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    server = make_server()
    process, ring = live(start, feed, server, *with_config(tmp_path, "[recorder]", f'folder = "{folder}"'))
    for u in range(11, 211):
        server.send(bybit(u, b=[["99.9", f"{u}"]], a=[["100.2", f"{u}"]]))
    until(lambda: ring.book()["update_id"] == 210, "all of them")
    ladder = ring.ladder()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    until(lambda: ring.statistics()["recorded"] >= 202, "counted")
    assert ring.statistics()["record_dropped"] == 0
    (path,) = recordings(folder)
    assert oct(path.stat().st_mode & 0o7777) in ("0o640", "0o600")
    verified = run("verify", "--venue", "bybit-linear", path)
    judged = json.loads(verified.stdout)
    assert (verified.returncode, judged["problems"]) == (0, [])
    assert (judged["depth_applied"], judged["snapshots"], judged["truncated"]) == (200, 1, False)
    symbol = judged["symbols"]["BTCUSDT"]
    scale = 10 ** (3 - symbol["lot_exponent"])  # a recording knows only the decimals that it has seen
    assert [[price, size * scale] for price, size in symbol["bids"]] == ladder[0]
    replayed = run("replay", "--feed", feed, "--venue", "bybit-linear", "--speed", "max", "--loop", "2", path)
    assert replayed.returncode == 0, replayed.stderr


def test_the_snapshot_over_rest_is_recorded_too(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    config = with_config(tmp_path, "[recorder]", f'folder = "{tmp_path}"')
    process = follow(start, feed, "binance-usdm", server, *config)
    ring = RingFile(feed)
    until(lambda: ring.statistics()["snapshots"] == 1, "the snapshot")
    server.send(binance(100, 110, 99), binance(111, 112, 110))
    until(lambda: ring.state() == LIVE and ring.book()["update_id"] == 112, "a live book")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    verified = run("verify", "--venue", "binance-usdm", *recordings(tmp_path))
    assert json.loads(verified.stdout)["problems"] == []


def test_a_crash_loses_less_than_a_second(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    config = with_config(tmp_path, "[recorder]", f'folder = "{tmp_path}"')
    process, ring = live(start, feed, server, *config)
    u = 10
    sent: list[tuple[float, int]] = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        u += 1
        server.send(bybit(u, b=[["99.9", f"{u}"]]))
        sent.append((time.monotonic(), u))
    until(lambda: ring.book()["update_id"] == u, "all of them")
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    (path,) = recordings(tmp_path)
    judged = json.loads(run("verify", "--venue", "bybit-linear", path).stdout)
    assert judged["gaps"] == 0
    assert judged["malformed"] == 0
    last = 10 + judged["depth_applied"]
    oldest_lost = next((at for at, number in sent if number > last), killed)
    assert killed - oldest_lost < 1.0, f"{killed - oldest_lost:.2f} s lost"
    assert last > 10


def test_a_folder_that_cannot_be_written_is_refused(
    run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    config = with_config(tmp_path, "[recorder]", 'folder = "/nowhere/at/all"')
    done = run("run", *config, "--feed", feed, "--venue", "bybit-linear", *server.addresses())
    assert done.returncode == 2
    *before, refusal = done.stderr.splitlines()
    assert "recording cannot be made: /nowhere/at/all" in refusal
    assert all(" ring: " in line for line in before)


def test_sockets_get_what_is_asked_for_or_say_so(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    live(start, feed, server, *with_config(tmp_path, "[socket]", "receive_buffer = 65536"))
    says(tmp_path, "receive buffer 131072 bytes, no busy polling")
    assert "not granted" not in output(tmp_path)


def test_a_receive_buffer_beyond_the_limit_is_said(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    if 2 * limit >= 1 << 30:
        pytest.skip("net.core.rmem_max is beyond what can be asked for")
    server = make_server()
    live(start, feed, server, *with_config(tmp_path, "[socket]", f"receive_buffer = {1 << 30}"))
    says(tmp_path, "not granted by the kernel")
    says(tmp_path, "net.core.rmem_max")
