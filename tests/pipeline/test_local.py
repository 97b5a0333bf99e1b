"""`quietcore local`: shows the whole pipeline, and leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pipeline import derived
from tests.pipeline.stages import ENVIRONMENT, quietcore, wait_until

from quietcore.local.pipeline import SHARED_MEMORY

pytestmark = pytest.mark.timeout(180)


class Traces:
    """What a run could leave: segments, folders, processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # the run's temporary files go here
        folder.mkdir()

    def of(self, pid: int) -> list[str]:
        """Name everything that is left of the run of process `pid`."""
        segments = [path.name for path in SHARED_MEMORY.glob(f"quietcore.local-{pid}*")]
        return segments + [path.name for path in self.folder.iterdir()] + self.processes()

    def processes(self) -> list[str]:
        """Name the processes that were started with this folder as theirs."""
        wanted = f"TMPDIR={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and wanted in process.joinpath("environ").read_bytes().split(b"\0"):
                    found.append(process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "temporary")


@contextlib.contextmanager
def local(traces: Traces, handler: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **ENVIRONMENT, "QUIETCORE_FEED": str(handler), "TMPDIR": str(traces.folder)}
    process = subprocess.Popen(
        quietcore("local", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def fake_handler(folder: Path, body: str) -> Path:
    """Write a program to run in the feed handler's place."""
    path = folder / "quietcore-feed"
    path.write_text(f"#!{sys.executable}\nimport os, socket, sys, time\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


READY = """
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
"""


def test_whole_pipeline_and_its_end(feed_handler: Path, traces: Traces) -> None:
    with local(traces, feed_handler, "--seconds", 12, "--json") as process:
        out, err = process.communicate(timeout=150)
        assert (process.returncode, err) == (0, "")
        result = json.loads(out)
        runtime, simulator = result["runtime"], result["simulator"]
        assert runtime["final"]
        assert runtime["ticks"]["dropped"] == 0
        assert min(runtime["ticks"][kind] for kind in ("bbo", "trade", "level", "book")) > 50
        assert runtime["signals"] >= 1
        assert runtime["fills"] >= 1
        assert runtime["orders"]["acknowledged"] == simulator["orders"]["accepted"] >= 1
        assert all(hop["count"] for hop in runtime["hops"].values())
        assert {symbol["state"] for symbol in runtime["symbols"].values()} == {"LIVE"}
        assert traces.of(process.pid) == []


def test_tables_for_people(feed_handler: Path, traces: Traces) -> None:
    with local(traces, feed_handler, "--seconds", 6) as process:
        out, err = process.communicate(timeout=150)
        assert (process.returncode, err) == (0, "")
        for part in ("simulator ready", "feed handler ready", "ticks read", "ticks dropped", "fills", "p99"):
            assert part in out
        assert traces.of(process.pid) == []


@pytest.mark.parametrize("venue", ["bybit-linear", "binance-usdm"])
def test_recordings_of_both_venues(feed_handler: Path, traces: Traces, tmp_path: Path, venue: str) -> None:
    lines = derived.bybit(1, 2000, depth=200) if venue == "bybit-linear" else derived.binance(1, 2000)
    path = derived.save(derived.with_times(lines), tmp_path / "recording.gz")
    with local(traces, feed_handler, "--recording", path, "--speed", 20, "--seconds", 3, "--json") as process:
        out, err = process.communicate(timeout=150)
        assert (process.returncode, err) == (0, "")
        result = json.loads(out)
        assert result["simulator"]["venue"] == venue
        assert result["runtime"]["ticks"]["read"] > 500
        assert result["runtime"]["ticks"]["dropped"] == 0
        assert traces.of(process.pid) == []


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGINT, "starting the simulator"),
        (signal.SIGINT, "starting the feed handler"),
        (signal.SIGINT, "starting the runtime"),
        (signal.SIGINT, "market opens"),
        (signal.SIGTERM, "market opens"),
        (signal.SIGHUP, "starting the feed handler"),
    ],
)
def test_interrupted(feed_handler: Path, traces: Traces, number: signal.Signals, when: str) -> None:
    """Wherever a signal comes, everything ends in order."""
    with local(traces, feed_handler, "--seconds", 600) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if when in line:
                break
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.strip()) == (130, "quietcore local: interrupted")
        assert traces.of(process.pid) == []


def test_killed_run_leaves_no_process_and_the_next_run_clears_the_rest(
    feed_handler: Path, traces: Traces
) -> None:
    with local(traces, feed_handler, "--seconds", 600) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "market opens" in line:
                break
        process.kill()
        process.wait()
        wait_until(lambda: not traces.processes(), 20, "the children end with their parent")
        residue = list(SHARED_MEMORY.glob(f"quietcore.local-{process.pid}*"))
        assert residue
    with local(traces, feed_handler, "--seconds", 1, "--json") as another:
        another.communicate(timeout=150)
        assert not any(path.exists() for path in residue)


@pytest.mark.parametrize(
    ("body", "code", "parts"),
    [
        (
            "print('no room for the ring: 512 MiB', file=sys.stderr); sys.exit(2)",
            2,
            ["exit code 2", "no room"],
        ),
        ("sys.exit(3)", 3, ["exit code 3", "it said nothing"]),
        ("os.abort()", 3, ["SIGABRT"]),
        (READY + "sys.exit(1)", 1, ["exit code 1"]),
        (READY + "time.sleep(4); print('lost', file=sys.stderr); sys.exit(1)", 1, ["exit code 1", "lost"]),
    ],
    ids=["refuses", "says nothing", "crashes", "ends at once", "ends later"],
)
def test_failing_feed_handler(traces: Traces, tmp_path: Path, body: str, code: int, parts: list[str]) -> None:
    with local(traces, fake_handler(tmp_path, body), "--seconds", 600, "--json") as process:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["error"]["code"]) == (code, code)
        assert len(err.splitlines()) == 1
        assert all(part in err for part in ["feed handler ended", *parts]), err
        assert traces.of(process.pid) == []


def test_missing_ring(traces: Traces, tmp_path: Path) -> None:
    """A feed handler that says it is ready and has made no ring: the runtime's line about it is shown."""
    with local(traces, fake_handler(tmp_path, READY + "time.sleep(600)"), "--json") as process:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, json.loads(out)["error"]["code"]) == (3, 3)
        assert len(err.splitlines()) == 1
        assert "the runtime ended by itself" in err
        assert f"/dev/shm/quietcore.local-{process.pid}" in err
        assert traces.of(process.pid) == []


def refused(traces: Traces, handler: Path, *arguments: object) -> str:
    with local(traces, handler, *arguments) as process:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2, err
        assert len(err.splitlines()) == 1
        assert traces.of(process.pid) == []
        return err


def test_bad_input(traces: Traces, tmp_path: Path) -> None:
    handler = fake_handler(tmp_path, READY + "time.sleep(600)")
    assert "make build" in refused(traces, tmp_path / "nothing")
    assert "--seconds" in refused(traces, handler, "--seconds", 0)
    assert "--symbol" in refused(traces, handler, "--symbol", "NOPEUSDT")
    assert "--speed" in refused(traces, handler, "--speed", "fast")
    lines = derived.bybit(1, 40)
    cut = tmp_path / "cut"
    cut.write_text("\n".join(lines)[:-20])
    assert f"{cut}:40" in refused(traces, handler, "--recording", cut)
    lines[3] = "not JSON"
    wrong = derived.save(lines, tmp_path / "wrong")
    assert f"{wrong}:4" in refused(traces, handler, "--recording", wrong)
    assert "nasdaq" in refused(traces, handler, "--recording", wrong, "--venue", "nasdaq")
