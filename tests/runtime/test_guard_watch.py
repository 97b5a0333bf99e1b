"""The guard never stops looking: a heartbeat lost, replaced, cut short, stale or of another boot, a venue away."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.small_disk import small_disk
from tests.runtime.test_run import Market, Run
from tests.runtime.test_safety import CONFIG

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution import guard as guard_module
from quietcore.execution import guard_report, heartbeat
from quietcore.execution.guard import Guard, Pulse, prove
from quietcore.execution.guard_pulse import HeartbeatPulse
from quietcore.execution.heartbeat import Heartbeat
from quietcore.execution.identity import process_start
from quietcore.execution.reserve import Reserve, allocate
from quietcore.venues.interface import Nature, Trouble, UncertainError

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
OURS = "q0123456789abcdef-7"


class Clock:
    def __init__(self) -> None:
        self.ns = time.monotonic_ns()

    def __call__(self) -> int:
        return self.ns


def test_what_a_heartbeat_says_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "heartbeat", Clock()
    pulse = HeartbeatPulse(path, 2.0, clock)
    assert pulse() is Pulse.STOPPED
    assert "not there" in pulse.why()
    heart = Heartbeat(path)
    heart.beat()
    clock.ns = time.monotonic_ns()
    assert pulse() is Pulse.ALIVE

    def damaged(change: Callable[[], object], why: str) -> None:
        """A file that is no beat lets the last one grow old, and is named when it has."""
        heart.beat()
        clock.ns = time.monotonic_ns()
        assert pulse() is Pulse.ALIVE
        change()
        assert pulse() is Pulse.ALIVE, "its last beat is fresh"
        clock.ns += 2_100_000_000
        assert pulse() is Pulse.STOPPED
        assert why in pulse.why()
        heart.beat()
        clock.ns = time.monotonic_ns()
        assert pulse() is Pulse.ALIVE, "and back"

    damaged(path.unlink, "not there")
    damaged(lambda: os.truncate(path, 0), "cut short to 0 bytes")
    damaged(lambda: os.truncate(path, 12), "cut short to 12 bytes")
    damaged(lambda: path.rename(tmp_path / "elsewhere"), "not there")

    def replaced(content: bytes) -> None:
        path.unlink()
        path.write_bytes(content)

    damaged(lambda: replaced(b"x" * 4096), "not a heartbeat")
    damaged(lambda: replaced(bytes(4096)), "empty")
    assert heart.remade == 6
    content = path.read_bytes()
    page = bytearray(content)
    page[12:16] = (9).to_bytes(4, "little")
    damaged(lambda: path.write_bytes(page), "unknown state 9")
    assert heart.remade == 6, "written over in place, it is beaten over in place"

    def other(**changes: int) -> None:
        beat = heartbeat.read(path)
        assert beat is not None
        state = {"pid": beat.pid, "state": heartbeat.ALIVE, "start": beat.process_start, "ns": beat.beat_ns}
        state.update(changes)
        page = heartbeat.LAYOUT.pack(
            heartbeat.MAGIC, state["pid"], state["state"], state["start"], state["ns"]
        )
        path.write_bytes(page.ljust(heartbeat.SIZE, b"\0"))

    for changes, why in (
        ({"start": 1}, "is gone"),
        ({"pid": 1}, "is gone"),
        ({"ns": clock.ns + 3_600_000_000_000}, "of another boot"),
        ({"ns": clock.ns - 3_000_000_000}, "has not beaten for"),
    ):
        heart.beat()
        clock.ns = time.monotonic_ns()
        other(**changes)
        assert pulse() is Pulse.STOPPED, changes
        assert why in pulse.why()
    heart.beat()
    clock.ns = time.monotonic_ns()
    assert pulse() is Pulse.ALIVE
    heart.end()
    assert pulse() is Pulse.ENDED
    path.unlink()
    assert pulse() is Pulse.STOPPED, "a file that is gone says nothing about good order"


def test_a_heartbeats_space_is_there_before_it_is_needed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(QuietcoreError, match=r"heartbeat cannot be written.*ENOSPC.*remedy: free space"):
            Heartbeat(disk.path / "heartbeat")
        disk.free()
        heart = Heartbeat(disk.path / "heartbeat")
        disk.fill()
        heart.beat()
        assert heart.mark("in the last blocks")
        assert heartbeat.killed(disk.path / "heartbeat") == "in the last blocks"
        os.truncate(disk.path / "heartbeat", 0)
        disk.fill()
        with pytest.raises(QuietcoreError, match="ENOSPC"):
            heart.beat()
        disk.free()
        heart.beat()
        assert heartbeat.killed(disk.path / "heartbeat") == "in the last blocks"
        assert heartbeat.forget_kill(disk.path / "heartbeat")
        assert not heartbeat.forget_kill(disk.path / "heartbeat")
        heart.close()


def test_a_file_system_that_cannot_allocate_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    (tmp_path / "file").write_bytes(b"beat")
    with (tmp_path / "file").open("r+b") as file:
        allocate(file.fileno(), 4096)
    assert (tmp_path / "file").read_bytes() == b"beat".ljust(4096, b"\0")


class Order:
    def __init__(self, client_id: str) -> None:
        self.client_id = client_id


class Venue:
    """Open orders by id, and what goes wrong next."""

    request_lifetime = -1.0

    def __init__(self) -> None:
        self.open: list[str] = []
        self.errors: list[Exception] = []
        self.cancels = 0
        self.armed: list[int] = []

    async def open_orders(self, symbol: str) -> list[Order]:
        if self.errors:
            raise self.errors.pop(0)
        return [Order(client_id) for client_id in self.open]

    async def cancel_all(self, symbol: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.cancels += 1
        self.open.clear()

    async def arm_disconnect_cancel(self, seconds: int) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.armed.append(seconds)


class Watch:
    """A guard on a venue and a pulse of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard_module, "LOOK_AGAIN_SECONDS", 0.05)
        monkeypatch.setattr(guard_module, "REPORT_AGAIN_SECONDS", 0.05)
        monkeypatch.setattr(guard_module, "PROVE_FIRST_SECONDS", 0.01)
        monkeypatch.setattr(guard_module, "PROVE_MOST_SECONDS", 0.02)
        self.venue: Any = Venue()
        self.pulse = Pulse.STOPPED
        self.said: list[str] = []
        self.reports: list[dict[str, int]] = []
        self.report_error: QuietcoreError | None = None
        self.stop = asyncio.Event()
        self.guard = Guard(cast(Any, self.venue), lambda: self.pulse, self.said.append, self._report)

    def fired(self, times: int) -> bool:
        return self.guard.counts.fired == times and self.guard.done

    def _report(self, state: dict[str, int]) -> None:
        if self.report_error is not None:
            raise self.report_error
        self.reports.append(state)

    @contextlib.asynccontextmanager
    async def watching(self) -> Any:
        task = asyncio.create_task(self.guard.watch(self.stop))
        yield
        self.stop.set()
        await asyncio.wait_for(task, 5)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)


