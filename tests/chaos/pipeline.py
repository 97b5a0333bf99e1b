"""The real pipeline as separate processes under a supervisor, a proxy on each connection, small disks for its files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.chaos.books import Books, Moment
from tests.chaos.part import Broken, Mark, Part
from tests.chaos.private_machine import Disk, SharedMemoryDisk
from tests.chaos.proxy import Line, Proxy
from tests.chaos.starvation import Starvation
from tests.chaos.wire_watch import Sending

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.local.children import Child
from quietcore.local.pipeline import KEY, SECRET, SHARED_MEMORY, feed_handler

REPOSITORY = Path(__file__).resolve().parents[2]
FEED = "chaos"
SYMBOL = "BTCUSDT"
GUARD_TIMEOUT = 1.0
MOST_BOOK_AGE = 1.5
DISKS = ("status", "kill", "report", "control")
LINES = ("feed websocket", "feed rest", "runtime rest", "private stream", "trade stream", "guard rest")
POLL_SECONDS = 0.03
MOST_STRETCH = 4.0
COMMAND_SECONDS = 120.0
COMPILE_SECONDS = 900.0  # the first start after a change compiles


class Pipeline:
    """Simulator, feed handler, runtime and guard. A context manager; ``seed``: of the simulator's market.

    ``bug``: a planted one, which `tests.chaos.program` puts into the processes of ``quietcore``.
    """

    def __init__(self, folder: Path, seed: int, bug: str = "") -> None:
        self.folder = folder
        self.sent: list[Sending] = []
        self.proxy = Proxy(list(LINES), self.sent.append)
        self._seed, self._bug = seed, bug
        self._venue_port = 0
        self.disks: dict[str, Disk] = {}

    # life

    def __enter__(self) -> Self:
        logs = self.folder / "logs"
        logs.mkdir(parents=True)
        self.settings = self.folder / "settings"
        self.settings.mkdir()
        self.venue_clock, self.host_clock = self.settings / "venue-clock", self.settings / "host-clock"
        for clock in (self.venue_clock, self.host_clock):
            clock.write_bytes(struct.pack("q", 0))
        self._shim = clock_shim(self.settings)
        self.disks = {name: Disk(self.folder / name) for name in DISKS}
        self.disks["shared memory"] = SharedMemoryDisk()
        self.status_path = self.disks["status"].path / "runtime.json"
        self.heartbeat_path = self.disks["status"].path / "heartbeat"
        self.kill_file = self.disks["kill"].path / "kill"
        self.report_path = self.disks["report"].path / "guard.json"
        self.control_path = self.disks["control"].path / "control"
        self.segment = SHARED_MEMORY / f"quietcore.{FEED}"
        self.logs = logs
        self.simulator = Part("simulator", logs, self._simulator, patient=False)
        self.feed = Part("feed handler", logs, self._feed)
        self.runtime = Part("runtime", logs, self._runtime)
        self.guard = Part("guard", logs, self._guard)
        self.parts = (self.simulator, self.feed, self.runtime, self.guard)
        self.proxy.__enter__()
        try:
            self.start_simulator()
            self.feed.start()
            self._write_config()
            self.runtime.start(COMPILE_SECONDS)
            self.guard.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in reversed(self.parts):
            part.end()
        self.proxy.__exit__()

    def start_simulator(self) -> None:
        """Start a simulator without a memory, at the port of the one before."""
        self.simulator.start()
        announced = json.loads(self.simulator.child.first_line(60.0))
        self._venue_port = self.proxy.venue_port = int(announced["listening"]["port"])
        self.instruments = announced["instruments"]
        self.books = Books(self._venue_port, SYMBOL)

    def _child(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> Child:
        paths = os.pathsep.join([str(REPOSITORY / "runtime"), str(REPOSITORY)])
        # No systemd credentials or folders here, even where this itself runs below a unit.
        inherited = {"PYTHONPATH": paths, "CREDENTIALS_DIRECTORY": "", "RUNTIME_DIRECTORY": ""}
        return Child(name, command, self.logs, {**inherited, **(environment or {})})

    def _simulator(self, name: str) -> Child:
        listen = f"127.0.0.1:{self._venue_port}"
        options = ["--generate", "--seed", str(self._seed), "--symbols", "1", "--json"]
        environment = {"QUIETCORE_CHAOS_CLOCK": str(self.venue_clock)}
        return self._child(name, [*program("sim"), "--listen", listen, *options], environment)

    def _feed(self, name: str) -> Child:
        lines = self.proxy.lines
        command: list[str | Path] = [
            *(feed_handler(), "run", "--feed", FEED, "--venue", "bybit-linear", "--cpu", "-1"),
            *("--websocket", f"ws://127.0.0.1:{lines['feed websocket'].port}"),
            *("--rest", f"http://127.0.0.1:{lines['feed rest'].port}"),
            *("--control", self.control_path, "--capacity", "4096"),
        ]
        return self._child(name, command)

    def _keys(self) -> dict[str, str]:
        found = {"QUIETCORE_CHAOS_BUG": self._bug}
        for name, value in (("KEY", KEY), ("SECRET", SECRET)):
            path = self.settings / f"api_{name.lower()}"
            path.touch(mode=0o600)
            path.write_text(value)
            found[f"QUIETCORE_API_{name}_FILE"] = str(path)
        return found

    def _runtime(self, name: str) -> Child:
        return self.runtime_with(name, self.config, self.status_path)

    def runtime_with(self, name: str, config: Path, status: Path) -> Child:
        """Start a runtime; the pipeline's own, or another one beside it."""
        command: list[str | Path] = [*program("run"), "--config", config, "--status", status, "--json"]
        return self._child(name, command, {**self._keys(), **self._stepped})

    def _guard(self, name: str) -> Child:
        command = [*program("guard"), "--config", self.guard_config, "--heartbeat", self.heartbeat_path]
        environment = {**self._keys(), **self._stepped}
        return self._child(name, [*command, "--report", self.report_path], environment)

    @property
    def _stepped(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._shim), "CLOCK_STEP_FILE": str(self.host_clock)}

    def _write_config(self) -> None:
        self.config, self.guard_config = self.settings / "runtime.toml", self.settings / "guard.toml"
        lines = self.proxy.lines
        self.config.write_text(self._config(lines["runtime rest"]))
        self.guard_config.write_text(self._config(lines["guard rest"]))

    def _config(self, rest: Line) -> str:
        lines = self.proxy.lines
        strategy = Path(__file__).with_name("takes_and_rests.py")
        return f"""mode = "sim"
feed = "{FEED}"
feed_timeout = 10.0
symbol = "{SYMBOL}"
kill_file = {json.dumps(str(self.kill_file))}
strategy_cpu = -1
gateway_cpu = -1

[venue]
name = "bybit-linear"
rest = "http://127.0.0.1:{rest.port}"
private_websocket = "ws://127.0.0.1:{lines["private stream"].port}"
order_websocket = "ws://127.0.0.1:{lines["trade stream"].port}"

[strategy]
path = {json.dumps(str(strategy))}

[strategy.parameters]
every = 6

[risk]
order_size = "0.001"
max_position = "0.010"
max_open_orders = 4
max_order_rate = 9
price_band = 0.01
max_book_age = {MOST_BOOK_AGE}

[guard]
timeout = {GUARD_TIMEOUT}
"""

    # commands

    def command(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a `quietcore` command to its end; raise Broken where it does not come to one."""
        environment = {**os.environ, **self._keys(), "RUNTIME_DIRECTORY": str(self.status_path.parent)}
        environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY / "runtime"), str(REPOSITORY)])
        try:
            return subprocess.run(
                [*program(str(words[0])), *map(str, words[1:])],
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"quietcore {words[0]} does not end within {COMMAND_SECONDS:g} s") from error

    def switch_off(self) -> subprocess.CompletedProcess[str]:
        """`quietcore kill`."""
        return self.command("kill", "--file", self.kill_file, "--status", self.status_path)

    def switch_on(self) -> None:
        """`quietcore clear`, whether it was off or on; raise Broken where that does not work."""
        done = self.command("clear", "--file", self.kill_file)
        if done.returncode not in (ExitCode.OK, ExitCode.FOUND):
            said = (done.stdout + done.stderr).strip()
            raise Broken(f"quietcore clear: exit code {done.returncode}: {said}")

    def set_venue_clock(self, seconds: float) -> None:
        """Let the simulator's clock be ahead of everybody's by so much."""
        set_clock(self.venue_clock, seconds)
        self.books.clock_off_ms = int(seconds * 1000)

    def set_host_clock(self, seconds: float) -> None:
        """Let the time of day of runtime and guard be ahead of everybody's by so much."""
        set_clock(self.host_clock, seconds)

    # looking

    def status(self) -> dict[str, Any] | None:
        """Return the runtime's status, None where there is none that can be read."""
        try:
            found = json.loads(self.status_path.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def report(self) -> dict[str, int]:
        """Return the guard's report, empty where there is none."""
        try:
            found = json.loads(self.report_path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def moment(self) -> Moment:
        """Return the account as the simulator has it."""
        return self.books.moment()

    def sent_since(self, at: float) -> list[Sending]:
        """Return the order requests that left the runtime since then, CLOCK_MONOTONIC."""
        return [one for one in self.sent if one.at >= at]

    def until(self, holds: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> float:
        """Poll until ``holds``; return after how long; raise Broken where it does not within ``seconds``.

        What the processes waited for a CPU meanwhile does not count.
        """
        began, starved = time.monotonic(), self.starvation()
        while not self._try(holds):
            if time.monotonic() - began > seconds and time.monotonic() - began > seconds + starved.seconds():
                raise Broken(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def let_pass(self, seconds: float) -> None:
        """Let the processes have so many seconds, and up to MOST_STRETCH times as many for want of a CPU."""
        began, starved = time.monotonic(), self.starvation()
        while time.monotonic() - began < seconds + min(starved.seconds(), MOST_STRETCH * seconds):
            time.sleep(POLL_SECONDS)

    def starvation(self) -> Starvation:
        """Begin to count what the processes wait for a CPU."""
        return Starvation(lambda: [os.getpid(), *(part.pid for part in self.parts if part.alive)])

    @staticmethod
    def _try(holds: Callable[[], bool]) -> bool:
        try:
            return holds()
        except OSError:
            return False  # a simulator that is away answers later

    def said(self, part: Part, pattern: str, since: Mark, seconds: float) -> str:
        """Wait for a line in a log that matches, and return it; raise Broken where there is none."""
        self.until(
            lambda: bool(part.says(pattern, since)), seconds, f"a line of the {part.name} with /{pattern}/"
        )
        return part.says(pattern, since)


def clock_shim(folder: Path) -> Path:
    """Compile what sets one process's clock off, when it is preloaded; raise QuietcoreError."""
    shim = folder / "clock_step.so"
    source = REPOSITORY / "tests" / "native" / "clock_step.c"
    try:
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise QuietcoreError("no clock that steps", found=error, remedy="install a C compiler") from error
    return shim


def set_clock(file: Path, seconds: float) -> None:
    """Write how far a clock is off; in place, for it is mapped."""
    with file.open("r+b") as found:
        found.write(struct.pack("q", int(seconds * 1e9)))


def program(command: str) -> list[str | Path]:
    """Return how a `quietcore` command is started here."""
    return [sys.executable, "-m", "tests.chaos.program", command]
