"""Indicators against their definitions, over the recordings, to 1e-9 relative; both forms, both code paths."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.runtime import reference_indicators as reference
from tests.runtime.conftest import ROOT

from quietcore.bridge import SharedMemoryBridge, layout
from quietcore.bridge.compiled import compiled
from quietcore.bridge.follower import new_books
from quietcore.indicators import bollinger, book, ema, rsi, scan, sma, variance, vwap

FEED_HANDLER = ROOT / "build/bin/quietcore-feed"
RECORDINGS = {
    "binance-usdm": "binance-usdm-btcusdt-20240808.gz",
    "bybit-linear": "bybit-linear-xrpusdt-ob500-20241201.jsonl",
}
MOST = 12_000  # values of a recording that are compared: the reference is slow
RELATIVE = 1e-9


class Session(NamedTuple):
    """One recording as a strategy sees it: prices in ticks, sizes in lots."""

    bids: Any
    bid_sizes: Any
    asks: Any
    ask_sizes: Any
    prices: Any
    sizes: Any

    @property
    def mids(self) -> Any:
        return 0.5 * (self.bids + self.asks)


def generated() -> Session:
    rng = np.random.default_rng(7)
    bids = np.floor(60_000 + np.cumsum(rng.normal(0, 3, 4000)))
    asks = bids + rng.integers(1, 5, 4000)
    sizes = rng.integers(0, 50, (3, 4000)).astype(np.float64)
    return Session(bids, sizes[0], asks, sizes[1], asks, sizes[2])


def recorded(venue: str, folder: Path, feed: str) -> Session:
    path = folder / RECORDINGS[venue]
    if not FEED_HANDLER.exists():
        pytest.skip("the feed handler is not built: make build")
    if not path.exists():
        pytest.skip(f"no recording {path.name}")
    words = ["--feed", feed, "--venue", venue, "--speed", "max", "--capacity", "524288"]
    try:
        subprocess.run(
            [str(FEED_HANDLER), "replay", *words, str(path)], check=True, timeout=60, capture_output=True
        )
        with SharedMemoryBridge(feed, from_start=True) as bridge:
            ticks = bridge.read_batch().ticks.copy()
    finally:
        for suffix in ("", ".lock"):
            Path(f"/dev/shm/quietcore.{feed}{suffix}").unlink(missing_ok=True)
    quotes = ticks[(ticks["kind"] == layout.KIND_BBO) & (ticks["b"] > 0) & (ticks["d"] > 0)][:MOST]
    trades = ticks[ticks["kind"] == layout.KIND_TRADE][:MOST]
    columns = [quotes[name] for name in "abcd"] + [trades["a"], trades["b"]]
    return Session(*(np.ascontiguousarray(column, dtype=np.float64) for column in columns))


@pytest.fixture(params=["generated", *RECORDINGS], scope="module")
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    if request.param == "generated":
        yield generated()
    else:
        folder = Path(os.environ.get("QUIETCORE_DATA", ROOT.parent / "shared" / "data"))
        if not folder.is_dir():
            pytest.skip(
                "no recordings: $QUIETCORE_DATA is not set and no shared data lie beside the repository"
            )
        yield recorded(request.param, folder, f"test-indicators-{os.getpid()}")


def same(found: Sequence[float] | Any, wanted: Sequence[Decimal | None]) -> None:
    """Hold every figure to 1e-9 of the exact one; None: not a number. Zero must be zero."""
    assert len(found) == len(wanted)
    for i, (one, exact) in enumerate(zip(found, wanted, strict=True)):
        if exact is None:
            assert np.isnan(one), i
        else:
            assert abs(Decimal(float(one)) - exact) <= abs(exact) * Decimal(RELATIVE), (i, one, exact)


def record(dtype: np.dtype[np.void]) -> Any:
    return np.zeros(1, dtype=dtype)


def stepped(update: Callable[..., Any], dtype: np.dtype[np.void], columns: Sequence[Any], *more: Any) -> Any:
    """Return what the incremental form says after each row, called as strategies call it: from compiled code."""
    place = record(dtype)
    out = np.zeros(len(columns[0]))
    STEPS[len(columns), len(more)](update, place, out, *columns, *more)
    return out


def step_one(update: Any, place: Any, out: Any, first: Any) -> None:
    for i in range(out.shape[0]):
        out[i] = update(place[0], first[i])


def step_one_more(update: Any, place: Any, out: Any, first: Any, more: Any) -> None:
    for i in range(out.shape[0]):
        out[i] = update(place[0], first[i], more)


def step_two(update: Any, place: Any, out: Any, first: Any, second: Any) -> None:
    for i in range(out.shape[0]):
        out[i] = update(place[0], first[i], second[i])


STEPS: dict[tuple[int, int], Any] = {
    (1, 0): compiled(step_one),
    (1, 1): compiled(step_one_more),
    (2, 0): compiled(step_two),
}


def test_the_recordings_hold_enough(session: Session) -> None:
    assert len(session.bids) > 40
    assert session.mids.std() > 0


@pytest.mark.parametrize("span", [2, 20, 500])
def test_ema(session: Session, span: int) -> None:
    alpha = ema.alpha_of(span)
    wanted = reference.ema(reference.decimals(session.mids), alpha)
    same(stepped(ema.update, ema.STATE, [session.mids], alpha), wanted)
    out = np.empty_like(session.mids)
    ema.series(session.mids, alpha, out)
    same(out, wanted)


@pytest.mark.parametrize("window", [1, 20, 150])
def test_sma_and_variance_and_bollinger(session: Session, window: int) -> None:
    mids = session.mids[:4000]
    exact = reference.decimals(mids)
    means, spreads = reference.sma(exact, window), reference.variance(exact, window)
    same(stepped(sma.update, sma.state(window), [mids]), means)
    same(stepped(variance.update, variance.state(window), [mids]), spreads)
    out, mean = np.empty_like(mids), np.empty_like(mids)
    sma.series(mids, window, out)
    same(out, means)
    variance.series(mids, window, mean, out)
    same(mean, means)
    same(out, spreads)
    bands = reference.bollinger(exact, window, 2.0)
    middle, upper, lower = (np.empty_like(mids) for _ in range(3))
    bollinger.series(mids, window, 2.0, middle, upper, lower)
    place = record(bollinger.state(window))
    for i, value in enumerate(mids):
        bollinger.update(place[0], value, 2.0)
        if i % 97 == 0:
            same([place[0][name] for name in ("middle", "upper", "lower")], bands[i])
    for found, column in ((middle, 0), (upper, 1), (lower, 2)):
        same(found, [band[column] for band in bands])


@pytest.mark.parametrize("period", [1, 14, 100])
def test_rsi(session: Session, period: int) -> None:
    wanted = reference.rsi(reference.decimals(session.mids), period)
    same(stepped(rsi.update, rsi.STATE, [session.mids], np.int64(period)), wanted)
    out = np.empty_like(session.mids)
    rsi.series(session.mids, period, out)
    same(out, wanted)


def test_rsi_without_enough_values() -> None:
    for n in range(4):
        out = np.zeros(n)
        rsi.series(np.arange(n, dtype=np.float64), 3, out)
        assert np.isnan(out).all()
    out = np.zeros(8)
    rsi.series(np.full(8, 5.0), 3, out)
    same(out, [None, None, None, *[Decimal(50)] * 5])


def test_vwap(session: Session) -> None:
    wanted = reference.vwap(reference.decimals(session.prices), reference.decimals(session.sizes))
    same(stepped(vwap.update, vwap.STATE, [session.prices, session.sizes]), wanted)
    out = np.empty_like(session.prices)
    vwap.series(session.prices, session.sizes, out)
    same(out, wanted)
    place = record(vwap.STATE)
    vwap.update(place[0], 10.0, 2.0)
    vwap.reset(place[0])
    assert vwap.update(place[0], 0.0, 0.0) == 0.0
    assert vwap.update(place[0], 12.0, 1.0) == 12.0


def test_imbalance_and_microprice(session: Session) -> None:
    columns = [session.bids, session.bid_sizes, session.asks, session.ask_sizes]
    bids, bid_sizes, asks, ask_sizes = map(reference.decimals, columns)
    out = np.empty_like(session.bids)
    book.imbalance_series(session.bid_sizes, session.ask_sizes, out)
    same(out, reference.imbalance(bid_sizes, ask_sizes))
    wanted = reference.microprice(bids, bid_sizes, asks, ask_sizes)
    book.microprice_series(session.bids, session.bid_sizes, session.asks, session.ask_sizes, out)
    same(out, wanted)
    same([book.microprice(*row) for row in zip(*columns, strict=True)], wanted)


def test_ladder_imbalance() -> None:
    books = new_books(2, 5)
    books.sizes[2] = [3, 4, 5, 0, 0]
    books.sizes[3] = [1, 1, 1, 1, 1]
    assert book.ladder_imbalance(books, 1, 1) == 0.5
    assert book.ladder_imbalance(books, 1, 99) == (12 - 5) / 17
    assert book.ladder_imbalance(books, 0, 5) == 0.0


@pytest.mark.machine_code
def test_a_long_series_does_not_drift() -> None:
    """A million values at a high price with a small spread: what a naive sum of squares loses altogether."""
    values = np.floor(7_000_000 + np.cumsum(np.random.default_rng(3).normal(0, 2, 1_000_000)))
    window = 50
    tail = reference.decimals(values[-200:])
    wanted = reference.variance(tail, window)[window:]
    same(stepped(variance.update, variance.state(window), [values])[-150:], wanted)
    mean, out = np.empty_like(values), np.empty_like(values)
    variance.series(values, window, mean, out)
    same(out[-150:], wanted)
    same(mean[-150:], reference.sma(tail, window)[window:])
    same(stepped(sma.update, sma.state(window), [values])[-150:], reference.sma(tail, window)[window:])


def test_the_comparison_would_notice() -> None:
    with pytest.raises(AssertionError):
        same([1.0 + 3e-9], [Decimal(1)])
    with pytest.raises(AssertionError):
        same([1e-30], [Decimal(0)])


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 1000])
def test_vector_and_plain_form_agree(n: int) -> None:
    if not scan.VECTORS:
        pytest.skip("this CPU has no AVX2: there is no vector form to compare")
    values = np.random.default_rng(n).normal(size=n)
    plain, vector = np.zeros(n), np.zeros(n)
    last = scan.scan_plain(values, 0.3, 0.7, 5.0, plain)
    assert np.isclose(scan.scan_vectors(values, 0.3, 0.7, 5.0, vector), last, rtol=1e-13, atol=0)
    np.testing.assert_allclose(vector, plain, rtol=1e-12, atol=1e-13)
    again = values.copy()
    scan.scan_vectors(again, 0.3, 0.7, 5.0, again)
    assert np.array_equal(again, vector), "in place gives the same"


LEVEL = """
import numpy as np
from quietcore.indicators import ema, scan
values = np.arange(1000.0); out = np.empty(1000)
ema.series(values, 0.1, out)
code = "".join(scan.scan.inspect_asm().values())
print(scan.VECTORS, scan.scan is scan.scan_plain, "ymm" in code, out.sum().hex())
"""


@pytest.mark.machine_code
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the CPU levels of this test are those of x86-64")
def test_a_cpu_without_avx2_gets_the_plain_form(tmp_path: Path) -> None:
    found = {}
    for level in ("x86-64-v2", "x86-64-v3"):
        environment = {
            **os.environ,
            "NUMBA_CPU_NAME": level,
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_CACHE_DIR": str(tmp_path / level),
            "PYTHONPATH": str(ROOT / "runtime"),
        }
        done = subprocess.run(
            [sys.executable, "-c", LEVEL], env=environment, capture_output=True, text=True, check=False
        )
        if level == "x86-64-v3" and not scan.VECTORS:
            continue
        assert done.returncode == 0, done.stderr
        found[level] = done.stdout.split()
    assert found["x86-64-v2"][:3] == ["False", "True", "False"]
    if scan.VECTORS:
        assert found["x86-64-v3"][:3] == ["True", "False", "True"]
        sums = [float.fromhex(words[3]) for words in found.values()]
        assert sums[0] == pytest.approx(sums[1], rel=1e-12)
