"""Simulator, feed handler and runtime as children of this process, and their traces on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from quietcore.errors import QuietcoreError
from quietcore.local.children import Child, Interruption
from quietcore.observe.status_place import local_folder_prefix

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the ring of a feed lies
FEED_NAME = "quietcore-feed"
OURS = re.compile(r"quietcore\.local-([0-9]+)(\..*)?")
KEY, SECRET = "sim-key", "sim-secret"  # the simulator's own test account
START_SECONDS = 30.0
RING_SECONDS = 5.0  # the feed handler is ready before the runtime begins, so its ring should be there
COMPILE_SECONDS = 180.0  # the runtime compiles its loop before it is ready
LONGEST_SOCKET = 108  # bytes of a path in unix(7), its end included
ORDER_NOTIONAL = Decimal(20)  # well above the venue's least


def feed_handler() -> Path:
    """Find the feed handler: $QUIETCORE_FEED, else beside this installation; raise QuietcoreError."""
    wish = os.environ.get("QUIETCORE_FEED", "")
    root = Path(__file__).resolve().parents[3]
    build = Path("build") / "bin" / FEED_NAME
    places = [Path(wish)] if wish else [root / build, Path(sys.prefix).parent / build]
    if not wish and root.name == "lib":  # a release: bin/quietcore-feed beside lib/python/quietcore
        places.append(root.parent / "bin" / FEED_NAME)
    for place in places:
        if os.access(place, os.X_OK) and place.is_file():
            return place
    raise QuietcoreError(
        "no feed handler",
        where=", ".join(map(str, dict.fromkeys(places))),
        remedy="make build, or name it in QUIETCORE_FEED",
    )


def remove_segments(feed: str) -> None:
    """Remove a feed's segment and its lock file."""
    for path in SHARED_MEMORY.glob(f"quietcore.{feed}*"):
        if path.name == f"quietcore.{feed}" or path.name.startswith(f"quietcore.{feed}."):
            path.unlink(missing_ok=True)


def remove_residue() -> list[str]:
    """Remove segments of earlier runs whose process is gone (it was killed); return their names."""
    removed = []
    for path in SHARED_MEMORY.glob("quietcore.local-*"):
        match = OURS.fullmatch(path.name)
        if match and not Path("/proc", match[1]).exists():
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


@dataclass
class Wishes:
    """What the user asked for.

    `simulator`: options of `quietcore sim`, what is played and how fast. `wait`: "nap", or "spin" where each of feed
    handler, loop and gateway has a core to itself.
    """

    simulator: list[str]
    depth: int = 50
    symbol: str = ""
    strategy: str = "crossing"
    parameters: dict[str, int | float] = field(default_factory=dict)
    wait: str = "nap"


