"""`quietcore run` and `quietcore status` as processes, with a ring and a venue of the tests' own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import INSTRUMENT, SECRET, FakeVenue

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
CONFIG = """
mode = "sim"
feed = "{feed}"
wait = "{wait}"
kill_file = "{folder}/kill"
strategy_cpu = {cpu}
gateway_cpu = {cpu}
[venue]
name = "bybit-linear"
rest = "{rest}"
private_websocket = "{websocket}"
order_websocket = "{order_websocket}"
{scout}
[strategy]
{strategy}
[risk]
order_size = "{size}"
max_position = "0.01"
max_order_rate = 50
price_band = 0.2
"""


class Market:
    """Keeps a writer's ring alive and moving from a thread."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Market:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        i = 0
        while not self._stop.wait(0.002):
            price = int(10_000 + 30 * math.sin(i / 8))
            self.writer.message([(price, 5), (price - 1, 4)], [(price + 1, 5)])
            self.writer.trade(price, 3)
            i += 1


class Run:
    """`quietcore run` under a service manager of the tests' own."""

    def __init__(self, folder: Path, feed: str, venue: FakeVenue, **options: Any) -> None:
        self.status_path: Path = options.get("status", folder / "runtime.json")
        config = folder / "runtime.toml"
        config.write_text(
            CONFIG.format(
                feed=feed,
                folder=options.get("kill_folder", folder),
                wait=options.get("wait", "nap"),
                cpu=options.get("cpu", -1),
                strategy=options.get("strategy", "parameters = {fast = 2, slow = 5}"),
                size=options.get("size", "0.001"),
                rest=options.get("rest", venue.url),
                websocket=venue.websocket_url,
                order_websocket=venue.websocket_url if options.get("by_socket") else "",
                scout=options.get("scout", ""),
            )
        )
        (folder / "key").write_text(options.get("key", "sim-key") + "\n")
        (folder / "secret").write_text(options.get("secret", SECRET) + "\n")
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(folder / "notify"))
        environment = {
            **os.environ,
            "PYTHONPATH": str(RUNTIME),
            "QUIETCORE_API_KEY_FILE": str(folder / "key"),
            "QUIETCORE_API_SECRET_FILE": str(folder / "secret"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            **options.get("environment", {}),
        }
        words = ["run", "--config", str(config), "--status", str(self.status_path), *options.get("words", [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quietcore", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options.get("process", {}),
        )

    def ready(self) -> None:
        """Wait for READY=1; compiling without a cache takes a while on a busy machine."""
        self.notifications.settimeout(0.2)
        end = time.monotonic() + 110
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self.notifications.recv(4096):
                    return
            assert self.process.poll() is None, self.process.communicate()
        raise AssertionError("not ready in time")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str, float]:
        """Send a signal; return exit code, output, errors, seconds."""
        started = time.monotonic()
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=30)
        return self.process.returncode, out, errors, time.monotonic() - started

    def result(self) -> tuple[int, str, str]:
        out, errors = self.process.communicate(timeout=110)
        return self.process.returncode, out, errors

    def status(self) -> dict[str, Any]:
        """Return what it last wrote; from READY on there is one."""
        found: dict[str, Any] = json.loads(self.status_path.read_text())
        return found

    def until(self, condition: Any, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.notifications.close()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.close()


def shown(status: Path) -> dict[str, Any]:
    """Return what `quietcore status` says."""
    done = subprocess.run(
        [sys.executable, "-m", "quietcore", "status", "--json", "--status", str(status)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_from_tick_to_fill_and_to_the_report(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue() as venue, Market(make_writer(capacity=65536)) as market:
        run = Run(tmp_path, feed, venue, words=["--json"])
        runs.append(run)
        run.ready()
        first = run.status()  # READY comes with it: who waits for the one reads the other
        assert (first["pid"], first["final"]) == (run.process.pid, False)
        run.until(lambda: len(venue.created) >= 3)
        live = shown(run.status_path)
        # The writer is a thread of this test: put off in mid-write, it leaves its book busy for a moment.
        run.until(lambda: (live.update(shown(run.status_path)) or live["feeds"][feed]["books"]["LIVE"]) == 1)
        market.stop()
        code, out, errors, seconds = run.end()
        created = len(venue.created)
        assert venue.bad_signatures == 0
    assert live["runtime"]["final"] is False
    assert live["feeds"][feed]["producer"] == "alive"
    assert live["feeds"][feed]["books"]["LIVE"] == 1
    assert {thread["name"] for thread in live["runtime"]["threads"]} >= {"gateway", "strategy"}
    final = json.loads(out)
    assert code == 0, errors
    assert seconds < 2.0
    assert final == run.status()
    assert final["final"] is True
    assert final["ticks"]["dropped"] == 0
    assert final["compiled_since_ready"] == 0
    assert final["signals"] == created + final["orders"]["refused_by_risk"] + final["orders"]["withheld"]
    orders = final["orders"]
    assert orders["sent"] == orders["acknowledged"] == created >= 3
    assert final["fills"] >= 3
    assert orders["open"] == 0
    for name in ("venue_received", "received_published", "published_read", "read_signal", "signal_sent"):
        hop = final["hops"][name]
        assert hop["count"] > 0, name
        assert 0 <= hop["p50"] <= hop["p99"] <= hop["max"], name
    symbol = final["symbols"]["BTCUSDT"]
    writer = market.writer
    bids, asks = writer.ladders[0]
    assert [tuple(level) for level in symbol["bids"]] == bids
    assert [tuple(level) for level in symbol["asks"]] == asks
    assert SECRET not in out + errors + run.status_path.read_text()


def test_it_goes_over_to_a_ring_that_was_made_again(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    """The old one was never closed: its feed handler died, or somebody removed it."""
    with FakeVenue() as venue:
        with Market(make_writer(capacity=65536)):
            run = Run(tmp_path, feed, venue)
            runs.append(run)
            run.ready()
            run.until(lambda: venue.created)
        with Market(make_writer(capacity=65536)):
            run.until(lambda: run.status()["feed_state"]["attachments"] == 2)
            created = len(venue.created)
            run.until(lambda: len(venue.created) > created)
            assert run.end()[0] == 0


def test_orders_go_by_websocket_at_the_elected_endpoint(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    """The scouter elects while it trades; where the socket is lost and refused, REST takes over until it is back."""
    cpu = sorted(os.sched_getaffinity(0))[-1]
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        run = Run(
            tmp_path,
            feed,
            venue,
            words=["--json"],
            wait="spin",
            cpu=cpu,
            by_socket=True,
            scout="[scout]\nenabled = true\ncheck_interval = 0.2\nswitch_interval = 0.3",
        )
        runs.append(run)
        run.ready()
        run.until(lambda: run.status()["endpoints"]["switches"] >= 1)
        run.until(lambda: venue.by_socket >= 3)
        endpoints = run.status()["endpoints"]
        assert (endpoints["rest"], endpoints["websocket"]) == (venue.url, venue.websocket_url)
        assert endpoints["addresses"] == {"127.0.0.1": "127.0.0.1"}
        threads = {thread["tid"]: thread for thread in run.status()["threads"]}
        # Helpers have the name of the thread that made them.
        assert threads.pop(run.process.pid)["name"] == "runtime"
        assert [thread["allowed"] for thread in threads.values() if thread["name"] == "gateway"] == [str(cpu)]
        assert run.status()["pinned"]["gateway"] is True
        venue.no_trade_socket = True
        venue.call(venue.drop_trade_sockets)
        run.until(lambda: len(venue.created) > venue.by_socket)
        venue.no_trade_socket = False
        run.until(lambda: run.status()["order_entry"]["by_rest"] >= 1)
        by_socket = venue.by_socket
        run.until(lambda: venue.by_socket > by_socket)
        code, out, errors, _ = run.end()
    assert code == 0, errors
    final = json.loads(out)
    links = [order["orderLinkId"] for order in venue.created]
    assert len(set(links)) == len(links) == final["orders"]["sent"]
    ways = final["order_entry"]
    assert ways["by_websocket"] >= venue.by_socket
    assert ways["by_rest"] >= len(links) - venue.by_socket >= 1
    assert final["compiled_since_ready"] == 0
    assert final["hops"]["signal_sent"]["count"] == len(links)


def test_parameters_are_taken_at_sighup(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, words=["--json"])
        runs.append(run)
        run.ready()
        config = tmp_path / "runtime.toml"
        good = config.read_text()
        config.write_text(good.replace("fast = 2", "fast = 9"))
        run.process.send_signal(signal.SIGHUP)
        run.until(lambda: run.process.poll() is None and '"warnings": []' not in run.status_path.read_text())
        config.write_text(good.replace("fast = 2", "fast = 3"))
        run.process.send_signal(signal.SIGHUP)
        run.until(lambda: run.status()["strategy"]["parameter_swaps"] == 1)
        assert run.status()["strategy"]["parameters"]["fast_alpha"] == 0.5
        code, out, errors, seconds = run.end()
    assert code == 0, errors
    assert seconds < 2.0
    assert "parameters stay as they were: bad value" in errors
    assert json.loads(out)["compiled_since_ready"] == 0


def test_ends_by_itself_with_tables(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, words=["--seconds", "1"], wait="spin")
        runs.append(run)
        code, out, errors = run.result()
    assert code == 0, errors
    for text in ("ticks read", "signal → order sent", "BTCUSDT", "strategy", "gateway"):
        assert text in out


def test_open_orders_are_cancelled_at_the_end(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, words=["--json"])
        runs.append(run)
        run.ready()
        run.until(lambda: venue.created)
        code, out, errors, seconds = run.end(signal.SIGINT)
        states = {order["orderStatus"] for order in venue.orders.values()}
    assert code == 0, errors
    assert seconds < 2.0
    assert states == {"Cancelled"}
    assert json.loads(out)["orders"]["open"] == 0


def test_works_where_nothing_can_be_written(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    """No cache folder, no status folder: compiled anew, one warning, and on it goes."""
    nowhere = {
        "NUMBA_CACHE_DIR": "/proc/nowhere",
        "HOME": "/proc/nowhere",
        "XDG_CACHE_HOME": "/proc/nowhere",
        "CACHE_DIRECTORY": "/proc/nowhere",
    }
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        words = ["--status", "/proc/nowhere/runtime.json", "--seconds", "2"]
        run = Run(tmp_path, feed, venue, words=words, environment=nowhere)
        runs.append(run)
        code, out, errors = run.result()
    assert code == 0, errors
    assert errors.count("status cannot be written: /proc/nowhere/runtime.json") == 1
    assert errors.count("heartbeat cannot be written: /proc/nowhere/heartbeat") == 1
    assert "ticks read" in out


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ({"size": "0.0005"}, 2, r"size is no multiple of the lot: .*risk\.order_size; found 0\.0005"),
        ({"secret": "wrong"}, 3, "auth refused"),
        ({"cpu": '"plan"'}, 2, "core plan is missing"),
        (
            {"strategy": 'name = "luck"'},
            2,
            "unknown strategy: .*found 'luck'; expected one of crossing, panic",
        ),
        (
            {"strategy": "parameters = {fast = 9, slow = 5}"},
            2,
            r"bad value: .*runtime\.toml: strategy\.parameters of crossing; found fast 9 and slow 5",
        ),
    ],
)
def test_refuses_to_start(
    make_writer: MakeWriter,
    feed: str,
    tmp_path: Path,
    runs: list[Run],
    options: dict[str, Any],
    code: int,
    expected: str,
) -> None:
    import re

    if options.get("cpu") and Path("/etc/quietcore/plan.json").exists():
        pytest.skip("this machine has a core plan")
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, **options)
        runs.append(run)
        found, out, errors = run.result()
    assert found == code, errors
    assert re.search(expected, errors), errors
    assert [line for line in errors.splitlines() if "warning" not in line] == [errors.splitlines()[-1]]
    assert out == ""
    assert venue.created == []


def test_feed_and_venue_that_disagree(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue() as venue, Market(make_writer(capacity=65536, tick=(1, 2))):
        run = Run(tmp_path, feed, venue)
        runs.append(run)
        code, _, errors = run.result()
    assert code == 2
    assert "feed and venue disagree about the tick size: BTCUSDT; found 0.01 in the feed" in errors


def test_an_order_that_is_worth_too_little_for_the_venue(
    make_writer: MakeWriter, feed: str, tmp_path: Path, runs: list[Run]
) -> None:
    with FakeVenue() as venue, Market(make_writer(capacity=65536)):
        least = {**INSTRUMENT["lotSizeFilter"], "minNotionalValue": "5"}
        venue.instrument, venue.price = {**INSTRUMENT, "lotSizeFilter": least}, "200"
        run = Run(tmp_path, feed, venue)
        runs.append(run)
        code, _, errors = run.result()
    assert code == 2
    assert "0.001 × 200 = 0.2, and the venue's least value of an order is 5" in errors
    assert "raise risk.order_size to 0.025 or more" in errors
    assert venue.created == []


def quietcore(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quietcore", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        timeout=60,
        check=False,
    )


def test_check_validates_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "runtime.toml"
    path.write_text(
        CONFIG.format(
            **{"feed": "f", "wait": "nap", "cpu": -1, "size": "0.001", "folder": tmp_path},
            **{"rest": "http://h", "websocket": "ws://h", "strategy": "", "order_websocket": "", "scout": ""},
        )
    )
    assert quietcore("run", "--config", str(path), "--check").returncode == 0
    path.write_text(path.read_text() + "\ncolour = 1\n")
    done = quietcore("run", "--config", str(path), "--check")
    assert done.returncode == 2
    assert "risk.colour" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_of_nothing(tmp_path: Path, feed: str) -> None:
    done = quietcore("status", "--json", "--feed", feed, "--status", str(tmp_path / "none.json"))
    assert done.returncode == 3
    state = json.loads(done.stdout)
    assert "no such feed" in state["feeds"][feed]["error"]
    assert "no status of a runtime" in state["runtime_problem"]


def test_status_shows_feeds_and_watches(make_writer: MakeWriter, feed: str, tmp_path: Path) -> None:
    with Market(make_writer(capacity=65536)):
        words = ["status", "--feed", feed, "--status", str(tmp_path / "none.json")]
        done = quietcore(*words, "--watch", "0.3", "--count", "3", "--json")
        tables = quietcore(*words)
    assert done.returncode == 0, done.stderr
    looks = [json.loads(line)["feeds"][feed] for line in done.stdout.splitlines()]
    assert len(looks) == 3
    assert looks[0]["published"] < looks[1]["published"] < looks[2]["published"]
    assert looks[2]["ticks_per_second"] > 0
    assert tables.returncode == 0
    assert feed in tables.stdout
    assert "alive" in tables.stdout
    assert max(len(line.rstrip()) for line in tables.stdout.splitlines() if "│" in line) <= 80


def test_status_of_another_version(tmp_path: Path, feed: str) -> None:
    path = tmp_path / "runtime.json"
    path.write_text('{"version": 99}')
    done = quietcore("status", "--json", "--feed", feed, "--status", str(path))
    assert "status of another version" in json.loads(done.stdout)["runtime_problem"]


@pytest.mark.parametrize("words", [["--watch", "0"], ["--count", "2"], ["--watch", "1", "--count", "0"]])
def test_bad_options_of_status(words: list[str]) -> None:
    assert quietcore("status", *words).returncode == 2