def test_a_runtime_without_a_heartbeat_is_cancelled_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeat was deleted, it trades on: what it orders later is cancelled too, and its death is noticed."""

    async def story() -> None:
        watch = Watch(monkeypatch)
        async with watch.watching():
            await watch.until(lambda: watch.guard.done)
            for fired in (2, 3):
                watch.venue.open.append(OURS)
                await watch.until(partial(watch.fired, fired))
                assert watch.venue.open == []
            # What somebody does by hand while the runtime is gone is let alone.
            cancels = watch.venue.cancels
            watch.venue.open.append("by-hand")
            await asyncio.sleep(0.3)
            assert (watch.venue.open, watch.venue.cancels) == (["by-hand"], cancels)
            watch.venue.open.clear()
            # The same after an end in good order that was none.
            watch.pulse = Pulse.ALIVE
            await watch.until(lambda: watch.guard.armed)
            watch.pulse = Pulse.ENDED
            await watch.until(lambda: not watch.guard.armed)
            watch.venue.open.append(OURS)
            watch.pulse = Pulse.STOPPED
            await watch.until(lambda: watch.venue.open == [])
            # It looks on where the venue does not answer, and says it once each way.
            watch.venue.errors = [UncertainError("away"), ValueError("garbled"), OSError(24, "no descriptor")]
            await watch.until(lambda: not watch.venue.errors)
            await watch.until(lambda: any("sees again" in line for line in watch.said))
            assert sum("cannot see" in line for line in watch.said) == 1

    asyncio.run(story())


def test_whatever_a_sweep_meets_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        watch.venue.errors = [
            UncertainError("away"),
            ValueError("garbled"),
            MemoryError(),
            OSError(24, "none"),
        ]
        watch.venue.open = [OURS]
        async with watch.watching():
            await watch.until(lambda: watch.guard.done)
        assert watch.venue.open == []
        assert watch.guard.counts.failures == 4

    asyncio.run(story())


def test_a_guard_that_is_told_to_stop_while_it_cancels_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        watch.venue.errors = [UncertainError("away")] * 1000
        async with watch.watching():
            await watch.until(lambda: watch.guard.counts.failures >= 2)
        assert any("stopped while cancelling" in line for line in watch.said)

    asyncio.run(story())


def test_the_report_comes_back_when_the_disk_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        watch.report_error = QuietcoreError("status cannot be written", found="ENOSPC")
        async with watch.watching():
            await watch.until(lambda: watch.guard.done)
            await asyncio.sleep(0.2)
            assert watch.reports == []
            watch.report_error = None
            await watch.until(lambda: watch.reports)
            assert watch.reports[-1]["done"] == 1
        assert sum("ENOSPC" in line for line in watch.said) == 1
        assert sum("report is written again" in line for line in watch.said) == 1

    asyncio.run(story())


def test_a_venue_that_is_away_at_the_start_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        watch.venue.errors = [UncertainError("away")] * 3
        await asyncio.wait_for(prove(watch.venue, "venue", 0, watch.said.append), 5)
        assert [line.split(":")[0] for line in watch.said] == ["venue does not answer yet", "venue answers"]
        watch.venue.errors = []
        proving = asyncio.create_task(prove(watch.venue, "venue", 10, watch.said.append))
        await asyncio.wait_for(proving, 5)
        assert watch.venue.armed == [10]

    asyncio.run(story())


def test_a_guard_that_is_needed_goes_on_though_the_venue_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused now, a clock that jumped or a key that is looked up elsewhere, may be taken when it counts."""
    refusal = Trouble("10002 invalid request", nature=Nature.ACCESS)

    async def story() -> None:
        watch = Watch(monkeypatch)
        needed = [True]

        def refuse(times: int) -> None:
            watch.venue.errors = [UncertainError(refusal.found, 0, refusal) for _ in range(times)]

        refuse(6)
        await asyncio.wait_for(prove(watch.venue, "venue", 0, watch.said.append, lambda: needed[0]), 10)
        assert [line.split(":")[0] for line in watch.said] == ["venue does not answer yet", "venue answers"]
        refuse(6)
        needed[0] = False
        with pytest.raises(UncertainError, match="10002"):
            await asyncio.wait_for(prove(watch.venue, "venue", 0, watch.said.append, lambda: needed[0]), 10)
        assert len(watch.venue.errors) == 3, "nobody needs it: three are enough to say that the key is wrong"

    asyncio.run(story())


