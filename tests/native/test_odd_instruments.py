"""What a venue lists besides the followed symbols may be anything; names may be of any script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.native.conftest import Run, Start
from tests.native.following import follow, live, output, says
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

LIVE = layout.STATE_LIVE
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CHINESE = "币安人生USDT"
BYBIT_ODD: list[dict[str, Any]] = [
    {"priceFilter": {"tickSize": ""}},
    {"priceFilter": {"tickSize": "1e-7"}},
    {"priceFilter": {"tickSize": "0.00000000"}},
    {"priceFilter": {}},
    {"priceFilter": None},
    {"lotSizeFilter": "none"},
    {"symbol": None},
    {"symbol": "A" * 40},
]
BINANCE_ODD: list[dict[str, Any]] = [
    {"filters": []},
    {"filters": None},
    {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.00000000"}, {"filterType": "LOT_SIZE"}]},
    {"filters": [{}]},
    {"symbol": 7},
]


@pytest.mark.parametrize(
    ("venue", "odd"), [("bybit-linear", BYBIT_ODD), ("binance-usdm", BINANCE_ODD)], ids=["bybit", "binance"]
)
def test_an_odd_instrument_spoils_no_other(
    start: Start,
    run: Run,
    feed: str,
    make_server: MakeServer,
    tmp_path: Path,
    venue: str,
    odd: list[dict[str, Any]],
) -> None:
    names = [f"ODD{n}" for n in range(len(odd))]
    server = make_server(*names, "BTCUSDT")
    server.steps = dict(zip(names, odd, strict=True))
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    for name in names:
        if server.steps[name].get("symbol", name) != name:
            continue
        done = run(
            "run", "--feed", feed, "--venue", venue, *server.addresses(), "--symbols-list", f"BTCUSDT,{name}"
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"found {name}: " in done.stderr, "refused by name"
    follow(start, feed, venue, server)
    ring = RingFile(feed)
    assert ring.number("symbol_count") == 1
    says(tmp_path, f"{len(odd)} instruments are listed that cannot be followed")
    if venue == "bybit-linear":
        until(lambda: server.received, "a subscription")
        server.send(bybit_snapshot(10))
    else:
        server.send(binance(100, 110, 99))
    until(lambda: ring.state() == LIVE, "a live book")


def test_a_symbol_that_does_not_trade_is_refused_with_its_status(
    run: Run, feed: str, make_server: MakeServer
) -> None:
    server = make_server("BTCUSDT", "NEWUSDT")
    server.steps["NEWUSDT"] = {"status": "PreLaunch"}
    done = run(
        *("run", "--feed", feed, "--venue", "bybit-linear", *server.addresses()),
        *("--symbols-list", "BTCUSDT,NEWUSDT"),
    )
    assert done.returncode == 2
    assert "NEWUSDT: its status is PreLaunch" in done.stderr


def test_a_name_that_is_not_ascii_is_encoded_in_requests_and_readable_elsewhere(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("BTCUSDT", CHINESE)
    server.snapshots = {name: binance_snapshot(100) for name in server.symbols}
    control = tmp_path / "control"
    follow(start, feed, "binance-usdm", server, "--control", control)
    (target,) = [target for _, target in server.asked if target.startswith("/stream")]
    assert target.isascii()
    assert "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@depth@0ms" in target
    assert unquote(target).endswith("/币安人生usdt@depth@0ms/币安人生usdt@bookTicker/币安人生usdt@trade")
    until(lambda: any("/depth" in t and "%E5%B8%81" in t for _, t in server.asked), "its snapshot")
    ring = RingFile(feed)
    delta = binance(100, 110, 99)
    delta["data"]["s"] = CHINESE
    server.send(delta, {**delta, "stream": "币安人生usdt@depth@0ms"})
    until(lambda: ring.state(1) == LIVE, "its book")
    directory = bytes(ring.bytes[ring.number("directory_offset") :][:128])
    assert directory[64:96].rstrip(b"\0").decode() == CHINESE
    server.send(
        {"stream": "不明usdt@trade", "data": {"e": "trade", "s": "不" * 12, "p": "1", "q": "1", "m": True}}
    )
    says(tmp_path, "unknown symbol")
    assert "不" * 9 + "…" in output(tmp_path), "cut between two characters"
    status = json.loads(run("control", "--socket", control, "--json", "status").stdout)
    assert status["without_book"] == ["BTCUSDT"] or status["without_book"] == []


def test_a_bybit_topic_with_a_name_that_is_not_ascii(
    start: Start, feed: str, make_server: MakeServer
) -> None:
    server = make_server(CHINESE)
    follow(start, feed, "bybit-linear", server)
    until(lambda: server.received, "a subscription")
    assert json.loads(server.received[0])["args"][0] == f"orderbook.50.{CHINESE}"
    ring = RingFile(feed)
    server.send(bybit_snapshot(10, CHINESE))
    until(lambda: ring.state() == LIVE, "its book")


def test_what_nobody_asked_for_is_ignored_and_counted(
    start: Start, run: Run, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    control = tmp_path / "control"
    process, ring = live(start, feed, server, "--control", control)
    rpi = bybit(11, b=[["99.9", "1", "5"]])
    rpi["topic"] = "orderbook.rpi.BTCUSDT"
    block = {"T": 1, "s": "BTCUSDT", "S": "Buy", "v": "5", "p": "90.0", "i": "1", "BT": True}
    trades = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1, "data": [block]}
    server.send(rpi, {"topic": "price_limit.BTCUSDT", "data": [1, [2]]}, trades, bybit(11, b=[["99.9", "7"]]))
    until(lambda: ring.book()["update_id"] == 11, "the delta after them")
    status = json.loads(run("control", "--socket", control, "--json", "status").stdout)["statistics"]
    assert (status["malformed"], status["trades_left_out"]) == (0, 1)
    assert status["ignored"] >= 3, "the two, and the answer to the subscription"
    assert ring.statistics()["trades"] == 0
    assert process.poll() is None
