"""`quietcore metrics`: what it says is what rings and files say, over real HTTP."""

from __future__ import annotations

import gzip
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.monitoring.scene import Scene, environment, fetch, histogram, server
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.bridge.follower import STATE_NAMES
from quietcore.cli.main import main
from quietcore.histogram import BOUNDS_NS, BUCKETS, Histogram, bucket_of, cumulative
from quietcore.monitoring.exposition import BOOK_STATES, jitter_families, registry
from quietcore.monitoring.feeds import GAUGES
from quietcore.monitoring.interruptions import InterruptionWatch
from quietcore.monitoring.snapshot import Observer, Sources

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """Return samples by name and sorted labels; names are unique."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"quietcore_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def scene(tmp_path: Path, feed: str) -> Scene:
    return Scene(tmp_path, feed)


@pytest.fixture
def observer(scene: Scene) -> Iterator[Observer]:
    made = Observer(
        Sources(
            (scene.feed,),
            scene.status_path,
            scene.guard_path,
            scene.kill_path,
            (scene.audit_folder,),
            scene.plan_path,
            most_books=2,
        )
    )
    yield made
    made.close()


def scrape(observer: Observer) -> Samples:
    from prometheus_client import generate_latest

    return parsed(generate_latest(registry(observer)).decode())


def received(writer: Any, symbol: int, receive_ns: int) -> None:
    """Write when a book's last message was received, which the writer leaves out."""
    start = writer.table_offset + symbol * writer.stride
    writer.bytes[start : start + layout.BOOK.itemsize].view(layout.BOOK)[0]["receive_ns"] = receive_ns


