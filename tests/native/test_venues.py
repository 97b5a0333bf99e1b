"""What the venues' products differ in, many symbols, topics refused, symbols that go and come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.native.conftest import Start
from tests.native.following import follow, live, output, says, with_config
from tests.native.messages import binance, binance_snapshot, bybit, bybit_snapshot
from tests.native.ring_file import RingFile, until
from tests.native.venue_server import MakeServer

from quietcore.bridge import layout

LIVE, STALE, RESYNC = layout.STATE_LIVE, layout.STATE_STALE, layout.STATE_RESYNC
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("product", ["spot", "inverse"])
def test_bybit_products(start: Start, feed: str, make_server: MakeServer, product: str) -> None:
    server = make_server(*[f"S{n}USD" for n in range(8)])
    follow(start, feed, f"bybit-{product}", server)
    until(lambda: len(server.received) == (3 if product == "spot" else 1), "every batch")
    batches = [json.loads(text)["args"] for text in server.received]
    assert [len(batch) for batch in batches] == ([10, 10, 4] if product == "spot" else [24])
    assert server.targets == [f"/v5/public/{product}"]
    assert f"category={product}" in server.requests[0]
    ring = RingFile(feed)
    server.send(bybit_snapshot(10, "S3USD"))
    until(lambda: ring.state(3) == LIVE, "a live book")
    assert ring.ladder(3) == ([[1000, 1000], [999, 2000]], [[1001, 3000]])


def test_binance_spot(start: Start, feed: str, make_server: MakeServer) -> None:
    server = make_server()
    server.snapshots["BTCUSDT"] = binance_snapshot(100)
    follow(start, feed, "binance-spot", server)
    assert server.targets == ["/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"]
    until(lambda: "/api/v3/depth?symbol=BTCUSDT&limit=1000" in server.requests, "a snapshot")
    ring = RingFile(feed)

    def delta(first: int, last: int, **sides: list[list[str]]) -> dict[str, object]:
        return binance(first, last, None, "depth@100ms", **sides)

    server.send(delta(90, 100), delta(99, 105, b=[["99.9", "5"]]), delta(106, 106))
    until(lambda: ring.state() == LIVE and ring.book()["update_id"] == 106, "a live book")
    assert ring.ladder() == ([[1000, 1000], [999, 5000]], [[1001, 3000]])
    quote = {"u": 107, "s": "BTCUSDT", "b": "99.9", "B": "2", "a": "100.1", "A": "3"}
    server.send({"stream": "btcusdt@bookTicker", "data": quote})
    until(lambda: ring.statistics()["tickers"] == 1, "the quote, which does not say what it is")
    server.snapshots["BTCUSDT"] = binance_snapshot(120)
    server.send(delta(108, 109))
    until(lambda: ring.statistics()["gaps"] == 1, "107 is missing")
    server.send(delta(120, 125))
    until(lambda: ring.state() == LIVE, "live again")
    assert ring.statistics()["malformed"] == 0


def stays_small(pid: int) -> bool:
    """Whether a process holds less than 512 MiB; ThreadSanitizer keeps four more bytes for each."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    share = 5 if "/libtsan.so" in Path(f"/proc/{pid}/maps").read_text() else 1
    return resident_kib < share * 512 * 1024


def test_2048_symbols_in_one_process(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    symbols = [f"SYMBOL{n}USDT" for n in range(2048)]
    server = make_server(*symbols)
    server.on_subscribe = lambda topics: [
        bybit_snapshot(1000, topic.split(".")[2]) for topic in topics if topic.startswith("orderbook")
    ]
    process = follow(start, feed, "bybit-linear", server)
    until(lambda: "ready: 2048 symbols" in output(tmp_path), "all subscribed", 60)
    ring = RingFile(feed)
    until(lambda: all(ring.state(n) == LIVE for n in range(2048)), "every book", 60)
    assert len(server.targets) > 5, "split by the venue's limit"
    assert process.poll() is None
    assert stays_small(process.pid)


def test_2048_books_without_a_window_fit_into_memory(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(*[f"SYMBOL{n}USDT" for n in range(2048)])
    server.snapshots = {symbol: binance_snapshot(100) for symbol in server.symbols}
    process = follow(start, feed, "binance-usdm", server, "--streams", "book")
    until(lambda: "ready: 2048 symbols" in output(tmp_path), "all subscribed", 60)
    assert len(server.targets) == 11, "at most 200 streams on a connection"
    assert stays_small(process.pid)


def test_a_refused_topic_takes_no_other_with_it(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("AUSDT", "BUSDT", "CUSDT", "DUSDT")
    server.refused_topics = {"orderbook.50.CUSDT"}
    server.on_subscribe = lambda topics: [
        bybit_snapshot(5, symbol) for symbol in ("AUSDT", "BUSDT") if f"orderbook.50.{symbol}" in topics
    ]
    follow(start, feed, "bybit-linear", server)
    ring = RingFile(feed)
    until(lambda: ring.statistics()["refused_topics"] == 1, "the refused topic counted")
    says(tmp_path, "ready: 4 symbols of bybit-linear, without a book yet: CUSDT, DUSDT")
    says(tmp_path, "topic:orderbook.50.CUSDT")
    confirmed = {
        topic
        for text in server.received
        if not server.refused_topics.intersection(args := json.loads(text)["args"])
        for topic in args
    }
    assert len(confirmed) == 11
    server.send(bybit_snapshot(10, "DUSDT"))
    until(lambda: ring.state(3) == LIVE, "another book of the same batch")


def test_a_delisted_symbol_is_stale_and_comes_back(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("BTCUSDT", "ETHUSDT")
    config = with_config(tmp_path, "[connection]", "refresh = 1", "resync_first = 0.1", "resync_limit = 0.2")
    process, ring = live(start, feed, server, *config)
    server.send(bybit_snapshot(10, "ETHUSDT"))
    until(lambda: ring.state(1) == LIVE, "the other book")
    server.symbols.remove("ETHUSDT")
    until(lambda: ring.state(1) == STALE, "the delisted one")
    says(tmp_path, "ETHUSDT: the venue lists it no more")
    assert ring.state(0) == LIVE
    server.received.clear()
    server.symbols.append("ETHUSDT")
    server.on_subscribe = lambda topics: [bybit_snapshot(77, "ETHUSDT")]
    until(lambda: ring.state(1) == LIVE, "asked for, and live again")
    says(tmp_path, "lists it again")
    assert process.poll() is None


def test_a_changed_tick_size_begins_a_new_ring(
    start: Start, feed: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server("BTCUSDT")
    process, old = live(start, feed, server, *with_config(tmp_path, "[connection]", "refresh = 1"))
    server.ticks["BTCUSDT"] = "0.01"
    until(lambda: old.number("closed") == 1, "the old ring is closed")
    assert old.state() == STALE
    until(lambda: "has changed its tick or lot" in output(tmp_path), "a message")
    until(lambda: server.clients == 1 and len(server.received) >= 2, "the subscription again")
    ring = RingFile(feed)
    server.send(bybit(20, "snapshot", b=[["100.01", "1"]], a=[["100.02", "1"]]))
    until(lambda: ring.state() == LIVE, "live with the new scale")
    assert ring.ladder() == ([[10001, 1000]], [[10002, 1000]])
    assert process.poll() is None
