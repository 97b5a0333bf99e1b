"""Order states, the kill switch, the sign of life, the guard: each by itself, and the guard as a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import MakeWriter
from tests.runtime.fake_venue import FakeVenue
from tests.runtime.test_run import Market, Run

from quietcore.cli.main import main
from quietcore.config import RiskConfig, RuntimeConfig
from quietcore.errors import QuietcoreError
from quietcore.execution import guard_report, heartbeat
from quietcore.execution.guard import Guard, Pulse, arm_disconnect_cancel
from quietcore.execution.kill_switch import KillSwitch
from quietcore.execution.order_states import FINAL, State, may_follow
from quietcore.execution.runtime import Runtime
from quietcore.venues.bybit import linear
from quietcore.venues.interface import Credentials, Endpoints

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def test_states() -> None:
    assert {state for state in State if state.final} == FINAL
    for state in State:
        assert may_follow(state, state)
        if state is not State.NEW:
            assert not may_follow(state, State.NEW)
        if state not in FINAL and state is not State.NEW:
            assert all(may_follow(state, final) for final in FINAL)
    assert not may_follow(State.FILLED, State.CANCELLED)
    assert not may_follow(State.ACKNOWLEDGED, State.UNKNOWN), "what is known stays known"
    assert not may_follow(State.CANCELLING, State.PARTIALLY_FILLED), "it stays cancelling, whatever fills"


def test_kill_switch(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path / "deep" / "kill")
    assert switch.reason() is None
    switch.engage("too hot")
    switch.engage("another")
    reason = switch.reason()
    assert reason is not None
    assert reason.endswith("UTC too hot")
    assert switch.clear()
    assert not switch.clear()
    switch.path.mkdir()
    assert "cannot be read" in (switch.reason() or ""), "what cannot be read is on"
    with pytest.raises(QuietcoreError, match="cannot be cleared"):
        switch.clear()
    with pytest.raises(QuietcoreError, match="cannot be written"):
        KillSwitch(Path("/proc/kill")).engage("x")


def test_a_runtime_that_no_longer_beats_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would look at the kill switch, while orders go out."""

    async def broken(self: Runtime) -> None:
        raise OSError("no more of this")

    monkeypatch.setattr(Runtime, "_keep_alive", broken)
    warnings: list[str] = []

    async def work() -> Runtime:
        settings = RuntimeConfig("none", RiskConfig("1", "1"))
        runtime = Runtime(
            settings,
            Credentials("", b""),
            where=tmp_path,
            status_path=None,
            seconds=None,
            warn=warnings.append,
        )
        runtime._begin_to_beat()
        await asyncio.wait_for(runtime._stop.wait(), 5)
        return runtime

    assert isinstance(asyncio.run(work()).failure, OSError)
    assert "the heartbeat has ended" in warnings[0]


