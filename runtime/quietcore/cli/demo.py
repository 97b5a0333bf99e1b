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
from typing import Any

from rich.console import Console

from quietcore import vhost
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.observe.report import whole
from quietcore.vhost import ssh

ROOT = Path(__file__).resolve().parents[3]
ON_HOST = "/opt/quietcore/current/bin/quietcore"
FILL_SECONDS = 180.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--name", default="demo", help="name of the throw-away host (default: %(default)s)")
    parser.add_argument("--recording", type=Path, help="replay this recording instead of a generated session")
    parser.add_argument("--venue", help="venue of the recording (default: told from its first line)")
    parser.add_argument(
        "--seconds", type=int, default=30, help="how long to show the pipeline (default: %(default)s)"
    )


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
    return QuietcoreError(
        "step failed", where=what, found=f"exit status {status}", remedy=remedy, code=ExitCode.UNKNOWN
    )


def show(host: vhost.Info, command: str) -> int:
    """Run a shell command on the host, its output going to the user; return its exit status."""
    options = ["-tt"] if sys.stdout.isatty() else []
    places = vhost.places(host.name)
    words = ssh.command(places, [command], options=options)
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode


def provision(story: Story, host: vhost.Info, extra: dict[str, object]) -> None:
    """Run site.yml on the host, its output going to the user."""
    command = ["ansible-playbook", "-i", "inventory/virtual", "site.yml"]
    if extra:
        command += ["--extra-vars", json.dumps(extra)]
    environment = {**os.environ, "QUIETCORE_VHOST": host.name, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    with story.step(f"QUIETCORE_VHOST={host.name} {shlex.join(command)}"):
        status = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False
        ).returncode
    if status:
        raise failed(
            "ansible-playbook site.yml", status, "the task above says what; then run make demo again"
        )


def add_recording(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the variables of site.yml that replay the recording asked for."""
    if arguments.recording is None:
        if arguments.venue is not None:
            raise QuietcoreError(
                "--venue without --recording", remedy="name the recording, or leave both out"
            )
        return {}
    from quietcore.sim.recording import survey  # only now: it needs more than the standard library

    path = arguments.recording.resolve()
    seen = survey(path, arguments.venue)
    return {
        "simulator_recording": str(path),
        "simulator_venue": seen.venue,
        "simulator_depth": seen.depth() or 50,
    }


def pipeline_status(host: vhost.Info) -> dict[str, Any]:
    """Return what the runtime on the host says of itself."""
    done = ssh.run(vhost.places(host.name), "cat /run/quietcore/runtime.json", timeout=60)
    status: dict[str, Any] = json.loads(done.stdout)
    return status


def shortcomings(status: dict[str, Any]) -> list[str]:
    """Return what is not as it must be in the runtime's figures: losses, or a part of the way never taken."""
    found = []
    if status["ticks"]["dropped"]:
        found.append(f"{status['ticks']['dropped']} ticks were dropped")
    counts = {
        "ticks were read": status["ticks"]["read"],
        "signals were seen": status["signals"],
        "orders were sent": status["orders"]["sent"],
        "fills came back": status["fills"],
    }
    found += [f"no {what}" for what, count in counts.items() if not count]
    found += [f"hop {name} was never measured" for name, hop in status["hops"].items() if not hop["count"]]
    return found


def wait_for_fill(story: Story, host: vhost.Info) -> dict[str, Any]:
    """Wait until the whole way from tick to fill has been gone once, at most FILL_SECONDS; return the figures."""
    end = time.monotonic() + FILL_SECONDS
    while True:
        status = pipeline_status(host)
        lacking = shortcomings(status)
        if not lacking or status["ticks"]["dropped"] or time.monotonic() > end:
            return status
        story.say(f"waiting for the first fill: {'; '.join(lacking)}")
        time.sleep(10)


def run(arguments: argparse.Namespace) -> int:
    """Provision, show, judge."""
    os.chdir(ROOT)
    story = Story()
    extra = add_recording(arguments)
    log = ROOT / "build/log/native.log"
    build = Background("native build", ["make", "--no-print-directory", "native"], log)
    try:
        with story.step("image and boot of the throw-away host, native build beside it"):
            host = vhost.up(arguments.name)
            build.wait(story)
    finally:
        build.stop()
    provision(story, host, extra)
    story.say(f"the pipeline, live for {arguments.seconds} s")
    if status := show(host, f"{ON_HOST} status --watch 2 --count {max(1, arguments.seconds // 2)}"):
        raise failed("quietcore status", status, f"look with: {login(host)}")
    figures = wait_for_fill(story, host)
    story.say("the audit")
    audit = show(host, f"{ON_HOST} audit")
    story.say("the figures since the start of the runtime")
    Console().print(whole(figures))
    wrong = shortcomings(figures)
    story.say("the host goes on running:")
    print(f"""
  log in          {login(host)}
  look around     quietcore status --watch 60      quietcore audit      quietcore plan
                  systemctl status 'quietcore-*'   journalctl -fu quietcore-runtime
                  cat /sys/devices/system/cpu/isolated /proc/cmdline
  from here       QUIETCORE_VHOST={host.name} .venv/bin/ansible-playbook site.yml      (changed=0)
  remove it       make demo-down{"" if host.name == "demo" else f" DEMO={host.name}"}
""")
    if audit:
        wrong.append("the audit found something")
    if wrong:
        print(
            f"quietcore demo: not as it must be: {'; '.join(wrong)}; the tables above say where",
            file=sys.stderr,
        )
        return ExitCode.FOUND
    story.say("done")
    return ExitCode.OK


def login(host: vhost.Info) -> str:
    """Return the line that logs in to the host."""
    return shlex.join(ssh.command(vhost.places(host.name)))
