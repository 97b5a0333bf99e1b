"""A host as the monitoring sees it, made of files: status, heartbeat, guard, kill switch, audit; and its exporter."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quietcore.execution.heartbeat import Heartbeat
from quietcore.histogram import Histogram
from quietcore.observe.status import HOP_TITLES, hop_part, write

ROOT = Path(__file__).resolve().parents[2]


def histogram(*latencies_ns: int) -> dict[str, Any]:
    """Return a hop's part of the status that has seen these latencies."""
    made = Histogram()
    for latency in latencies_ns:
        made.record(latency)
    return hop_part(made.buckets[0], made.marks[0])


class Scene:
    """A folder with everything that is looked at, but the rings."""

    def __init__(self, folder: Path, feed: str) -> None:
        self.folder, self.feed = folder, feed
        self.status_path = folder / "runtime.json"
        self.guard_path = folder / "guard.json"
        self.kill_path = folder / "kill"
        self.audit_folder = folder / "gate"
        self.plan_path = folder / "plan.json"
        self.audit_folder.mkdir()
        self.status: dict[str, Any] = {
            "version": 1,
            "final": False,
            "feed": feed,
            "mode": "sim",
            "symbol": "BTCUSDT",
            "position": "0.002",
            "ticks": {
                **dict.fromkeys(("dropped", "restart", "unknown", "overruns", "reloads"), 0),
                **{"read": 100, "bbo": 20, "trade": 10, "level": 50, "book": 20},
            },
            "signals": 7,
            "intents": {"emitted": 5, "held_back": 0, "given_up": 0},
            "orders": {
                **dict.fromkeys(("cancelled", "rejected", "uncertain", "withheld"), 0),
                **{"sent": 5, "acknowledged": 4, "filled": 3, "open": 1},
                "refused_by_risk": 2,
                "refusals": {"position": 2},
            },
            "fills": 3,
            "hops": {name: histogram(*(300 * 2**i for i in range(10))) for name in HOP_TITLES},
            "symbols": {},
            "killed": "",
            "degraded": "",
            "stream_losses": 0,
            "started": time.time() - 60,
            "compiled_since_ready": 0,
            "memory": {"locked_kib": 4096},
            "pid": os.getpid(),
            "threads": [
                {
                    "name": name,
                    "tid": os.getpid(),
                    "cpu": 0,
                    "allowed": "0",
                    "minor_faults": 2,
                    "major_faults": 0,
                }
                for name in ("gateway", "strategy")
            ],
            "warnings": [],
        }
        self.heart = Heartbeat(folder / "heartbeat")
        self.beat()
        self.guard(armed=1, fired=0)
        self.audit(passed=True)

    def beat(self) -> None:
        """Be alive: a heartbeat, and a status of now."""
        self.heart.beat()
        write(self.status_path, {**self.status, "written": time.time()})

    def guard(self, **state: int) -> None:
        self.guard_path.write_text(json.dumps({"armed": 0, "done": 0, "fired": 0, "failures": 0, **state}))

    def audit(self, *, passed: bool) -> None:
        drift = (
            "audit: sysctl.vm.swappiness: drift: found 60, wanted 0: changed by hand; remedy: quietcore apply"
        )
        last = "audit: 28 settings: 28 ok: passed" if passed else "audit: 28 settings: 1 drift: not started"
        (self.audit_folder / "report").write_text(last + "\n" if passed else f"{drift}\n{last}\n")

    def options(self) -> list[str]:
        """Return the options that make a command look here."""
        return [
            *("--feed", self.feed, "--status", str(self.status_path), "--guard", str(self.guard_path)),
            *("--kill-file", str(self.kill_path), "--audit", str(self.audit_folder)),
            *("--plan", str(self.plan_path)),
        ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "runtime"), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def server(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a command that serves; yield it and its address, once it listens."""
    command = [sys.executable, "-m", "quietcore", *words, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://\S+", line)
        assert address, line + process.stderr.read()
        yield process, address[0]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def fetch(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """GET an address; return status, headers, body."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until a condition holds, and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"in vain for {seconds} s: {what}"
        time.sleep(0.05)
    return found