def test_it_is_needed_from_a_runtimes_first_beat_until_everything_of_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        async with watch.watching():
            await watch.until(lambda: watch.guard.done)
            assert not watch.guard.needed, "there was no runtime"
            watch.pulse = Pulse.ALIVE
            await watch.until(lambda: watch.guard.needed)
            watch.venue.errors = [UncertainError("away")] * 3
            watch.pulse = Pulse.STOPPED
            await watch.until(lambda: watch.guard.counts.failures)
            assert watch.guard.needed, "it fires, and is not done"
            await watch.until(lambda: watch.guard.done)
            assert not watch.guard.needed
            watch.pulse = Pulse.ALIVE
            await watch.until(lambda: watch.guard.needed)
            watch.pulse = Pulse.ENDED
            await watch.until(lambda: not watch.guard.needed)

    asyncio.run(story())


@pytest.fixture
def guards(tmp_path: Path) -> Iterator[Any]:
    """Start guards as processes."""
    started: list[subprocess.Popen[str]] = []

    def start(config: Path, beat: Path, *words: str) -> subprocess.Popen[str]:
        for name, text in (("key", "sim-key"), ("secret", "sim-secret")):
            (tmp_path / name).write_text(text)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "quietcore", "guard"),
                *("--config", str(config), "--heartbeat", str(beat), *words),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(RUNTIME),
                "QUIETCORE_API_KEY_FILE": str(tmp_path / "key"),
                "QUIETCORE_API_SECRET_FILE": str(tmp_path / "secret"),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str], words: str) -> str:
    """Read its lines until one has ``words``."""
    assert process.stderr is not None
    for line in iter(process.stderr.readline, ""):
        if words in line:
            return line
    raise AssertionError(f"ended without a word of {words!r}")


def heard_all(process: subprocess.Popen[str], *wanted: str) -> list[str]:
    """Read its lines until each of ``wanted`` was in one, in whatever order."""
    assert process.stderr is not None
    missing, found = set(wanted), []
    for line in iter(process.stderr.readline, ""):
        if said := {words for words in missing if words in line}:
            missing -= said
            found.append(line)
        if not missing:
            return found
    raise AssertionError(f"ended without a word of {missing}")