@dataclass
class LocalPipeline:
    """The three children and what they leave: a context manager that takes all of it away again."""

    wishes: Wishes
    feed: str = field(default_factory=lambda: f"local-{os.getpid()}")
    children: list[Child] = field(default_factory=list)
    announced: dict[str, Any] = field(default_factory=dict)
    symbol: str = ""
    interruption: Interruption = field(default_factory=Interruption)

    def __enter__(self) -> LocalPipeline:
        self._handler = feed_handler()
        remove_residue()
        self.folder = Path(tempfile.mkdtemp(prefix=local_folder_prefix(os.getpid())))
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children):
            child.stop()
        remove_segments(self.feed)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def status_path(self) -> Path:
        """Where the runtime writes its status."""
        return self.folder / "runtime.json"

    @property
    def control_path(self) -> Path:
        """Where `quietcore-feed control --socket` reaches the feed handler, unless the folder lies too deep."""
        return self.folder / "control"

    @property
    def _can_be_controlled(self) -> bool:
        return len(str(self.control_path)) < LONGEST_SOCKET

    # starting -----------------------------------------------------------------------------------------------
    def start_simulator(self) -> None:
        """Start the simulator; it holds until `begin`."""
        simulator = self._start(
            "simulator",
            [*_quietcore("sim"), "--listen", "127.0.0.1:0", "--hold", "--json", *self.wishes.simulator],
        )
        self.announced = simulator.announcement(START_SECONDS)
        instruments = self.announced["instruments"]
        self.symbol = self.wishes.symbol or next(iter(instruments))
        if self.symbol not in instruments:
            raise QuietcoreError(
                "no such symbol", where="--symbol", found=self.symbol, expected=" or ".join(instruments)
            )

    def start_feed(self) -> None:
        """Start the feed handler and wait until all its subscriptions are confirmed."""
        announced = self.announced
        feed = self._start(
            "feed handler",
            [
                *(self._handler, "run", "--feed", self.feed, "--venue", announced["venue"]),
                *("--websocket", announced["websocket"], "--rest", announced["rest"]),
                *("--depth", str(self.wishes.depth), "--cpu", "-1", "--wait", self.wishes.wait),
                "--retired-depths",  # the recording may be older than what the venue offers now
                *(("--control", self.control_path) if self._can_be_controlled else ()),
            ],
        )
        feed.wait_subscribed(START_SECONDS)

    def start_runtime(self) -> None:
        """Start the runtime and wait until it has compiled everything and reached the venue."""
        config = self.folder / "runtime.toml"
        config.write_text(self._runtime_config())
        keys = {}
        for name, value in (("KEY", KEY), ("SECRET", SECRET)):
            path = self.folder / f"api_{name.lower()}"
            path.touch(mode=0o600)
            path.write_text(value)
            keys[f"QUIETCORE_API_{name}_FILE"] = str(path)
        command = [*_quietcore("run"), "--config", str(config), "--status", str(self.status_path), "--json"]
        # No systemd credentials here, even if this command itself runs below a unit.
        runtime = self._start("runtime", command, {**keys, "CREDENTIALS_DIRECTORY": ""})
        runtime.wait_ready(COMPILE_SECONDS, self.children)

    def begin(self) -> None:
        """Let the simulator send."""
        self._ask("/sim/start", method="POST")

    def _start(
        self, name: str, command: Sequence[str | Path], environment: dict[str, str] | None = None
    ) -> Child:
        child = Child(name, command, self.folder, environment, self.interruption)
        self.children.append(child)
        return child

    def _runtime_config(self) -> str:
        instrument = self.announced["instruments"][self.symbol]
        lot, price = Decimal(instrument["lot"]), Decimal(instrument["price"])
        size = max(lot, (ORDER_NOTIONAL / price / lot).to_integral_value(ROUND_CEILING) * lot)
        websocket = json.dumps(self.announced["websocket"])
        return f"""mode = "sim"
feed = "{self.feed}"
feed_timeout = {RING_SECONDS}
symbol = "{self.symbol}"
wait = "{self.wishes.wait}"
kill_file = {json.dumps(str(self.folder / "kill"))}
strategy_cpu = -1
gateway_cpu = -1

[venue]
name = "bybit-linear"
rest = {json.dumps(self.announced["rest"])}
private_websocket = {websocket}
order_websocket = {websocket}

{self._strategy_config()}

[risk]
order_size = "{size:f}"
max_position = "{size * 10:f}"
max_open_orders = 4
max_order_rate = 10
price_band = 0.01
"""

    def _strategy_config(self) -> str:
        wish = self.wishes.strategy
        key, value = ("path", str(Path(wish).resolve())) if wish.endswith(".py") else ("name", wish)
        lines = [f"{name} = {number!r}" for name, number in self.wishes.parameters.items()]
        return "\n".join([f"[strategy]\n{key} = {json.dumps(value)}", "[strategy.parameters]", *lines])

    # looking ------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Raise QuietcoreError if a child has ended by itself, KeyboardInterrupt if the end is wished for."""
        self.interruption.check()
        for child in self.children:
            child.check()

    def status(self) -> dict[str, Any] | None:
        """Return the runtime's latest status, None before the first."""
        try:
            found: dict[str, Any] = json.loads(self.status_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def simulator_state(self) -> dict[str, Any]:
        """Return where the simulator is."""
        return self._ask("/sim/state")

    def finish(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """End the runtime; return its final status and the simulator's state after it."""
        runtime = self.children[-1]
        runtime.stop(10.0)
        final = self.status()
        if final is None or not final.get("final"):
            said = " | ".join(runtime.last_lines()) or "nothing"
            raise QuietcoreError("the runtime left no final report", found=f"it said {said}")
        return final, self.simulator_state()

    def _ask(self, path: str, *, method: str = "GET") -> dict[str, Any]:
        # Our own child: the address is the one it told us.
        request = urllib.request.Request(self.announced["rest"] + path, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                answer: dict[str, Any] = json.load(response)
        except OSError as error:
            self.check()
            raise QuietcoreError("the simulator does not answer", where=path, found=error) from error
        return answer


def _quietcore(command: str) -> list[str]:
    return [sys.executable, "-m", "quietcore", command]
