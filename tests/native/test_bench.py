"""The benchmark's judgement, its derived input, and what it writes."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import math
import random
import sys
from pathlib import Path
from typing import Any, cast

import pytest

BENCH = Path(__file__).resolve().parents[2] / "native/bench"
sys.path.insert(0, str(BENCH))
sys.path.insert(1, str(BENCH / "peers"))

import cost_plan  # noqa: E402
import memory_plan  # noqa: E402
import order_plan  # noqa: E402
import pairing  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
import windowed_recording  # noqa: E402
import wire_plan  # noqa: E402
from feed_plan import DisagreementError  # noqa: E402
from serve_backtests import messages  # noqa: E402
from serve_orders import KEY, SECRET  # noqa: E402
from worker import Worker  # noqa: E402


def ratio_of(values: list[float]) -> pairing.Ratio:
    return pairing.paired([1.0] * (len(values) + 1), values)


def test_a_goal_is_met_only_where_the_whole_interval_lies_inside() -> None:
    clear = ratio_of([2.1, 2.2, 2.15, 2.3, 2.12, 2.2, 2.4, 2.18, 2.2])
    assert clear.meets(2.0) is True
    assert clear.meets(2.5) is False
    assert clear.meets(2.2) is None
    assert clear.meets(2.5, at_most=True) is True
    assert clear.meets(2.0, at_most=True) is False


def test_too_few_pairs_decide_nothing() -> None:
    assert ratio_of([5.0] * 5).meets(2.0) is None
    assert ratio_of([5.0] * 6).meets(2.0) is True


def test_a_pair_whose_brackets_drift_is_dropped() -> None:
    references = [1.0, 1.0, 2.0, 1.0, 1.0]
    found = pairing.paired(references, [2.0, 50.0, 50.0, 2.0])
    assert (found.kept, found.dropped, found.median) == (2, 2, 2.0)


def test_differences_are_of_the_references_around() -> None:
    found = pairing.paired_differences([10.0, 12.0, 20.0], [14.0, 50.0])
    assert (found.kept, found.dropped, found.median) == (1, 1, 3.0)
    steady = pairing.paired_differences([10.0] * 10, [13.0] * 9)
    assert steady.meets(5.0, at_most=True) is True
    assert steady.meets(2.0, at_most=True) is False
    result = results.Result("a", 13.0, "ns", "b", 10.0, steady, 5.0, at_most=True, differences=True)
    written = result.as_json()
    assert (written["ratio"], written["difference"], written["met"]) == (None, 3.0, True)
    assert "+3" in results.table([result])


class Told:
    """A worker that answers what the test wants, by case."""

    def __init__(self, **answers: dict[str, Any]) -> None:
        self.answers = answers

    def block(self, case: str, source: Path, seconds: float) -> dict[str, Any]:
        return self.answers[case]


def test_a_core_that_publishes_something_else_is_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "messages"
    path.write_text("{}\n")
    answer = {"operations": 97, "seconds": 1.0, "bid": "1", "ask": "2", "ticks": 5}
    told: Any = Told(feed=answer)
    faster: Any = Told(feed=answer | {"operations": 100})
    result = cost_plan.feed(told, faster, "x", path, 0, 9)
    assert result.ratio is not None
    assert result.ratio.median == pytest.approx(0.97)
    for wrong in ({"ticks": 4}, {"bid": "1.5"}):
        other: Any = Told(feed=answer | wrong)
        with pytest.raises(DisagreementError, match="not the same work"):
            cost_plan.feed(told, other, "x", path, 0, 9)


def test_the_loop_runs_with_and_without_measuring() -> None:
    """Each pass counts its ticks and its latencies: those of every message, or none."""
    script = BENCH.parents[1] / "runtime/bench/loop_worker.py"
    with Worker("runtime", [sys.executable, str(script)], -1) as runtime:
        result = cost_plan.loop(runtime, "x", "-", 0.0, 6)
    assert result.differences
    assert result.value > 0
    assert result.facts == {"ticks_a_message": 1.0}


def test_the_interval_encloses_the_median_as_often_as_it_says() -> None:
    dice = random.Random(7)
    hits = 0
    for _ in range(2000):
        low, high = pairing.median_interval([dice.lognormvariate(0, 1) for _ in range(9)])
        hits += low <= 1.0 <= high
    assert hits / 2000 >= 0.945
    assert pairing.median_interval([1.0] * 5) == (-math.inf, math.inf)


def test_results_have_the_promised_fields(tmp_path: Path) -> None:
    rows = [
        results.Result("a", 2e6, "messages/s", "b", 1e6, ratio_of([2.0] * 9), 1.5),
        results.Result("c", 12.0, "ns", goal=15.0, limit=True),
        results.Result("d", 1.0, "messages/s", "e", 1.0, ratio_of([1.0]), 1.5),
    ]
    results.write(rows, tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    for row in written:
        assert {"name", "value", "unit", "reference", "ratio", "goal", "met"} <= set(row)
    assert [row["met"] for row in written] == [True, True, None]
    assert written[2]["interval"] == [None, None]
    assert "undecided" in results.table(rows)


class Answers:
    """In place of quietcore-bench: what each case is to answer."""

    def __init__(self, **answers: dict[str, float]) -> None:
        self.answers = answers

    def block(self, case: str, _source: Path | str, _seconds: float) -> dict[str, Any]:
        return self.answers[case.replace("-", "_")]


def wire_verdict(tick_ns: float) -> bool | None:
    native = Answers(
        wire_to_slot={"p50_ns": 5000, "p99_ns": 9000}, wire_to_tick={"p50_ns": tick_ns, "p99_ns": 1e6}
    )
    first, *_ = wire_plan.measure(cast(Worker, native), Path("x"), seconds=0.1, pairs=9)
    assert first.facts["above_ns"] == tick_ns - 5000
    return first.met


def test_three_microseconds_above_the_least_are_the_limit_on_the_wire() -> None:
    assert wire_verdict(7_990) is True
    assert wire_verdict(8_010) is False


def test_memory_is_judged_by_book_by_process_and_by_growth() -> None:
    answer = {"operations": 1e7, "book_bytes": 60 * 1024, "deep_book_bytes": 1e5}
    good = answer | {"settled_kib": 100_000, "resident_kib": 100_100}
    bad = answer | {"book_bytes": 70 * 1024, "settled_kib": 500_000, "resident_kib": 600_000}
    verdicts = [
        [row.met for row in memory_plan.measure(cast(Worker, Answers(memory=figures)), 10**7)]
        for figures in (good, bad)
    ]
    assert verdicts == [[True, None, True, True], [False, None, False, False]]


@pytest.mark.parametrize("messages", ["-5", "0", "1e8", "²"])
def test_a_number_of_messages_that_is_none_is_refused(
    messages: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.arguments_of([f"--messages={messages}"])
    assert f'"{messages}": expected a whole number above 0' in capsys.readouterr().err


def recorded(folder: Path) -> Path:
    """A recording of a book of three prices a side, of which a window of two shows less than all."""

    def update(first: int, last: int, previous: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
        data: dict[str, Any] = {"e": "depthUpdate", "E": last, "T": last, "s": "ABC", "U": first, "u": last}
        data |= {"pu": previous, "b": bids, "a": asks}
        return b"1 " + json.dumps({"stream": "abc@depth", "data": data}).encode() + b"\n"

    snapshot = {
        "lastUpdateId": 10,
        "bids": [["9.0", "1"], ["8.0", "1"], ["7.0", "1"]],
        "asks": [["10.0", "1"], ["11.0", "1"], ["12.0", "1"]],
    }
    path = folder / "book.gz"
    with gzip.open(path, "wb") as out:
        out.write(update(1, 9, 0, [["9.0", "77"]], []))  # older than the snapshot
        out.write(update(10, 11, 9, [], []))  # before the snapshot in the file, after it in the numbering
        out.write(b"1 " + json.dumps(snapshot).encode() + b"\n")
        out.write(update(12, 12, 11, [["7.0", "5"]], []))  # outside the window
        out.write(update(13, 13, 12, [["9.0", "0"]], [["9.5", "3"]]))
    return path


def test_a_window_changes_as_the_venue_would_say_it(tmp_path: Path) -> None:
    messages = [json.loads(line) for line in windowed_recording.windowed_messages(recorded(tmp_path), 2)]
    assert [(message["type"], message["data"]["u"]) for message in messages] == [
        ("snapshot", 1),
        ("delta", 2),
    ]
    assert messages[0]["topic"] == "orderbook.2.ABC"
    assert messages[0]["data"]["b"] == [["9.0", "1"], ["8.0", "1"]]
    # 9.0 goes, 7.0 enters with the size it got outside; 11.0 is pushed out by 9.5.
    assert messages[1]["data"]["b"] == [["9.0", "0"], ["7.0", "5"]]
    assert messages[1]["data"]["a"] == [["9.5", "3"], ["11.0", "0"]]


def test_the_windowed_book_follows_the_whole_one(binance_recording: Path) -> None:
    bids = windowed_recording.BookSide(descending=True)
    asks = windowed_recording.BookSide(descending=False)
    window: tuple[dict[str, str], dict[str, str]] = ({}, {})
    messages = windowed_recording.windowed_messages(binance_recording, 50)
    for number, (snapshot, update) in enumerate(windowed_recording.applied_updates(binance_recording)):
        if number == 0:
            bids.apply(snapshot["bids"])
            asks.apply(snapshot["asks"])
        bids.apply(update["b"])
        asks.apply(update["a"])
        whole = bids.best(50), asks.best(50)
        if whole == window:
            continue
        data = json.loads(next(messages))["data"]
        for side, levels in zip(window, (data["b"], data["a"]), strict=True):
            for price, size in levels:
                side[price] = size
                if size == "0":
                    del side[price]
        assert window == whole
        if number == 500:
            break
    else:
        pytest.fail("the recording is shorter than expected")


def test_what_an_order_s_figure_counts_is_a_whole_request() -> None:
    """Ours is measured, and judged as the others' are: signature and every field."""
    with Worker("quietcore", [sys.executable, str(BENCH / "peers/quietcore_orders.py")], -1) as worker:
        answer = worker.block("sign", "-", 0.01)
    assert answer["operations"] >= 100
    assert 0 < order_plan.microseconds(answer) < 10_000
    order_plan.check("ours", answer)
    with pytest.raises(DisagreementError, match="signature"):
        order_plan.check("ours", {**answer, "body": answer["body"].replace("Buy", "Sell")})
    body = answer["body"].replace(',"qty":"0.001"', "")
    headers = answer["headers"]
    text = f"{headers['X-BAPI-TIMESTAMP']}{KEY}{headers['X-BAPI-RECV-WINDOW']}{body}"
    sign = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    with pytest.raises(DisagreementError, match="qty"):
        order_plan.check("ours", {**answer, "body": body, "headers": {**headers, "X-BAPI-SIGN": sign}})


@pytest.mark.parametrize("name", ["recording", "recording.gz"])
def test_what_every_backtest_is_given(tmp_path: Path, name: str) -> None:
    """Each line's receive time and content, a stream's envelope taken off."""
    lines = b'17 {"stream":"btcusdt@trade","data":{"e":"trade","p":"1"}}\n18 {"lastUpdateId":3,"bids":[]}\n'
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    assert list(messages(path)) == [(17, {"e": "trade", "p": "1"}), (18, {"lastUpdateId": 3, "bids": []})]