def test_kill_and_clear_without_a_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, status = str(tmp_path / "kill"), str(tmp_path / "runtime.json")
    assert main(["kill", "--file", file, "--status", status, "--reason", "test", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["runtime"], said["nothing_open"]) == (False, True)
    assert said["reason"].endswith("test")
    assert main(["clear", "--file", file]) == 0
    assert "because:" in capsys.readouterr().out
    assert main(["clear", "--file", file]) == 1


def test_kill_waits_for_the_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    status = tmp_path / "runtime.json"
    status.write_text(
        json.dumps({"version": 1, "final": False, "pid": process.pid, "killed": "", "orders": {"open": 1}})
    )
    words = ["kill", "--file", str(tmp_path / "kill"), "--status", str(status), "--timeout", "0.2"]
    assert main(words) == 3
    assert "did not confirm" in capsys.readouterr().err
    assert process.wait(10) == -10, "SIGUSR1"


def test_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert heartbeat.read(path) is None
    heart = heartbeat.Heartbeat(path)
    assert heartbeat.read(path) is None, "no beat yet"
    heart.beat()
    beat = heartbeat.read(path)
    assert beat is not None
    assert (beat.pid, beat.ended) == (os.getpid(), False)
    assert heartbeat.alive(beat, time.monotonic_ns(), 5.0)
    assert not heartbeat.alive(beat, beat.beat_ns + 1_100_000_000, 1.0)
    assert not heartbeat.alive(beat._replace(process_start=1), beat.beat_ns, 1.0), (
        "another process has the pid"
    )
    heart.end()
    ended = heartbeat.read(path)
    assert ended is not None
    assert ended.ended
    path.write_bytes(b"x" * 64)
    assert heartbeat.read(path) is None
    with pytest.raises(QuietcoreError, match="heartbeat cannot be written"):
        heartbeat.Heartbeat(tmp_path / "nowhere" / "heartbeat")


def test_guard_fires_once_each_time_the_pulse_stops() -> None:
    with FakeVenue(default="rest") as fake:
        pulse = [Pulse.STOPPED]
        said: list[str] = []
        reports: list[dict[str, int]] = []

        async def story() -> Guard:
            venue: Any = linear(
                Endpoints(fake.url, fake.websocket_url), Credentials("sim-key", b"sim-secret")
            )
            type(venue).request_lifetime = property(lambda self: -0.5)  # its sweeps end sooner
            guard = Guard(venue, lambda: pulse[0], said.append, reports.append)
            stop = asyncio.Event()
            watching = asyncio.create_task(guard.watch(stop))

            async def until(condition: Any) -> None:
                async with asyncio.timeout(20):
                    while not condition():  # noqa: ASYNC110
                        await asyncio.sleep(0.01)

            await until(lambda: guard.done)
            assert guard.counts.fired == 1, "no runtime at all: swept once, to be sure"
            pulse[0] = Pulse.ALIVE
            await until(lambda: guard.armed)
            fake.orders["mine"] = {
                **{"orderId": "1", "orderLinkId": "mine", "orderStatus": "New", "cumExecQty": "0"},
                **{"symbol": "BTCUSDT", "side": "Buy", "price": "1", "qty": "1"},
            }
            pulse[0] = Pulse.STOPPED
            await until(lambda: guard.done)
            assert fake.orders["mine"]["orderStatus"] == "Cancelled"
            pulse[0] = Pulse.ALIVE
            await until(lambda: guard.armed)
            pulse[0] = Pulse.ENDED
            await until(lambda: not guard.armed)
            assert not await arm_disconnect_cancel(venue, 10, said.append), (
                "the test's venue has no such path"
            )
            stop.set()
            await watching
            await venue.close()
            return guard

        original = type(linear(Endpoints("http://h", "ws://h"), Credentials("k", b"s"))).request_lifetime
        try:
            guard = asyncio.run(story())
        finally:
            owner: Any = type(linear(Endpoints("http://h", "ws://h"), Credentials("k", b"s")))
            owner.request_lifetime = original
    assert guard.counts.fired == 2
    assert any("is not armed" in line for line in said)
    assert reports[0] == {
        **{"armed": 0, "done": 0, "fired": 1, "sweeps": 0, "failures": 0, "found_open": 0},
    }, "told before the first sweep"
    assert [state["armed"] for state in reports].count(1) == 2, "a change is reported once"
    assert (reports[-1]["fired"], reports[-1]["armed"], reports[-1]["done"]) == (2, 0, 1)


def test_guard_report_is_a_file_for_others(tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    assert guard_report.read(path) is None
    guard_report.write(path, {"armed": 1, "fired": 0})
    assert guard_report.read(path) == {"armed": 1, "fired": 0}
    path.write_text("[")
    assert guard_report.read(path) is None
    assert (
        guard_report.default_path({"RUNTIME_DIRECTORY": "/run/quietcore-guard"}) == guard_report.DEFAULT_FILE
    )
    assert guard_report.default_path({}) is None, "nobody asked for one"


CONFIG = """
mode = "sim"
feed = "none"
[venue]
name = "bybit-linear"
rest = "{rest}"
private_websocket = "{websocket}"
[risk]
order_size = "0.001"
max_position = "0.01"
[guard]
timeout = 0.5
"""


def test_guard_as_a_process_outlives_a_killed_runtime(tmp_path: Path) -> None:
    with FakeVenue(default="rest") as fake:
        config = tmp_path / "runtime.toml"
        config.write_text(CONFIG.format(rest=fake.url, websocket=fake.websocket_url))
        for name, text in (("key", "sim-key"), ("secret", "sim-secret")):
            (tmp_path / name).write_text(text)
        environment = {
            **os.environ,
            "PYTHONPATH": str(RUNTIME),
            "QUIETCORE_API_KEY_FILE": str(tmp_path / "key"),
            "QUIETCORE_API_SECRET_FILE": str(tmp_path / "secret"),
        }
        beat = tmp_path / "heartbeat"
        beating = (
            "import sys, time, pathlib\nfrom quietcore.execution.heartbeat import Heartbeat\n"
            "heart = Heartbeat(pathlib.Path(sys.argv[1]))\n"
            "while True:\n    heart.beat()\n    time.sleep(0.05)\n"
        )
        runtime = subprocess.Popen([sys.executable, "-c", beating, str(beat)], env=environment)
        while heartbeat.read(beat) is None:
            time.sleep(0.01)
        guard = subprocess.Popen(
            [sys.executable, "-m", "quietcore", "guard", "--config", str(config), "--heartbeat", str(beat)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert guard.stderr is not None
            lines = iter(guard.stderr.readline, "")
            assert any("armed" in line for line in lines)
            fake.orders["mine"] = {
                **{"orderId": "1", "orderLinkId": "mine", "orderStatus": "New", "cumExecQty": "0"},
                **{"symbol": "BTCUSDT", "side": "Buy", "price": "1", "qty": "1"},
            }
            runtime.kill()
            assert any("nothing is open any more" in line for line in lines)
            assert fake.orders["mine"]["orderStatus"] == "Cancelled"
            assert fake.position == Decimal(0)
            guard.terminate()
            assert guard.wait(10) == 0
        finally:
            for process in (runtime, guard):
                process.kill()
                process.communicate()


def test_kill_and_clear_of_a_running_runtime(make_writer: MakeWriter, feed: str, tmp_path: Path) -> None:
    with FakeVenue(default="rest") as venue, Market(make_writer(capacity=65536)):
        run = Run(tmp_path, feed, venue, words=["--json"])
        try:
            config = tmp_path / "runtime.toml"
            assert f'kill_file = "{tmp_path}/kill"' in config.read_text()
            run.ready()
            run.until(lambda: len(venue.created) >= 1)
            words = ["--file", str(tmp_path / "kill"), "--status", str(run.status_path)]
            assert main(["kill", *words, "--reason", "too hot"]) == 0
            status = run.status()
            assert status["killed"].endswith("too hot")
            assert status["orders"]["open"] == 0
            sent = len(venue.created)
            run.until(lambda: refused(run.status_path, "kill switch") > 0)
            assert len(venue.created) == sent
            assert main(["clear", "--file", str(tmp_path / "kill")]) == 0
            run.until(lambda: len(venue.created) > sent)
            code, out, errors, _ = run.end()
            assert code == 0, errors
            assert json.loads(out)["killed"] == ""
            assert heartbeat.read(tmp_path / "heartbeat")
        finally:
            run.close()


def refused(status: Path, reason: str) -> int:
    found: dict[str, int] = json.loads(status.read_text())["orders"]["refusals"]
    return found.get(reason, 0)


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022])
def test_the_runtimes_user_reads_a_kill_that_root_threw_with_any_umask(tmp_path: Path, umask: int) -> None:
    switch = KillSwitch(tmp_path / "kill")
    before = os.umask(umask)
    try:
        switch.prepare()
        switch.engage("a test")
        heartbeat.Heartbeat(tmp_path / "heartbeat").close()
    finally:
        os.umask(before)
    for path in (switch.path, switch.spare, tmp_path / "heartbeat"):
        assert path.stat().st_mode & 0o777 == 0o644, path
