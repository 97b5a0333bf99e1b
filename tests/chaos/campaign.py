"""Several pipelines side by side, each life in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.chaos.schedule import Turn

PR_SET_PDEATHSIG = 1
END_SECONDS = 20.0
REPOSITORY = Path(__file__).resolve().parents[2]

_libc = ctypes.CDLL(None, use_errno=True)


class CouldNotError(Exception):
    """A life could not be played at all."""


class Wish(NamedTuple):
    """A life that is to be played."""

    number: int
    turns: list[Turn]
    seed: int
    bug: str


class Campaign:
    """``jobs``: lives at a time. A context manager: at its end nothing runs any more."""

    def __init__(self, jobs: int, *, quiet: bool) -> None:
        self._jobs, self._quiet = max(1, jobs), quiet
        self._running: dict[subprocess.Popen[str], Wish] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="quietcore-chaos-"))
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()

    def tidy(self) -> None:
        """Remove the logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def play(self, wishes: list[Wish]) -> list[dict[str, Any]]:
        """Play all of them; return the outcomes. Raises CouldNotError."""
        began = time.monotonic()
        left, outcomes = list(wishes), list[dict[str, Any]]()
        total = sum(len(wish.turns) for wish in wishes)
        with selectors.DefaultSelector() as selector:
            while left or self._running:
                while left and len(self._running) < self._jobs:
                    process = self._start(left.pop(0))
                    assert process.stdout is not None
                    selector.register(process.stdout, selectors.EVENT_READ, process)
                for key, _ in selector.select():
                    process = key.data
                    line = process.stdout.readline()
                    if not line:
                        selector.unregister(process.stdout)
                        self._ended(process)
                        continue
                    outcome = json.loads(line)
                    if "error" in outcome:
                        raise CouldNotError(outcome["error"])
                    outcome["life"] = self._running[process].number
                    outcomes.append(outcome)
                    if not self._quiet:
                        self._say(outcome, len(outcomes), total, time.monotonic() - began)
        self.seconds = time.monotonic() - began
        return outcomes

    def _start(self, wish: Wish) -> subprocess.Popen[str]:
        folder = self.folder / f"life-{wish.number}"
        folder.mkdir()
        paths = os.pathsep.join([str(REPOSITORY / "runtime"), str(REPOSITORY)])
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.life"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends them in order
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
        )
        self._running[process] = wish
        assert process.stdin is not None
        words = {"turns": wish.turns, "folder": str(folder), "seed": wish.seed, "bug": wish.bug}
        process.stdin.write(json.dumps(words))
        process.stdin.close()
        return process

    def _ended(self, process: subprocess.Popen[str]) -> None:
        code, wish = process.wait(), self._running.pop(process)
        if code:
            raise CouldNotError(f"life {wish.number} ended with exit status {code}")

    def _say(self, outcome: dict[str, Any], number: int, total: int, seconds: float) -> None:
        how = "held" if outcome["held"] else f"BROKEN: {outcome['what']}"
        print(
            f"[{seconds:6.1f} s] {number}/{total} {outcome['attack']} ({outcome['seconds']:.1f} s): {how}",
            flush=True,
        )
