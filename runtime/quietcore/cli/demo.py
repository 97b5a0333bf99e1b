"""Provision the throw-away host and show the pipeline on it.

Builds the feed handler and the host's image side by side, boots the host, runs the whole of site.yml on it
(tune, reboot, deploy, audit), shows the live pipeline, then the audit and a closing table, and leaves the host
running. Run again, it reuses all that is there. `quietcore vhost down` removes the host.

Exit codes: 0 shown and sound; 1 the pipeline ran but a figure is not as it must be (the lines say which);
3 a step failed (its last lines say why).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

ROOT = Path(__file__).resolve().parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--name", default="demo", help="name of the throw-away host (default: %(default)s)")
    parser.add_argument("--recording", type=Path, help="replay this recording instead of a generated session")
    parser.add_argument("--venue", help="venue of the recording (default: told from its first line)")
    parser.add_argument("--seconds", type=int, default=30, help="how long to show the pipeline (default: %(default)s)")


class Story:
    """Says what is going on, numbered and with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line at once."""
        print(f"demo {time.monotonic() - self.start:5.0f} s  {text}", flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say that a step begins, and how long it took."""
        self.say(f"{text} …")
        begin = time.monotonic()
        yield
        self.say(f"{text}: {time.monotonic() - begin:.0f} s")


class Background:
    """A long step beside others: its output goes to a log, its end is awaited with a sign of life."""

    def __init__(self, what: str, command: list[str], log: Path) -> None:
        self.what = what
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)

    def wait(self, story: Story) -> None:
        """Wait for the end; raise QuietcoreError with the end of the log where it failed."""
        while True:
            try:
                status = self.process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                last = (self.log.read_text(errors="replace").splitlines() or [""])[-1]
                story.say(f"{self.what}: {last[:100]}")
        if status:
            print("\n".join(self.log.read_text(errors="replace").splitlines()[-20:]), file=sys.stderr)
            raise failed(self.what, status, f"read {self.log}, mend it, and run make demo again")

    def stop(self) -> None:
        """End it where it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def failed(what: str, status: int, remedy: str) -> QuietcoreError:
    """Return the error for a step that ended with a status other than 0."""
    return QuietcoreError("step failed", where=what, found=f"exit status {status}", remedy=remedy, code=ExitCode.UNKNOWN)


class Host:
    """The throw-away host, as the demo talks to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ssh_config = ROOT / "build/vhost" / name / "ssh_config"

    def up(self) -> None:
        """Make and boot it, or do nothing where it runs."""
        command = [sys.executable, "-m", "quietcore", "vhost", "up", "--name", self.name]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status:
            raise failed("throw-away host", status, "the lines above say what; then run make demo again")

    def ssh(self, command: str, *, terminal: bool = False) -> list[str]:
        """Return the command line that runs a shell command there."""
        options = ["-tt"] if terminal else []
        return ["ssh", "-q", "-F", str(self.ssh_config), *options, f"quietcore-{self.name}", command]

    def show(self, command: str) -> int:
        """Run a shell command there, its output going to the user; return its exit status."""
        terminal = sys.stdout.isatty()
        return subprocess.run(self.ssh(command, terminal=terminal), stdin=subprocess.DEVNULL, check=False).returncode

    def read(self, command: str) -> str:
        """Return what a shell command there prints; raise QuietcoreError where it fails."""
        done = subprocess.run(self.ssh(command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise QuietcoreError(
                "command failed on the throw-away host",
                where=command,
                found=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1],
                remedy=f"look with: {shlex.join(self.ssh(command))}",
                code=ExitCode.UNKNOWN,
            )
        return done.stdout
