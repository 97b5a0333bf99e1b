"""One process of the pipeline through all its lives: started again by its supervisor, its log kept as one."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos.starvation import Starvation

from quietcore.errors import QuietcoreError
from quietcore.local.children import Child

TRIES = 3
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 240.0  # beyond any bound: who waits for it counts what it was starved of


class Broken(AssertionError):  # noqa: N818 - a finding, not an error of the program
    """An invariant that did not hold."""


class Mark(NamedTuple):
    """A place in a log."""

    life: int
    offset: int


class Part:
    """``make``: starts it, given a name for its log. ``patient``: it is ready when it says so."""

    def __init__(
        self, name: str, folder: Path, make: Callable[[str], Child], *, patient: bool = True
    ) -> None:
        self.name = name
        self.lives: list[Child] = []
        self.ours = 0  # the signal that we ended it with, 0: it has no reason to end
        self._folder, self._make, self._patient = folder, make, patient

    @property
    def child(self) -> Child:
        """The latest life."""
        return self.lives[-1]

    @property
    def pid(self) -> int:
        """Of the latest life."""
        return self.child.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, stopped by a signal or not."""
        return bool(self.lives) and self.child.process.poll() is None

    def start(self, seconds: float = START_SECONDS, *, wait: bool = True) -> None:
        """Begin a life, and return when it is ready.

        One that ends by itself before that is started again, as a service manager does, at most TRIES times.
        """
        for left in reversed(range(TRIES)):
            self.ours = 0
            self.lives.append(self._make(f"{self.name} {len(self.lives) + 1}"))
            try:
                if wait and self._patient:
                    self.child.wait_ready(seconds)
                return
            except QuietcoreError:
                if self.alive or self.child.process.returncode < 0 or not left:
                    raise

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.alive:
            self.child.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.ours = signal.SIGKILL
        if self.alive:
            self.child.process.kill()
            self.child.process.wait()

    def terminate(self, seconds: float) -> float:
        """SIGTERM; return after how long it ended; raise Broken where it does not within ``seconds``."""
        self.ours = signal.SIGTERM
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        self.wait_end(seconds, "SIGTERM")
        return time.monotonic() - began

    def wait_end(self, seconds: float, why: str) -> None:
        """Wait until it has ended; raise Broken where it does not."""
        end, starved = time.monotonic() + seconds, Starvation(lambda: [self.pid])
        while self.alive:
            if time.monotonic() > end and time.monotonic() > end + starved.seconds():
                raise Broken(f"the {self.name} still runs {seconds:g} s after {why}")
            time.sleep(0.01)

    def end(self) -> None:
        """End it for good, however."""
        for child in self.lives:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGCONT)
            child.stop(3.0)

    def death(self) -> str:
        """Return how it ended of itself: "" where it runs, or where we ended it."""
        code = self.child.process.poll()
        if code is None or (self.ours and code in (-self.ours, 0)):
            return ""
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{how}; its last lines: {' | '.join(self.child.last_lines()) or 'none'}"

    # looking

    def mark(self) -> Mark:
        """Return the end of the log as it is now."""
        return Mark(len(self.lives), len(self._log(len(self.lives))))

    def log(self, since: Mark | None = None) -> str:
        """Return what it said since then, in this life and the later ones."""
        since = since or Mark(1, 0)
        texts = [self._log(life) for life in range(max(1, since.life), len(self.lives) + 1)]
        if texts and since.life:
            texts[0] = texts[0][since.offset :]
        return "".join(texts)

    def _log(self, life: int) -> str:
        slug = f"{self.name} {life}".replace(" ", "-")
        try:
            return (self._folder / f"{slug}.err").read_text(errors="replace")
        except OSError:
            return ""

    def says(self, pattern: str, since: Mark) -> str:
        """Return the first line since ``since`` that matches, "" where there is none."""
        for line in self.log(since).splitlines():
            if re.search(pattern, line):
                return line
        return ""

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, all threads."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return 0.0
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def descriptors(self) -> int:
        """Return how many file descriptors it has open."""
        try:
            return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        except OSError:
            return 0

    def address_space(self) -> int:
        """Return its virtual size in bytes."""
        text = Path(f"/proc/{self.pid}/statm").read_text()
        return int(text.split()[0]) * os.sysconf("SC_PAGE_SIZE")