@pytest.mark.timeout(300)
def test_a_live_runtimes_heartbeat_is_deleted(
    make_writer: MakeWriter, feed: str, tmp_path: Path, guards: Any
) -> None:
    """It is made again before the guard takes the runtime for dead, and the guard still notices its death."""
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue)
        beat = tmp_path / "heartbeat"
        config = tmp_path / "guard.toml"
        text = CONFIG.format(rest=venue.url, websocket=venue.websocket_url)
        config.write_text(text.replace("timeout = 0.5", "timeout = 3.0"))
        try:
            run.ready()
            guard = guards(config, beat, "--report", str(tmp_path / "guard.json"))
            heard(guard, "armed")
            again = guards(config, beat)
            heard(again, f"another guard has this account; found pid {guard.pid}, started")
            assert again.wait(20) == ExitCode.USAGE
            run.until(lambda: run.status()["orders"]["open"] >= 1)
            for damage in (beat.unlink, lambda: os.truncate(beat, 0), lambda: beat.write_bytes(b"x" * 9000)):
                damage()

                def fresh() -> bool:
                    found = heartbeat.read(beat)
                    return found is not None and heartbeat.alive(found, time.monotonic_ns(), 1.0)

                run.until(fresh, 5.0)
            assert guard_report.read(tmp_path / "guard.json") is not None
            assert (guard_report.read(tmp_path / "guard.json") or {})["fired"] == 0
            run.process.kill()
            heard(guard, "is gone)")
            heard(guard, "nothing is open any more")
            assert {order["orderStatus"] for order in venue.orders.values()} == {"Cancelled"}
            errors = run.process.communicate()[1]
            assert "made again" in errors
        finally:
            run.close()


@pytest.mark.timeout(300)
def test_a_status_folder_that_is_full_and_freed(
    make_writer: MakeWriter, feed: str, tmp_path: Path, guards: Any
) -> None:
    """Full at the start: one line each, and no end by SIGBUS; freed: status, heartbeat and report are there."""
    with (
        small_disk(tmp_path / "disk") as disk,
        FakeVenue() as venue,
        Market(make_writer(capacity=65536)),
    ):
        disk.fill()
        config = tmp_path / "guard.toml"
        config.write_text(CONFIG.format(rest=venue.url, websocket=venue.websocket_url))
        report, status = disk.path / "guard.json", disk.path / "runtime.json"
        guard = guards(config, disk.path / "heartbeat", "--report", str(report))
        run = Run(tmp_path, feed, venue, status=status)
        try:
            heard(guard, f"status cannot be written: {report}; found ENOSPC")
            run.ready()
            time.sleep(2.5)
            assert run.process.poll() is None
            disk.free()
            both = heard_all(guard, "armed", "its report is written again")
            assert len(both) == 2
            run.until(lambda: status.exists() and json.loads(status.read_text())["final"] is False)
            # Full again while it runs: the heartbeat has its space, and goes on.
            disk.fill()
            written = json.loads(status.read_text())["written"]
            time.sleep(2.0)
            found = heartbeat.read(disk.path / "heartbeat")
            assert found is not None
            assert heartbeat.alive(found, time.monotonic_ns(), 1.0)
            disk.free()
            run.until(lambda: json.loads(status.read_text())["written"] > written + 1.5)
            code, _, errors, _ = run.end()
            assert code == 0, errors
        finally:
            run.close()
    assert errors.count("heartbeat cannot be written") == 1
    assert "heartbeat is written again" in errors
    assert "status is written again" in errors
    assert "ENOSPC" in errors
    assert "Traceback" not in errors


def test_a_guard_whose_venue_is_away_watches_all_the_same(tmp_path: Path, guards: Any) -> None:
    with FakeVenue(default="rest") as fake:
        rest, websocket = fake.url, fake.websocket_url
    config = tmp_path / "runtime.toml"
    config.write_text(CONFIG.format(rest=rest, websocket=websocket))
    heart = Heartbeat(tmp_path / "heartbeat")
    heart.beat()
    guard = guards(config, tmp_path / "heartbeat")
    line = heard(guard, "venue does not answer yet")
    assert "Traceback" not in line
    guard.send_signal(signal.SIGTERM)
    assert guard.wait(20) == 0
    heart.close()


def test_a_guard_gives_its_reserve_away_when_it_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        watch = Watch(monkeypatch)
        reserve = Reserve(2)
        watch.guard._reserve = reserve
        await asyncio.wait_for(watch.guard.fire(), 5)
        assert not reserve.lend(), "all of it is free for the connections that cancel"

    asyncio.run(story())


def test_process_start_of_nobody() -> None:
    assert process_start(1 << 30) == 0
    assert process_start(os.getpid()) > 0
