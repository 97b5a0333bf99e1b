"""`quietcore targets`: each promise is met, missed, or not measurable here with a reason, and no verdict is made up."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietcore.cli.main import main
from quietcore.cli.targets import exit_code
from quietcore.errors import ExitCode
from quietcore.histogram import Histogram
from quietcore.indicators import bollinger
from quietcore.observe.status import HOP_TITLES
from quietcore.strategy.intents import WORDS, IntentRing
from quietcore.targets import cache, compiled_steps, feed_handler, pipeline
from quietcore.targets.catalogue import TARGETS
from quietcore.targets.compiled_steps import measure as steps
from quietcore.targets.measure import everything, of_pipeline, rate_of
from quietcore.targets.outcome import MET, MISSED, NOT_HERE, Absent, Measured, exactly, judge

FEED_HANDLER = Path(__file__).resolve().parents[2] / "build/bin/quietcore-feed"
LAST = max(os.sched_getaffinity(0))


def verdict(key: str, found: Measured | Absent) -> tuple[str, str]:
    outcome = next(one for one in judge({key: found}) if one.target.key == key)
    return outcome.verdict, outcome.note


def test_a_value_is_met_missed_or_too_unsteady() -> None:
    assert verdict("signal", Measured(500, 400, 600))[0] == MET
    assert verdict("signal", Measured(2000, 1500, 2500))[0] == MISSED
    said, note = verdict("signal", Measured(1000, 900, 1100))
    assert said == NOT_HERE
    assert "too unsteady" in note
    assert verdict("messages", exactly(2e6))[0] == MET
    assert verdict("messages", exactly(2e5))[0] == MISSED
    assert verdict("signal", exactly(1000))[0] == MISSED, "below is below"


def test_what_nobody_measured_is_not_met() -> None:
    outcomes = judge({})
    assert [one.target for one in outcomes] == list(TARGETS)
    assert {one.verdict for one in outcomes} == {NOT_HERE}
    assert exit_code(outcomes) is ExitCode.UNKNOWN
    assert exit_code(judge({"signal": exactly(1.0)})) is ExitCode.OK
    assert exit_code(judge({"signal": exactly(1.0), "ring_tick": exactly(1e9)})) is ExitCode.FOUND


def hops(**counts: int) -> dict[str, Any]:
    made = {}
    for name in HOP_TITLES:
        histogram = Histogram()
        for _ in range(counts.get(name, 200)):
            histogram.record(20_000)
        made[name] = histogram.summary()
    return made


def test_hops_of_a_running_pipeline() -> None:
    found = pipeline.of_hops(hops())
    assert isinstance(found["market_data"], Measured)
    assert found["market_data"].value == pytest.approx(20_000, rel=0.02)
    assert isinstance(found["quote_to_trade"], Measured)
    assert found["quote_to_trade"].value == pytest.approx(80_000, rel=0.02)
    few = pipeline.of_hops(hops(signal_sent=7))
    for key in ("order_submission", "quote_to_trade", "engine_cycle"):
        missing = few[key]
        assert isinstance(missing, Absent)
        assert "signal_sent: 7 latencies" in missing.why


def test_replayed_hops_are_no_latencies() -> None:
    histogram = Histogram()
    histogram.record(-1)
    missing = pipeline.hop({"x": histogram.summary()}, "x", "p99")
    assert isinstance(missing, Absent)
    assert "1 not comparable" in missing.why


STATUS = "Name:\tx\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t5\n"
STAT = "cpu  9 9 0 9 0 0 0 0 0 0\ncpu0 {} 0 0 {} 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc of pid 7 with thread 8, that goes on while somebody sleeps."""
    place = tmp_path / "7/task/8/status"
    place.parent.mkdir(parents=True)

    def write(switches: int, busy: int, idle: int) -> None:
        place.write_text(STATUS.format(switches))
        (tmp_path / "stat").write_text(STAT.format(busy, idle))

    write(10, 100, 100)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        write(13, 120, 180)

    monkeypatch.setattr(pipeline.time, "sleep", sleep)  # type: ignore[attr-defined]
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: clock[0])  # type: ignore[attr-defined]
    return tmp_path


