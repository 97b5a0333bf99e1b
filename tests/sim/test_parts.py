"""The simulator's small parts, each against something simpler than itself."""

from __future__ import annotations

import asyncio
import itertools
import socket
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline import derived
from tests.pipeline.reference_book import Reference

from quietcore.sim.book import Side
from quietcore.sim.frames.binance import canonical
from quietcore.sim.frames.times import shift_times
from quietcore.sim.generate import GeneratedSession
from quietcore.sim.instruments import Instrument, binance_exchange_info, bybit_page
from quietcore.sim.notify import notify
from quietcore.sim.pacing import Pacer
from quietcore.sim.source import generated

CHANGES = st.lists(
    st.tuples(
        st.integers(1, 30).map(lambda tick: f"{tick / 10:.1f}"), st.sampled_from(["0", "0.00", "1", "2.5"])
    ),
    max_size=60,
)


@given(CHANGES, st.booleans())
def test_side_equals_a_dictionary(changes: list[tuple[str, str]], bids: bool) -> None:
    side = Side(bids=bids)
    plain: dict[Decimal, Decimal] = {}
    for price, size in changes:
        side.apply([(price, size)])
        if Decimal(size):
            plain[Decimal(price)] = Decimal(size)
        else:
            plain.pop(Decimal(price), None)
        best = (max if bids else min)(plain) if plain else None
        assert side.best() == (None if best is None else (best, plain[best]))
        assert side.size(Decimal(price)) == plain.get(Decimal(price), 0)
    assert side.ladder() == sorted(plain.items(), reverse=bids)
    side.cut(3)
    assert side.ladder() == sorted(plain.items(), reverse=bids)[:3]
    assert len(side) == min(3, len(plain))


def test_side_keeps_the_venues_spelling() -> None:
    side = Side(bids=True)
    side.apply([("61800.20", "0.500"), ("0.00000001", "3"), ("7.5", "2"), ("8.10", "1")])
    side.apply([("7.50", "1"), ("8.1", "0")])
    assert side.rows() == [("61800.20", "0.500"), ("7.50", "1"), ("0.00000001", "3")]


def test_only_times_are_moved() -> None:
    raw = b'{"E":1700000000010,"T":1700000000005,"t":1700000000000,"BT":1700000000000,"x":"T"}'
    assert shift_times(raw, 90) == raw.replace(b"0010,", b"0100,").replace(b"0005,", b"0095,")
    assert shift_times(raw, 0) is raw


class Clock:
    """Time that passes only when it is slept away."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def paced(pacer: Pacer, clock: Clock, at_ns: list[int], *, work: float = 0.0) -> list[float]:
    """Return when each frame went out, in seconds since the first."""

    async def play() -> list[float]:
        times = []
        for at in at_ns:
            await pacer.wait(at)
            times.append(clock.now - 100.0)
            clock.now += work
        return times

    return asyncio.run(play())


def test_recorded_speed_and_multiples() -> None:
    at = [5_000_000_000, 5_500_000_000, 5_500_000_000, 7_000_000_000]
    for speed, expected in ((1.0, [0, 0.5, 0.5, 2.0]), (4.0, [0, 0.125, 0.125, 0.5])):
        clock = Clock()
        assert paced(Pacer(speed=speed, clock=clock, sleep=clock.sleep), clock, at) == pytest.approx(expected)


def test_rate_catches_up_after_a_delay() -> None:
    clock = Clock()
    pacer = Pacer(rate=10, clock=clock, sleep=clock.sleep)
    assert paced(pacer, clock, [0, 0, 0]) == pytest.approx([0, 0.1, 0.2])
    clock.now += 5  # a slow reader
    sent = paced(pacer, clock, [0] * 60)
    assert sent[0] == sent[40]
    assert sent[59] == pytest.approx(6.2)  # the 63rd frame is due then: on the average the pace is kept


def test_flat_out_only_yields() -> None:
    clock = Clock()
    paced(Pacer(clock=clock, sleep=clock.sleep), clock, list(range(300)))
    assert set(clock.sleeps) == {0}
    assert len(clock.sleeps) == 5


@pytest.mark.parametrize("pace", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_paces_are_refused(pace: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Pacer(speed=pace)
    with pytest.raises(ValueError, match="rate"):
        Pacer(rate=pace)


def test_generated_session_is_reproducible() -> None:
    def first(seed: int) -> list[bytes]:
        return [raw for _, _, raw in itertools.islice(GeneratedSession(seed, 4).raw(), 500)]

    assert first(1) == first(1)
    assert first(1) != first(2)


@pytest.mark.parametrize("depth", [50, 200])
def test_generated_books_are_true(tmp_path: Path, depth: int) -> None:
    session = GeneratedSession(7, 10, depth=depth)
    raw = [raw.decode() for _, _, raw in itertools.islice(session.raw(), 3000)]
    result = Reference("bybit-linear").run(derived.save(raw, tmp_path / "generated"))
    assert result["ok"], result
    assert (result["levels_min"], result["levels_max"], len(result["symbols"])) == (depth, depth, 10)
    assert result["trades"] > 500
    assert result["ticks"]["bbo"] > 800
    for (
        name,
        instrument,
    ) in session.instruments.items():  # what the session lists is no coarser than what it sends
        assert result["symbols"][name]["tick_exponent"] <= instrument.price_exponent
        assert result["symbols"][name]["lot_exponent"] <= instrument.size_exponent


def test_generated_session_ends_where_told() -> None:
    source = generated(1, 2, 50, 77)
    assert len(list(source.frames(source.reader()))) == source.total == 77


def test_instrument_pages_are_complete_and_disjoint() -> None:
    listed = [Instrument(f"S{number}USDT", 2, 3) for number in range(7)]
    seen, cursor = [], ""
    while True:
        page, cursor = bybit_page(listed, symbol=None, limit=3, cursor=cursor)
        seen += [one["symbol"] for one in page]
        if not cursor:
            break
    assert seen == [one.symbol for one in listed]
    assert [one["symbol"] for one in bybit_page(listed, symbol="S4USDT", limit=3, cursor="")[0]] == ["S4USDT"]
    for wrong in ("x", "-1", "99"):
        with pytest.raises(ValueError, match=r"cursor|invalid literal"):
            bybit_page(listed, symbol=None, limit=3, cursor=wrong)


@pytest.mark.parametrize(("exponent", "text"), [(0, "1"), (1, "0.1"), (4, "0.0001"), (9, "0.000000001")])
def test_steps_are_written_without_exponent(exponent: int, text: str) -> None:
    instrument = Instrument("BTCUSDT", exponent, exponent)
    bybit = bybit_page([instrument], symbol=None, limit=1, cursor="")[0][0]
    assert (bybit["priceFilter"]["tickSize"], bybit["lotSizeFilter"]["qtyStep"]) == (text, text)
    filters = {
        one["filterType"]: one for one in binance_exchange_info([instrument], 1)["symbols"][0]["filters"]
    }
    assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == (text, text)
    assert (bybit["baseCoin"], bybit["quoteCoin"]) == ("BTC", "USDT")


def test_diff_streams_of_any_pace_are_one_topic() -> None:
    assert {canonical(f"btcusdt@depth{pace}") for pace in ("", "@0ms", "@100ms", "@500ms")} == {
        "btcusdt@depth"
    }
    assert canonical("btcusdt@depth20@100ms") != "btcusdt@depth"


def test_ready_is_told_to_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")
