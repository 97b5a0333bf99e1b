"""A generated session that the feed handler replays flat out into a ring of its own: the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from quietcore.bridge.segment import NotThereYetError, Segment, attach
from quietcore.compare.collect import AbsentError
from quietcore.errors import QuietcoreError
from quietcore.local.pipeline import feed_handler, remove_segments
from quietcore.sim.generate import GeneratedSession

MESSAGES = 8_000
SYMBOLS = 4
SEED = 11
CAPACITY = 1 << 16
START_SECONDS = 20.0
ENDLESS = 1_000_000_000


class ReplayedFeed:
    """Holds the recording; `playing` runs the feed handler over it, again and again."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = cpus
        self.feed = f"bench-{os.getpid()}"

    def open(self) -> None:
        """Write the recording; raise AbsentError where there is no feed handler."""
        try:
            self._handler = feed_handler()
        except QuietcoreError as error:
            raise AbsentError(str(error)) from error
        self._folder = tempfile.TemporaryDirectory(prefix="quietcore-bench-")
        self._recording = Path(self._folder.name) / "session.jsonl"
        session = GeneratedSession(SEED, SYMBOLS)
        with self._recording.open("wb") as file:
            for _kind, time_ms, raw in islice(session.raw(), MESSAGES):
                file.write(b"%d %s\n" % (time_ms * 1_000_000, raw))

    def close(self) -> None:
        """Remove recording and segment."""
        remove_segments(self.feed)
        self._folder.cleanup()

    @contextmanager
    def playing(self) -> Iterator[Segment]:
        """Attach to the feed while the handler plays, on the first of the cores; its segment can be read afterwards."""
        words = ["--feed", self.feed, "--venue", "bybit-linear", "--speed", "max", "--loop", str(ENDLESS)]
        command = [str(self._handler), "replay", *words, "--capacity", str(CAPACITY), str(self._recording)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                if self._cpus:
                    os.sched_setaffinity(process.pid, {self._cpus[0]})
                yield self._attach(process)
            finally:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _attach(self, process: subprocess.Popen[bytes]) -> Segment:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and process.poll() is None:
            try:
                segment = attach(self.feed)
            except NotThereYetError:
                time.sleep(0.005)
                continue
            if int(segment.header["pid"]) == process.pid and int(segment.statistics["messages"]) > 0:
                return segment
            time.sleep(0.005)
        said = ""
        if process.poll() is not None and process.stderr is not None:
            said = process.stderr.read(2000).decode(errors="replace").strip()
        said = said or "it said nothing"
        raise AbsentError(f"the feed handler did not begin to replay within {START_SECONDS:g} s: {said}")