def runtime_status(**changes: Any) -> dict[str, Any]:
    thread = {"name": "strategy", "tid": 8, "minor_faults": 0, "major_faults": 0}
    status = {"pid": 7, "threads": [thread], "started": time.time() - 700, "pinned": {"strategy": True}}
    return {**status, **changes}


def plan(folder: Path) -> Path:
    path = folder / "plan.json"
    sets = {"housekeeping": [0], "irq": [0, 1], "feed": [1], "strategy": [2], "gateway": [3]}
    path.write_text(json.dumps({"sets": sets}))
    return path


def test_a_thread_is_watched(proc: Path) -> None:
    found = pipeline.of_threads(runtime_status(), 6.0, proc, plan(proc))
    assert found["context_switches"] == exactly(30.0, "3 in 6 s")
    assert found["cpu"] == exactly(20.0, "CPU 0"), "CPU 1 is of the feed, too: it spins"
    assert found["page_faults"] == exactly(0, "in 700 s")


def test_what_a_thread_cannot_show_is_said(proc: Path) -> None:
    young = runtime_status(started=time.time() - 20, pinned={"strategy": False})
    found = pipeline.of_threads(young, 6.0, proc, proc / "none.json")
    for key, why in (
        ("page_faults", "up for 20 s"),
        ("context_switches", "not pinned"),
        ("cpu", "no core plan"),
    ):
        missing = found[key]
        assert isinstance(missing, Absent)
        assert why in missing.why
    young["threads"][0]["major_faults"] = 2
    assert pipeline.of_threads(young, 6.0, proc, plan(proc))["page_faults"].value == 2  # type: ignore[union-attr]
    gone = pipeline.of_threads(runtime_status(pid=99), 6.0, proc, plan(proc))["context_switches"]
    assert isinstance(gone, Absent)


def test_a_status_that_is_old_is_of_no_running_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "runtime.json"
    assert pipeline.fresh_status(path) is None
    path.write_text(json.dumps({"final": False, "written": time.time()}))
    assert pipeline.fresh_status(path) is not None
    path.write_text(json.dumps({"final": False, "written": time.time() - 60}))
    assert pipeline.fresh_status(path) is None
    path.write_text("[]")
    assert pipeline.fresh_status(path) is None


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "no hardware counters"),
        (errno.EACCES, "forbidden here"),
        (errno.EMFILE, "hardware counters: "),
    ],
)
def test_absent_counters_have_a_reason(number: int, said: str) -> None:
    assert said in cache.refusal(OSError(number, os.strerror(number)))


def test_counters_where_they_are_there_are_a_share() -> None:
    assert len(cache.attribute(cache.MISSES)) == cache.ATTRIBUTE_SIZE
    found = cache.hit_share(lambda: sum(range(200_000)))
    if isinstance(found, Absent):
        pytest.skip(found.why)
    assert 0 <= found.value <= 100


def test_steps_cost_something() -> None:
    found = steps()
    assert set(found) == {"indicator", "signal", "order_creation"}
    for one in found.values():
        assert isinstance(one, Measured)
        assert 0 < one.low <= one.value <= one.high < 1e6


def test_rates_have_bounds() -> None:
    rate = rate_of([90.0, 110.0] * 50)
    assert rate.value == 100
    assert 97 < rate.low < 100 < rate.high < 103


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--list"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for target in TARGETS:
        assert f"{target.what}: {target.bound_text}" in shown
    assert "messages: ≥ 1,000,000 messages/s" in shown
    assert main(["targets", "--seconds", "0"]) == ExitCode.USAGE


def test_on_this_host(tmp_path: Path) -> None:
    found, which = everything([LAST], tmp_path / "none.json", 0.2, start=False)
    assert which == "none"
    assert {target.key for target in TARGETS} == set(found), "each target has a value or a reason"
    assert isinstance(found["jitter"], Measured)
    assert isinstance(found["market_data"], Absent)
    assert isinstance(found["endpoint_switch"], Absent)


@pytest.mark.skipif(not FEED_HANDLER.exists(), reason="the feed handler is not built: make build")
def test_a_line_of_the_log_costs_something() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU alone: the log's thread has none")
    found = feed_handler.log_line(LAST)
    assert isinstance(found, Measured), found
    assert 0 < found.low <= found.value <= found.high < 1e5
    first = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", first, str(FEED_HANDLER), "measure", "--cpu", first]
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert alone.returncode == ExitCode.UNKNOWN
    assert "no CPU for the log's own thread" in alone.stderr