def test_a_scrape_over_http_says_what_ring_and_files_say(make_writer: MakeWriter, scene: Scene) -> None:
    writer = make_writer(symbols=("BTCUSDT", "ETHUSDT", "XRPUSDT"))
    writer.statistics["messages"], writer.statistics["gaps"] = 1234, 3
    writer.statistics["cpu"], writer.statistics["locked_kib"] = 5, 2048
    writer.message([(100, 5)], [(101, 7)])
    writer.message([(200, 5)], [(201, 7)], symbol=1, state=layout.STATE_STALE)
    received(writer, 0, time.time_ns())
    received(writer, 1, time.time_ns())
    with server("metrics", *scene.options(), "--books", "2") as (process, address):
        writer.beat()
        scene.beat()
        status, headers, body = fetch(f"{address}/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        samples = parsed(body.decode())
        feed = {"feed": scene.feed}
        assert value(samples, "feed_up", **feed) == 1
        assert value(samples, "feed_info", **feed, venue="bybit-linear") == 1
        assert value(samples, "ring_published_ticks_total", **feed) == writer.next
        assert value(samples, "ring_capacity_ticks", **feed) == 1024
        assert value(samples, "feed_messages_total", **feed) == 1234
        assert value(samples, "feed_gaps_total", **feed) == 3
        assert value(samples, "feed_locked_kib", **feed) == 2048
        counts = {state: value(samples, "books", **feed, state=state) for state in ("live", "stale", "empty")}
        assert counts == {"live": 1, "stale": 1, "empty": 1}
        assert value(samples, "book_state", **feed, symbol="BTCUSDT") == 3
        assert value(samples, "book_messages_total", **feed, symbol="ETHUSDT") == 1
        assert 0 <= value(samples, "book_age_seconds", **feed, symbol="BTCUSDT") < 30
        ages = {key[1] for key in samples if key[0] == "quietcore_book_age_seconds"}
        assert ages == {(("feed", scene.feed), ("symbol", "BTCUSDT"))}, "a stale book has no age"
        assert value(samples, "runtime_up") == 1
        assert value(samples, "runtime_ticks_total", kind="level") == 50
        assert value(samples, "orders_total", event="filled") == 3
        assert value(samples, "orders_open") == 1
        assert value(samples, "risk_refusals_total", reason="position") == 2
        assert value(samples, "position", symbol="BTCUSDT") == 0.002
        assert value(samples, "hop_latency_seconds_count", hop="read_signal") == 10
        assert value(samples, "hop_latency_max_seconds", hop="read_signal") == 300 * 2**9 / 1e9
        assert value(samples, "kill_switch") == 0
        assert value(samples, "guard_armed") == 1
        assert value(samples, "audit_passed") == 1
        assert ("process_cpu_seconds_total", ()) in samples
        assert value(samples, "thread_pinned", thread="strategy") == 1
        causes = {dict(key[1])["cause"] for key in samples if key[0] == "quietcore_core_interruptions_total"}
        assert causes == {"interrupt", "softirq"}
        # The same as OpenMetrics and packed.
        asked = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
        status, headers, body = fetch(f"{address}/metrics", **asked)
        assert "openmetrics-text" in headers["Content-Type"]
        assert gzip.decompress(body).endswith(b"# EOF\n")
        # Loopback alone, nothing to write, nobody else's name.
        assert fetch(f"{address}/nothing")[0] == 404
        assert fetch(f"{address}/metrics", Host="rebound.example")[0] == 403
        listening = Path(f"/proc/{process.pid}/net/tcp").read_text()
        port = int(address.rpartition(":")[2])
        assert re.search(rf" 0100007F:{port:04X} 00000000:0000 0A ", listening)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


INTERRUPTS = """\
           CPU0       CPU1
 36:         10          5   PCI-MSI   virtio1-req.0
LOC:        100          1   Local timer interrupts
ERR:          9
"""
SOFTIRQS = """\
                    CPU0       CPU1
       TIMER:         70          0
"""
STAT = "cpu  0 0 0 0 0 0 0 0\ncpu0 1 0 1 9 0 0 0 200\ncpu1 1 0 1 9 0 0 0 0\n"


def test_jitter_is_what_the_kernel_counted(scene: Scene, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for tid, taken in ((11, 7), (12, 0)):
        (proc / str(tid)).mkdir(parents=True)
        (proc / str(tid) / "status").write_text(
            f"Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t{taken}\n"
        )
        (proc / str(tid) / "schedstat").write_text("5000000 250000000 47\n")
    for name, text in (("interrupts", INTERRUPTS), ("softirqs", SOFTIRQS), ("stat", STAT)):
        (proc / name).write_text(text)
    scene.plan_path.write_text('{"sets": {"housekeeping": [0], "strategy": [1]}, "isolated": [1]}')
    watch = InterruptionWatch(scene.plan_path, proc, least_seconds=60)
    threads = [
        {"name": "gateway", "tid": 10, "allowed": "0-1"},
        {"name": "strategy", "tid": 11, "allowed": "1"},
    ]
    feeds: dict[str, Any] = {
        "sim": {"producer": "alive", "pid": 12, "statistics": {"cpu": 0}},
        "old": {"producer": "silent", "pid": 11, "statistics": {"cpu": 1}},
        "none": {"error": "not there"},
    }
    look = watch.look({"state": "alive", "threads": threads}, feeds)
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in jitter_families(look)
        for sample in family.samples
    }
    quiet = {"cpu": "1", "role": "strategy", "isolated": "true"}
    busy = {"cpu": "0", "role": "housekeeping", "isolated": "false"}
    assert value(samples, "core_interruptions_total", **quiet, cause="interrupt") == 6
    assert value(samples, "core_interruptions_total", **busy, cause="interrupt") == 110
    assert value(samples, "core_interruptions_total", **busy, cause="softirq") == 70
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert value(samples, "core_steal_seconds_total", **busy) == pytest.approx(200 * tick)
    assert value(samples, "thread_pinned", thread="strategy") == 1
    assert value(samples, "thread_pinned", thread="feed sim") == 0
    assert value(samples, "thread_switches_total", thread="strategy", kind="taken") == 7
    assert value(samples, "thread_switches_total", thread="strategy", kind="given_up") == 40
    assert value(samples, "thread_waited_seconds_total", thread="strategy") == 0.25
    named = {dict(labels).get("thread") for _, labels in samples}
    assert named == {None, "strategy", "feed sim"}, "who has ended has no figures"
    # The tables are read at most once in a while, the threads each time.
    (proc / "interrupts").write_text(INTERRUPTS.replace(" 100 ", " 900 "))
    assert watch.look(None, {}) == {"cores": look["cores"], "threads": []}


def test_hidden_counters_are_no_error(scene: Scene, tmp_path: Path) -> None:
    watch = InterruptionWatch(scene.plan_path, tmp_path / "nothing")
    assert watch.look(None, {}) == {"cores": [], "threads": []}


def test_every_field_of_the_statistics_page_is_there(make_writer: MakeWriter, observer: Observer) -> None:
    make_writer()
    samples = {name for name, _ in scrape(observer)}
    for field in layout.STATISTICS.names or ():
        if not field.startswith("reserved"):
            suffix = "" if field in GAUGES else "_total"
            assert f"quietcore_feed_{field}{suffix}" in samples


def test_what_is_away_is_told_and_comes_back(
    make_writer: MakeWriter, scene: Scene, observer: Observer
) -> None:
    """No ring, a silent producer, a new segment of the same name, no runtime, a silent one, an ended one."""
    feed = {"feed": scene.feed}
    assert value(scrape(observer), "feed_up", **feed) == 0
    writer = make_writer()
    assert value(scrape(observer), "feed_up", **feed) == 1
    writer.header["heartbeat_ns"] -= 10_000_000_000
    samples = scrape(observer)
    assert value(samples, "feed_up", **feed) == 0
    assert value(samples, "feed_heartbeat_age_seconds", **feed) > 9
    writer.remove()
    again = make_writer()
    again.statistics["messages"] = 77
    samples = scrape(observer)
    assert value(samples, "feed_up", **feed) == 1
    assert value(samples, "feed_messages_total", **feed) == 77
    assert value(samples, "runtime_up") == 1
    scene.status["final"] = True
    scene.beat()
    samples = scrape(observer)
    assert (value(samples, "runtime_up"), value(samples, "runtime_ended")) == (0, 1)
    scene.status_path.unlink()
    scene.guard_path.unlink()
    (scene.audit_folder / "report").unlink()
    samples = scrape(observer)
    assert (value(samples, "runtime_up"), value(samples, "runtime_ended")) == (0, 0)
    names = {name for name, _ in samples}
    assert not names & {"quietcore_orders_total", "quietcore_guard_fired_total", "quietcore_audit_passed"}


def test_a_silent_runtime_is_not_up(
    scene: Scene, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = time.time() + 10
    monkeypatch.setattr("quietcore.monitoring.snapshot.time.time", lambda: late)
    samples = scrape(observer)
    assert (value(samples, "runtime_up"), value(samples, "runtime_ended")) == (0, 0)
    assert value(samples, "runtime_status_age_seconds") >= 10


def test_kill_switch_drift_and_guard(scene: Scene, observer: Observer) -> None:
    scene.kill_path.write_text("enough\n")
    scene.audit(passed=False)
    scene.guard(fired=2, failures=1)
    samples = scrape(observer)
    assert value(samples, "kill_switch") == 1
    assert value(samples, "audit_passed") == 0
    assert value(samples, "audit_finding", id="sysctl.vm.swappiness", verdict="drift") == 1
    assert (value(samples, "guard_fired_total"), value(samples, "guard_armed")) == (2, 0)


def test_times_of_a_recording_are_no_age(make_writer: MakeWriter, scene: Scene, observer: Observer) -> None:
    writer = make_writer()
    writer.message([(100, 5)], [(101, 7)])
    received(writer, 0, time.time_ns())
    assert value(scrape(observer), "books_oldest_live_age_seconds", feed=scene.feed) < 60
    received(writer, 0, 1_700_000_000 * 10**9)
    names = {name for name, _ in scrape(observer)}
    assert "quietcore_books_oldest_live_age_seconds" not in names


def test_the_histogram_never_counts_below_a_bound_what_is_above_it() -> None:
    values = [1, 99, 100, 101, 249, 1000, 1001, 49_999, 50_001, 10**6, 10**6 + 1, 3 * 10**9, 10**12]
    part = histogram(*values)["cumulative"]
    for bound, count in zip(BOUNDS_NS, part["counts"], strict=True):
        assert count <= sum(item <= bound for item in values), bound
        assert count >= sum(item <= bound * (1 - 1 / 64) for item in values), bound
    assert math.isclose(part["sum"], sum(values), rel_tol=0.01)
    full = Histogram()
    full.buckets[0, :] = 1
    assert cumulative(full.buckets[0])["counts"][-1] == bucket_of(10**10) < BUCKETS


def test_a_status_of_an_older_release_has_no_histogram(scene: Scene, observer: Observer) -> None:
    for hop in scene.status["hops"].values():
        del hop["cumulative"]
    scene.beat()
    samples = scrape(observer)
    assert value(samples, "runtime_up") == 1
    assert not any(name.startswith("quietcore_hop") for name, _ in samples)


def test_a_scrape_is_cheap(make_writer: MakeWriter, observer: Observer, scene: Scene) -> None:
    """500 books are looked at and written within what ten scrapes a second leave many times over, in CPU time."""
    make_writer(symbols=tuple(f"S{number}USDT" for number in range(500)))
    scrape(observer)
    best = math.inf
    for _ in range(5):
        began = time.thread_time()
        scrape(observer)
        best = min(best, time.thread_time() - began)
    assert best < 0.05


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--listen", "9420"], "expected HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "expected HOST:PORT"),
        (["--books", "-1"], "expected 0 or more"),
    ],
)
def test_bad_options(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", *words]) == 2
    assert part in capsys.readouterr().err


def test_many_scrapers_at_once_and_an_address_that_is_taken(make_writer: MakeWriter, scene: Scene) -> None:
    make_writer()
    with server("metrics", *scene.options()) as (_, address):
        results: list[Any] = []
        threads = [
            threading.Thread(target=lambda: results.append(fetch(f"{address}/metrics")[0])) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [200] * 20
        words = ["metrics", "--listen", address.removeprefix("http://"), *scene.options()]
        command = [sys.executable, "-m", "quietcore", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment(), check=False, timeout=60
        )
        assert done.returncode == 2
        assert "cannot listen: 127.0.0.1" in done.stderr
        assert "--listen" in done.stderr


def test_every_state_of_a_book_has_its_number() -> None:
    assert {name: number for number, name in STATE_NAMES.items()} == BOOK_STATES
