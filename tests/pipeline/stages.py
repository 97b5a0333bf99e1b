"""The pipeline's stages as a test runs them: simulator, feed handler, readers; how results are compared."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quietcore.bridge import layout
from quietcore.local.children import Child
from quietcore.local.pipeline import SHARED_MEMORY, remove_segments

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY / "runtime")}
RATE = 8000  # messages a second asked of the simulator
LEAST_RATE = 5000  # and the least that must have been kept
KINDS = ("bbo", "trade", "level", "book")


def quietcore(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "quietcore", *map(str, arguments)]


def published(feed: str) -> int:
    """Return how many ticks a feed has published so far."""
    offset = layout.HEADER.fields["published"][1]  # type: ignore[index]
    with (SHARED_MEMORY / f"quietcore.{feed}").open("rb") as segment:
        segment.seek(offset)
        return int.from_bytes(segment.read(8), "little")


def quiet(feed: str, seconds: float = 0.7) -> Callable[[], bool]:
    """Return a condition: nothing has been published for `seconds`."""
    count, since = -1, 0.0

    def holds() -> bool:
        nonlocal count, since
        now = published(feed)
        if now != count:
            count, since = now, time.monotonic()
        return time.monotonic() - since > seconds

    return holds


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in vain for {seconds} s: {what}"
        time.sleep(0.05)


@dataclass
class Stages:
    """What runs, under names that no other test has."""

    handler: Path
    folder: Path
    feed: str = field(default_factory=lambda: f"pipeline-{uuid.uuid4().hex[:12]}")
    children: list[Child] = field(default_factory=list)
    simulator: dict[str, Any] = field(default_factory=dict)
    certificate: Path | None = None

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Child:
        child = Child(name, command, self.folder, {**ENVIRONMENT, **(environment or {})})
        self.children.append(child)
        return child

    def start_simulator(self, *options: object) -> None:
        """Start a simulator that holds."""
        command = quietcore("sim", "--listen", "127.0.0.1:0", "--json", "--hold", *options)
        self.simulator = json.loads(self.start("simulator", command).first_line(60))

    def start_feed(self, venue: str, *options: object, rest: str = "", websocket: str = "") -> Child:
        """Start a feed handler on the simulator, and wait until it is subscribed."""
        rest, websocket = rest or self.simulator["rest"], websocket or self.simulator["websocket"]
        command = [str(self.handler), "run", "--feed", self.feed, "--venue", venue]
        command += ["--websocket", websocket, "--rest", rest, *map(str, options)]
        feed = self.start("feed handler", command)
        feed.wait_subscribed(30)
        return feed

    def ask(self, path: str, method: str = "GET") -> dict[str, Any]:
        context = ssl.create_default_context(cafile=str(self.certificate)) if self.certificate else None
        request = urllib.request.Request(self.simulator["rest"] + path, method=method)
        with urllib.request.urlopen(request, timeout=10, context=context) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def play(self, seconds: float = 90) -> dict[str, Any]:
        """Let the simulator send everything; return its state then."""
        self.ask("/sim/start", "POST")

        def finished() -> bool:
            for child in self.children:
                child.check()
            return bool(self.ask("/sim/state")["phase"] == "finished")

        wait_until(finished, seconds, "the simulator has sent everything")
        return self.ask("/sim/state")

    def tally(self) -> subprocess.Popen[str]:
        """Start a reader that follows the ring from its first tick, and wait until it does."""
        process = subprocess.Popen(
            quietcore("tally", "--feed", self.feed, "--from-start", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        try:
            wait_until(
                lambda: process.poll() is not None or catches_sigterm(process.pid), 60, "the reader reads"
            )
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return process


def catches_sigterm(pid: int) -> bool:
    """Tell whether a process has come to where SIGTERM ends it in order."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


@contextlib.contextmanager
def stages(handler: Path, folder: Path) -> Iterator[Stages]:
    """Run stages, and take everything away at the end."""
    running = Stages(handler, folder)
    try:
        yield running
    finally:
        for child in reversed(running.children):
            child.stop()
        remove_segments(running.feed)


def end_tally(
    process: subprocess.Popen[str], nothing_comes: Callable[[], bool]
) -> tuple[int, dict[str, Any]]:
    """End a reader once nothing more comes; return its exit code and report."""
    try:
        wait_until(nothing_comes, 60, "the ring is quiet")
        process.terminate()
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert out, err
    return process.returncode, json.loads(out)


def verify(handler: Path, venue: str, path: Path) -> dict[str, Any]:
    """Return what `verify` says of a recording."""
    run = subprocess.run(
        [handler, "verify", "--venue", venue, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stdout, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def differences(report: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Tell every way in which a reader's report departs from what a recording holds.

    `report`: of `quietcore tally` or the runtime's final status; `expected`: of `verify` or the reference.
    """
    ticks, wanted = report["ticks"], expected["ticks"]
    found = [
        f"{kind}: {ticks[kind]}, expected {wanted[kind]}" for kind in KINDS if ticks[kind] != wanted[kind]
    ]
    if ticks["dropped"]:
        found.append(f"dropped: {ticks['dropped']}")
    if ticks["read"] != sum(wanted[kind] for kind in KINDS):
        found.append(f"read: {ticks['read']}, expected {sum(wanted[kind] for kind in KINDS)}")
    for name, book in expected["symbols"].items():
        mine = report["symbols"].get(name, {})
        for key in ("ladder_hash", "books", "bids", "asks"):
            if mine.get(key) != book[key]:
                found.append(f"{name} {key}: {mine.get(key)}, expected {book[key]}")
    return found