def test_a_feed_handler_that_cannot_say_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub = tmp_path / "feed"
    for script, said in (("echo no CPU >&2; exit 3", "no CPU"), ("echo nothing", "quietcore-feed measure")):
        stub.write_text(f"#!/bin/sh\n{script}\n")
        stub.chmod(0o755)
        monkeypatch.setenv("QUIETCORE_FEED", str(stub))
        missing = feed_handler.log_line(0)
        assert isinstance(missing, Absent)
        assert said in missing.why
    monkeypatch.setenv("QUIETCORE_FEED", str(tmp_path / "none"))
    missing = feed_handler.log_line(0)
    assert isinstance(missing, Absent)
    assert "no feed handler" in missing.why


def test_the_longest_switch_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub = tmp_path / "feed"
    stub.write_text(
        f"#!/bin/sh\necho $* >> {tmp_path}/asked\n"
        f"echo '{{\"ok\": true, \"milliseconds\": '$(wc -l < {tmp_path}/asked)'}}'\n"
    )
    stub.chmod(0o755)
    monkeypatch.setenv("QUIETCORE_FEED", str(stub))
    found = feed_handler.endpoint_switch(tmp_path / "control", "ws://127.0.0.1:5")
    assert isinstance(found, Measured)
    assert found.value == 3e6
    to = [line.split()[-1] for line in (tmp_path / "asked").read_text().splitlines()]
    assert to == ["ws://localhost:5", "ws://127.0.0.1:5", "ws://localhost:5"]
    assert isinstance(feed_handler.endpoint_switch(tmp_path, "ws://venue"), Absent)


@pytest.mark.skipif(not FEED_HANDLER.exists(), reason="the feed handler is not built: make build")
def test_a_pipeline_that_is_started_for_it_is_switched(tmp_path: Path) -> None:
    found, which = of_pipeline(tmp_path / "none.json", 0.1, start=True)
    assert "simulator" in which
    took = found["endpoint_switch"]
    assert isinstance(took, Measured), took
    assert 0 < took.value < 60e9
    assert {"market_data", "cpu", "page_faults"} <= set(found)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"signal": exactly(3.0, "so"), "messages": exactly(10.0), "log": Absent("no such call")}
    monkeypatch.setattr("quietcore.targets.measure.everything", lambda *_, **__: (found, "none"))
    assert main(["targets", "--cpus", str(LAST)]) == ExitCode.FOUND
    shown = capsys.readouterr().out
    assert shown.index("missed") < shown.index("met ")
    assert "no such call" in shown
    assert main(["targets", "--cpus", str(LAST), "--json"]) == ExitCode.FOUND
    report = json.loads(capsys.readouterr().out)
    assert {one["verdict"] for one in report["targets"]} == {MET, MISSED, NOT_HERE}


def test_the_steps_that_are_timed_do_their_work() -> None:
    bids = np.array([10.0, 11.0, 12.0, 13.0])
    ticks = np.stack([bids, np.full(4, 3.0), bids + 2, np.ones(4)], axis=1)
    bands = np.zeros(1, dtype=bollinger.state(compiled_steps.WINDOW))
    assert compiled_steps.indicator_steps(bands, ticks) > 0
    assert bands["middle"][0] == pytest.approx(bids.mean())
    signal = np.zeros(1, dtype=compiled_steps.SIGNAL)
    assert compiled_steps.signal_steps(signal, ticks) > 0
    assert signal["vwap"]["volume"][0] == 3.0 * 4 * compiled_steps.REPEATS
    assert 0 < signal["ok"][0] < 4 * compiled_steps.REPEATS
    ring, words = IntentRing(1024), np.zeros(WORDS, dtype=np.int64)
    assert compiled_steps.order_steps(ring.address, 1024, words, words.copy()) > 0
    assert ring.take() is None, "all were taken again"


def test_enough_latencies_are_waited_for_unless_clocks_disagree() -> None:
    hop = {"count": 100, "not_comparable": 0}
    assert pipeline.enough({"one": hop, "other": hop})
    assert not pipeline.enough({"one": hop, "other": {**hop, "count": 99}})
    assert pipeline.enough({"one": hop, "other": {"count": 0, "not_comparable": 7}})
