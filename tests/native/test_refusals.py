"""A venue that declines: its status and words are shown, its pauses kept by all that is asked of the server."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.native.conftest import Run, Start
from tests.native.following import follow, live, output, says, with_config
from tests.native.messages import binance, binance_snapshot, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer, VenueServer

from quietcore.bridge import layout

LIVE = layout.STATE_LIVE
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
QUICK = (
    "[connection]",
    "retry_first = 0.05",
    "retry_limit = 0.2",
    "resync_first = 0.1",
    "resync_limit = 0.2",
)


def refuse(part: str, times: int, *answer: object) -> Callable[[str], web.Response | None]:
    """Answer requests whose target holds `part` with status, text and headers, so many times."""
    left = [times]

    def intercept(target: str) -> web.Response | None:
        if part not in target or left[0] == 0:
            return None
        left[0] -= 1
        status, text, *headers = answer
        return web.Response(status=status, text=text, headers=headers[0] if headers else None)  # type: ignore[arg-type]

    return intercept


def asked(server: VenueServer, part: str) -> list[float]:
    """When something was asked for whose target holds `part`."""
    return [when for when, target in server.asked if part in target]


# the start --------------------------------------------------------------------------------------------------
def test_the_start_keeps_to_the_pause_that_the_venue_dictates(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """Binance answers 418 with Retry-After: nothing is asked before that, and then the feed starts."""
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    server.intercept = refuse("exchangeInfo", 1, 418, '{"code":-1003,"msg":"banned"}', {"Retry-After": "3"})
    follow(start, feed, "binance-usdm", server)
    first, second = asked(server, "exchangeInfo")
    assert 3.0 <= second - first < 6
    says(tmp_path, 'HTTP 418 {"code":-1003,"msg":"banned"}')
    says(tmp_path, "nothing is asked of 127.0.0.1")


def test_too_many_visits_is_no_wrong_address(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.intercept = refuse(
        "instruments-info", 2, 200, '{"retCode":10006,"retMsg":"Too many visits!","result":{}}'
    )
    follow(start, feed, "bybit-linear", server)
    says(tmp_path, "retCode 10006 Too many visits!")
    times = asked(server, "instruments-info")
    assert times[1] - times[0] >= 1
    assert times[2] - times[1] >= 2, "where the venue does not say how long, the pause doubles"


def test_sigterm_ends_a_start_that_waits(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.intercept = refuse("", 99, 429, "slow down", {"Retry-After": "600"})
    process = start("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses())
    says(tmp_path, "HTTP 429 slow down")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("venue", "answer", "parts"),
    [
        ("bybit-linear", (200, '{"retCode":10001,"retMsg":"params error"}'), ["retCode 10001 params error"]),
        (
            "bybit-linear",
            (451, "Service unavailable from a\r\nrestricted \x1b[31mlocation"),
            ["HTTP 451 Service unavailable from a restricted [31mlocation", "country"],
        ),
        ("binance-usdm", (404, "<html><h1>404 Not Found</h1></html>"), ["HTTP 404 404 Not Found"]),
        ("binance-usdm", (400, '{"code":-1121,"msg":"Invalid symbol."}'), ["-1121", "Invalid symbol."]),
        ("bybit-linear", (200, "<html>maintenance</html>"), ["not understood", "maintenance"]),
    ],
)
def test_a_final_refusal_ends_the_start(
    run: Run, feed: str, make_server: MakeServer, venue: str, answer: tuple[object, ...], parts: list[str]
) -> None:
    server = make_server()
    server.intercept = refuse("", 99, *answer)
    done = run("run", "--feed", feed, "--venue", venue, *server.addresses())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    for part in parts:
        assert part in done.stderr
    assert len(server.asked) == 1, "not asked again"


# snapshots --------------------------------------------------------------------------------------------------
def test_one_pause_for_the_snapshots_of_all_symbols(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """20 symbols want snapshots, the first is answered 429 with Retry-After: the others wait as long."""
    symbols = [f"S{n}USDT" for n in range(20)]
    server = make_server(*symbols)
    server.snapshots = {symbol: binance_snapshot(100) for symbol in symbols}
    server.intercept = refuse("/depth", 1, 429, '{"code":-1003}', {"Retry-After": "4"})
    follow(start, feed, "binance-usdm", server, *with_config(tmp_path, *QUICK, "refresh = 1"))
    ring = RingFile(feed)
    until(lambda: ring.statistics()["snapshots"] == 20, "every snapshot", 40)
    times = asked(server, "/depth")
    assert times[1] - times[0] >= 4
    paused = [when for when, _ in server.asked if times[0] < when < times[0] + 4]
    assert paused == [], "neither snapshots nor instruments"
    assert len(times) == 21
    gaps = [b - a for a, b in itertools.pairwise(times[1:])]
    assert sorted(gaps)[len(gaps) // 2] > 0.3, "and no burst after it"


def test_what_is_no_snapshot_is_said_and_asked_for_again(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    server.intercept = refuse("/depth", 1, 200, '{"code":-1121,"msg":"Invalid symbol."}')
    follow(start, feed, "binance-usdm", server, *with_config(tmp_path, *QUICK))
    ring = RingFile(feed)
    says(tmp_path, "no snapshot of BTCUSDT")
    says(tmp_path, "Invalid symbol.")
    until(lambda: ring.statistics()["snapshots"] == 1, "the snapshot")
    server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")


# streams ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "text", "shown"),
    [
        (
            403,
            "<html><title>403</title>\n<p>access too frequent\x07</p></html>",
            "HTTP 403 403 access too frequent",
        ),
        (429, "Too many requests", "HTTP 429 Too many requests"),
        (503, "", "HTTP 503"),
    ],
)
def test_a_refused_handshake_says_why_and_is_tried_after_the_pause(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, status: int, text: str, shown: str
) -> None:
    server = make_server()
    server.intercept = refuse("/v5/public", 1, status, text, {"Retry-After": "2"})
    follow(start, feed, "bybit-linear", server, *with_config(tmp_path, *QUICK))
    until(lambda: server.received, "the second try")
    first, second = asked(server, "/v5/public")
    assert second - first >= 2
    says(tmp_path, f"WebSocket handshake refused: {shown}")


def test_a_handshake_refused_for_good_is_named_so(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.intercept = refuse("/v5/public", 2, 451, "not in your country")
    follow(start, feed, "bybit-linear", server, *with_config(tmp_path, *QUICK))
    says(tmp_path, "HTTP 451 not in your country")
    says(tmp_path, "not one that passes")
    until(lambda: server.received, "a venue that has changed its mind")


def test_a_pause_for_snapshots_holds_streams_of_the_same_server_back(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server, *with_config(tmp_path, *QUICK))
    ring = RingFile(feed)
    server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")
    server.intercept = refuse("/depth", 1, 429, "", {"Retry-After": "3"})
    server.send(binance(200, 210, 199))  # a gap: a snapshot is asked for
    until(lambda: len(asked(server, "/depth")) == 2, "the refused request")
    refused_at = asked(server, "/depth")[-1]
    until(lambda: "HTTP 429" in output(tmp_path), "the refusal")
    server.hang_up()
    until(lambda: len(asked(server, "/stream")) == 2, "the stream again")
    assert asked(server, "/stream")[-1] - refused_at >= 3


def test_the_words_of_a_stream_error_are_shown(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-usdm", server)
    RingFile(feed)
    server.send({"error": {"code": 2, "msg": "Invalid request: unknown variant \x1b[1m"}, "id": 7})
    says(tmp_path, "request refused by the venue")
    says(tmp_path, "code 2 Invalid request: unknown variant [1m")


# readiness --------------------------------------------------------------------------------------------------
def test_never_ready_without_a_book(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    """Subscriptions confirmed and no book: not ready, and said so; with one book, ready and the other one named."""
    server = make_server("BTCUSDT", "ETHUSDT")
    control = tmp_path / "control"
    follow(start, feed, "bybit-linear", server, "--control", control)
    says(tmp_path, "not ready")
    text = output(tmp_path)
    assert "no book of BTCUSDT, ETHUSDT" in text
    assert "ready:" not in text.replace("not ready:", "")
    status = json.loads(run("control", "--socket", control, "--json", "status").stdout)
    assert (status["ready"], status["without_book"]) == (False, ["BTCUSDT", "ETHUSDT"])
    server.send(bybit_snapshot(10))
    says(tmp_path, "ready: 2 symbols of bybit-linear, without a book yet: ETHUSDT")
    server.send(bybit_snapshot(10, "ETHUSDT"))
    says(tmp_path, "every book has come")
    status = json.loads(run("control", "--socket", control, "--json", "status").stdout)
    assert (status["ready"], status["without_book"]) == (True, [])


def test_a_depth_that_is_not_offered_is_refused_before_anything_starts(
    run: Run, feed: str, make_server: MakeServer
) -> None:
    server = make_server()
    done = run("run", "--feed", feed, "--venue", "bybit-linear", "--depth", "500", *server.addresses())
    assert done.returncode == 2
    assert "1, 50, 200, 1000" in done.stderr
    assert "--retired-depths" in done.stderr
    assert server.asked == []
    assert not Path(f"/dev/shm/quietcore.{feed}").exists()


def test_a_retired_depth_for_a_simulator(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    follow(start, feed, "bybit-linear", server, "--depth", "500", "--retired-depths")
    until(lambda: server.received, "a subscription")
    assert "orderbook.500.BTCUSDT" in server.received[0]


# the end ----------------------------------------------------------------------------------------------------
def test_the_end_says_that_the_ring_stays(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path, run: Run
) -> None:
    process, ring = live(start, feed, make_server())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    says(tmp_path, f"rm /dev/shm/quietcore.{feed}")
    assert ring.path.exists()
    assert "stays in /dev/shm" in run("replay", "--help").stdout
    assert "stays in /dev/shm" in run("run", "--help").stdout


def test_sigterm_is_obeyed_while_a_server_keeps_everything_waiting(
    start: Start, feed: str, make_server: MakeServer
) -> None:
    """Snapshots and instruments are asked for, and never answered: the end does not wait for them."""
    server = make_server()

    def mute(target: str) -> web.Response | None:
        if "/depth" in target:
            time.sleep(8)
        return None

    server.intercept = mute
    process = start("run", "--feed", feed, "--venue", "binance-usdm", *server.addresses())
    until(lambda: asked(server, "/depth"), "a request that is not answered")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 2
