"""What a venue really sends on the streams that are followed, and beside them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.sim.frames import Kind, Refused
from quietcore.sim.frames.binance import BinanceFrames
from quietcore.sim.frames.bybit import BybitFrames
from quietcore.sim.recording import detect_venue, lines, survey
from quietcore.sim.source import recorded

TIME = 1_700_000_000_000


def binance(value: Any) -> Any:
    return BinanceFrames().parse(json.dumps(value, ensure_ascii=False).encode())


def bybit(value: Any) -> Any:
    return BybitFrames().parse(json.dumps(value, ensure_ascii=False).encode())


def stream(name: str, data: Any) -> dict[str, Any]:
    return {"stream": name, "data": data}


def trade(price: str = "100.5", size: str = "2", **more: Any) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": TIME,
        "T": TIME,
        "s": "BTCUSDT",
        "t": 1,
        "p": price,
        "q": size,
        "m": True,
        **more,
    }


def depth(**more: Any) -> dict[str, Any]:
    ids = {"U": 11, "u": 12, "pu": 10}
    return {
        "e": "depthUpdate",
        "E": TIME,
        "T": TIME,
        "s": "BTCUSDT",
        "b": [["100", "1"]],
        "a": [],
        **ids,
        **more,
    }


# Binance: what is a trade of the market, and what is none


@pytest.mark.parametrize("more", [{}, {"X": "MARKET"}])
def test_a_trade_of_the_market_is_a_trade(more: dict[str, Any]) -> None:
    frame = binance(stream("btcusdt@trade", trade(**more)))
    assert frame.kind is Kind.TRADE
    assert [tuple(one) for one in BinanceFrames().trades(frame)] == [("100.5", "2", True)]


@pytest.mark.parametrize(
    "event",
    [
        trade("0", "0", X="NA"),
        trade("0", "0"),
        trade("0.00", "3"),
        trade("100", "0.000"),
        trade(X="INSURANCE_FUND"),
        trade(X="ADL"),
        trade(X="SOMETHING_NEW"),
    ],
)
def test_what_took_nothing_from_the_book_is_no_trade(event: dict[str, Any]) -> None:
    for value in (stream("btcusdt@trade", event), event):
        frame = binance(value)
        assert frame.kind is Kind.TRADE, "clients get it, as from the venue"
        assert list(BinanceFrames().trades(frame)) == []
        assert list(BinanceFrames().prices(frame)) == []


def test_an_aggregate_is_matched_and_not_published() -> None:
    event = {
        "e": "aggTrade",
        "E": TIME,
        "s": "BTCUSDT",
        "a": 1,
        "p": "100",
        "q": "2",
        "f": 1,
        "l": 2,
        "T": TIME,
        "m": True,
    }
    frames = BinanceFrames()
    frame = frames.parse(json.dumps(stream("btcusdt@aggTrade", event)).encode())
    assert len(list(frames.trades(frame))) == 1
    assert not frames.published(frame)
    assert frames.published(frames.parse(json.dumps(trade()).encode()))


# messages that nobody asked for


@pytest.mark.parametrize(
    "value",
    [
        stream("!markPrice@arr@1s", [{"e": "markPriceUpdate", "s": "BTCUSDT", "p": "1"}]),
        stream("!bookTicker", {"e": "bookTicker", "s": "X", "b": "1"}),
        stream("btcusdt@kline_1m", {"e": "kline", "k": {}}),
        stream("btcusdt@depth20@100ms", depth()),
        stream("btcusdt@rpiDepth@500ms", depth()),
        stream("btcusdt@forceOrder", None),
        stream("contractInfo", 7),
        {"result": None, "id": 1},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
        {"e": "listenKeyExpired", "E": TIME},
        {"e": 7, "s": []},
        [{"e": "markPriceUpdate"}],
        [],
    ],
)
def test_binance_messages_that_nobody_follows_are_left_out(value: Any) -> None:
    assert binance(value).kind is Kind.OTHER


@pytest.mark.parametrize(
    "value",
    [
        {"topic": "orderbook.rpi.XRPUSDT", "type": "snapshot", "ts": TIME, "data": {"s": "XRPUSDT"}},
        {"topic": "kline.1.XRPUSDT", "ts": "text", "type": 3, "data": []},
        {"topic": "allLiquidation.XRPUSDT", "data": None},
        {"topic": "priceLimit.XRPUSDT", "data": {}},
        {"success": True, "op": "subscribe"},
        {"op": "pong"},
    ],
)
def test_bybit_messages_that_nobody_follows_are_left_out(value: Any) -> None:
    assert bybit(value).kind is Kind.OTHER


# messages of a followed stream that are wrong are refused still


@pytest.mark.parametrize(
    "value",
    [
        stream("btcusdt@depth", trade()),
        stream("btcusdt@depth", depth(U="x")),
        stream("btcusdt@depth", [depth()]),
        stream("btcusdt@trade", trade(p=1)),
        stream("btcusdt@trade", {**trade(), "s": ""}),
        {"lastUpdateId": 3},
        {"lastUpdateId": "3", "bids": [], "asks": []},
    ],
)
def test_a_followed_stream_of_binance_must_be_right(value: Any) -> None:
    with pytest.raises(Refused):
        binance(value)


BOOK = {"s": "XRPUSDT", "b": [["1", "2"]], "a": [], "u": 4, "seq": 9}


@pytest.mark.parametrize(
    "value",
    [
        {"topic": "orderbook.50.XRPUSDT", "type": "delta", "ts": TIME, "data": {**BOOK, "s": "BTCUSDT"}},
        {"topic": "orderbook.50.XRPUSDT", "type": "partial", "ts": TIME, "data": BOOK},
        {"topic": "orderbook.50.XRPUSDT", "ts": TIME, "data": BOOK},
        {"topic": "orderbook.50.XRPUSDT", "type": "delta", "ts": "x", "data": BOOK},
        {"topic": "orderbook.50.XRPUSDT", "type": "delta", "ts": TIME},
    ],
)
def test_a_followed_topic_of_bybit_must_be_right(value: Any) -> None:
    with pytest.raises(Refused):
        bybit(value)


def test_block_trades_of_bybit_take_nothing_from_the_book() -> None:
    rows = [{"p": "2", "v": "5", "S": "Sell", "BT": block} for block in (True, False)]
    rows += [{"p": "0", "v": "5", "S": "Sell"}, {"p": "2", "v": "0.00", "S": "Buy", "BT": False}]
    frame = bybit({"topic": "publicTrade.XRPUSDT", "type": "snapshot", "ts": TIME, "data": rows})
    assert frame.kind is Kind.TRADE
    assert len(list(BybitFrames().trades(frame))) == 1
    assert list(BybitFrames().prices(frame)) == [("2", "5")]


# recordings of bare messages, of other venues and in other formats


def save(path: Path, values: list[Any], head: str = "") -> Path:
    path.write_text(head + "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    return path


def bare() -> list[Any]:
    book = {"lastUpdateId": 10, "E": TIME, "T": TIME, "bids": [["99", "1"]], "asks": [["101", "2"]]}
    quote = {
        "e": "bookTicker",
        "u": 12,
        "s": "BTCUSDT",
        "b": "100",
        "B": "1",
        "a": "101",
        "A": "2",
        "T": TIME,
        "E": TIME,
    }
    return [book, depth(U=5, u=12, pu=4), trade(), trade(X="NA", price="0", size="0"), quote]


def test_bare_messages_are_read_as_wrapped_ones(tmp_path: Path) -> None:
    source = recorded(save(tmp_path / "r", bare()), None)
    assert source.venue == "binance-usdm"
    assert source.topics == ["btcusdt@depth", "btcusdt@trade", "btcusdt@bookTicker"]
    reader = source.reader()
    frames = list(source.frames(reader))
    for frame in frames:
        reader.track(frame)
    assert [frame.kind for frame in frames] == [Kind.SNAPSHOT, Kind.BOOK, Kind.TRADE, Kind.TRADE, Kind.TICKER]
    # They are served as a combined stream carries them.
    assert json.loads(frames[2].raw) == {"stream": "btcusdt@trade", "data": trade()}
    book = reader.book("BTCUSDT")
    assert book is not None
    assert book.bids.best() == (Decimal(100), Decimal(1))


def test_a_bare_array_does_not_hide_the_venue(tmp_path: Path) -> None:
    path = save(tmp_path / "r", [[{"e": "markPriceUpdate", "s": "BTCUSDT"}], *bare()])
    assert detect_venue(path) == "binance-usdm"
    assert survey(path).others == 1


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("venue", [None, "binance-usdm"])
def test_spot_is_named(tmp_path: Path, wrapped: bool, venue: str | None) -> None:
    event = {name: value for name, value in depth().items() if name not in ("pu", "T")}
    path = save(tmp_path / "r", [stream("btcusdt@depth", event) if wrapped else event])
    with pytest.raises(QuietcoreError) as caught:
        survey(path, venue)
    assert caught.value.code is ExitCode.USAGE
    assert "binance-spot" in caught.value.message()
    assert "quietcore-feed verify" in caught.value.message()


@pytest.mark.parametrize(
    ("magic", "said"),
    [
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (b"\xd4\xc3\xb2\xa1", "pcap"),
        (b"\x4d\x3c\xb2\xa1", "pcap"),
        (b"\x0a\x0d\x0d\x0a", "editcap"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, magic: bytes, said: str) -> None:
    path = tmp_path / "r"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(QuietcoreError, match="format that is not read here") as caught:
        survey(path)
    assert said in caught.value.message()


def test_the_recorders_remarks_are_counted(tmp_path: Path) -> None:
    path = save(
        tmp_path / "r", bare(), "# 7 messages are missing here: the buffer was full\n# another remark\n"
    )
    assert survey(path).missing == 7
    assert recorded(path, None).missing == 7
    assert [line.missing for line in lines(path)][:3] == [7, 0, 0]


def test_a_symbol_that_is_not_ascii_keeps_its_name(tmp_path: Path) -> None:
    name = "币安人生USDT"
    event = {**depth(U=5, u=12, pu=4), "s": name}
    source = recorded(save(tmp_path / "r", [stream(f"{name.lower()}@depth@100ms", event)]), None)
    assert list(source.instruments) == [name]
    assert source.topics == [f"{name.lower()}@depth"]
    assert source.prices[name] == "100"


def test_a_recording_of_other_streams_alone_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "r", [stream("!markPrice@arr", []), stream("btcusdt@kline_1m", {})])
    with pytest.raises(QuietcoreError) as caught:
        survey(path)
    assert "2 messages of other streams" in caught.value.message()


@pytest.mark.parametrize("text", ["", "1e-7", "nan", "-1", "１", "0x1", "1.", ".5", "1 "])
def test_a_price_that_is_no_plain_decimal_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = save(tmp_path / "r", [*bare(), depth(U=13, u=14, pu=12, b=[[text, "1"]])])
    with pytest.raises(QuietcoreError) as caught:
        survey(path)
    assert f"{path}:6" in caught.value.message()
    assert "plain decimal numbers" in caught.value.message()
