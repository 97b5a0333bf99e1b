"""The pipeline that is loaded: invented venue and feed handler as processes, the strategy's loop as a thread here."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from quietcore.bridge import layout
from quietcore.bridge.follow import KINDS, STATE
from quietcore.bridge.ring import DROPPED, NEXT, word_at
from quietcore.bridge.segment import Segment, attach
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.histogram import highest_value, percentile
from quietcore.local.children import Child, Interruption
from quietcore.local.pipeline import feed_handler, remove_residue, remove_segments
from quietcore.soak.arrivals import arrivals
from quietcore.soak.frames import symbol_name
from quietcore.strategy import risk
from quietcore.strategy.account import Account
from quietcore.strategy.intents import IntentRing
from quietcore.strategy.thread import StrategyThread
from quietcore.strategy.workspace import HOP_NAMES, PUBLISHED_READ, RECEIVED_PUBLISHED, Workspace

START_SECONDS = 150.0
PICTURE_SECONDS = 10.0
POLL_SECONDS = 0.01
SHARES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
TROUBLES = ("gaps", "crossed", "resyncs", "malformed", "out_of_range", "reconnects", "silences")


@dataclass(frozen=True)
class Placement:
    """The CPUs of feed handler, strategy and venue, each for itself alone; -1: any, and waiting by sleeping."""

    feed: int = -1
    strategy: int = -1
    venue: int = -1


@dataclass
class Load:
    """What came of one load. Latencies in ns, from when a message was due until the strategy had its last tick."""

    symbols: int
    rate: float | None
    seconds: float
    sent: int
    applied: int
    achieved: float
    latency: dict[str, int | None]
    samples: int
    hops: dict[str, int | None]
    late: dict[str, Any]
    dropped_ticks: int
    page_faults: int
    troubles: dict[str, int]
    live_books: int
    problems: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """The counters of a moment."""

    workspace: dict[str, Any]
    statistics: dict[str, int]

    def added(self, name: str, since: Counts) -> Any:
        """Return how much an array has grown."""
        return self.workspace[name] - since.workspace[name]


def figures(buckets: Any) -> tuple[dict[str, int | None], int]:
    """Return percentiles and maximum (up to 1.6 % too high) of a histogram, and its count; None where it is empty.

    >>> counts = np.zeros(200, dtype=np.int64); counts[[3, 7]] = 99, 1
    >>> figures(counts)[0]["p99"], figures(counts)[0]["max"], figures(counts)[1]
    (3, 7, 100)
    """
    count = int(buckets.sum())
    if count == 0:
        return dict.fromkeys((*SHARES, "max"), None), 0
    largest = highest_value(int(np.flatnonzero(buckets)[-1]))
    found: dict[str, int | None] = {
        name: percentile(buckets, count, largest, share) for name, share in SHARES.items()
    }
    return found | {"max": largest}, count


class LoadRig:
    """Keeps the pipeline from load to load; a context manager that takes all of it away again."""

    def __init__(self, symbols: int, placement: Placement, interruption: Interruption) -> None:
        self.symbols = symbols
        self._placement = placement
        self._interruption = interruption
        self._stack = ExitStack()
        self._feed = f"local-{os.getpid()}"
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        handler = feed_handler()
        remove_residue()
        try:
            folder = Path(tempfile.mkdtemp(prefix="quietcore-soak-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._start_venue(folder)
            self._start_feed(folder, handler)
            self._start_strategy()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _child(self, name: str, command: list[str | Path], folder: Path) -> Child:
        child = Child(name, command, folder, None, self._interruption)
        self._stack.callback(child.stop)
        self._children.append(child)
        return child

    def _start_venue(self, folder: Path) -> None:
        words = ["--symbols", str(self.symbols), "--cpu", str(self._placement.venue)]
        venue = self._child("invented venue", [sys.executable, "-m", "quietcore.soak.venue", *words], folder)
        venue.wait_ready(START_SECONDS)
        self._announced: dict[str, str] = json.loads(venue.first_line(START_SECONDS))

    def _start_feed(self, folder: Path, handler: Path) -> None:
        self._stack.callback(remove_segments, self._feed)
        feed = self._child(
            "feed handler",
            [
                *(handler, "run", "--feed", self._feed, "--venue", "bybit-linear", "--streams", "book"),
                *("--websocket", self._announced["websocket"], "--rest", self._announced["rest"]),
                *("--cpu", str(self._placement.feed)),
                *("--wait", "nap" if self._placement.feed < 0 else "spin"),
            ],
            folder,
        )
        feed.wait_subscribed(START_SECONDS)
        self._segment: Segment = attach(self._feed)

    def _start_strategy(self) -> None:
        limits = risk.limits(max_position=0, max_open_orders=1, max_order_rate=1, price_band=0.0)
        self._thread = StrategyThread(
            self._segment,
            self._segment.symbol(symbol_name(0)),
            arrivals(),
            limits,
            Account(),
            IntentRing(),
            cpu=self._placement.strategy,
            spin=self._placement.strategy >= 0,
            from_start=True,
            warn=self._refuse,
        )
        self._thread.compile()
        self._thread.start()
        self._stack.callback(self._thread.join, 5.0)
        self._stack.callback(self._thread.stop)
        self._until(lambda: self.live_books() == self.symbols, START_SECONDS, "every book is LIVE")

    def _refuse(self, warning: str) -> None:
        raise QuietcoreError(warning, code=ExitCode.UNKNOWN)

    # one load -----------------------------------------------------------------------------------------------
    def load(self, rate: float | None, seconds: float) -> Load:
        """Send ``rate`` messages a second, None: as many as are taken, for ``seconds``; wait until all have arrived."""
        before = self._counts()
        began = time.monotonic()
        self._ask("begin", {"rate": rate})
        self._until(lambda: time.monotonic() - began >= seconds, seconds + 1.0, "the load's end")
        meanwhile = self._counts()
        took = time.monotonic() - began
        state = self._ask("pause", {})
        # What is on its way when the load ends is part of it: the slow ones are the last.
        self._until(
            lambda: self._arrived(before, int(state["sent"])),
            START_SECONDS + seconds,
            "every message's arrival",
        )
        after = self._counts()
        latency, samples = figures(after.added("arrivals", before))
        hops = after.added("hops", before)
        applied = after.statistics["depth_applied"] - before.statistics["depth_applied"]
        read = meanwhile.added("counters", before)
        load = Load(
            symbols=self.symbols,
            rate=rate,
            seconds=took,
            sent=int(state["sent"]),
            applied=applied,
            achieved=float(read[KINDS + layout.KIND_BOOK]) / took,
            latency=latency,
            samples=samples,
            hops={
                f"{HOP_NAMES[hop]} {name}": value
                for hop in (RECEIVED_PUBLISHED, PUBLISHED_READ)
                for name, value in figures(hops[hop])[0].items()
                if name in ("p50", "p99")
            },
            late=state["late"],
            dropped_ticks=int(after.added("counters", before)[DROPPED]),
            page_faults=sum(
                after.statistics[name] - before.statistics[name]
                for name in ("page_faults_minor", "page_faults_major")
            ),
            troubles={
                name: after.statistics[name] - before.statistics[name]
                for name in TROUBLES
                if after.statistics[name] != before.statistics[name]
            },
            live_books=self.live_books(),
        )
        load.problems = problems(load)
        return load

    def live_books(self) -> int:
        """Return how many books are LIVE, as the strategy's thread has seen."""
        return int((self._picture().books.marks[:, STATE] == layout.STATE_LIVE).sum())

    def _arrived(self, before: Counts, sent: int) -> bool:
        statistics = self._statistics()
        applied = statistics["depth_applied"] - before.statistics["depth_applied"]
        return applied >= sent and int(self._picture().counters[NEXT]) >= word_at(
            self._segment.ring.published
        )

    def _statistics(self) -> dict[str, int]:
        names = ("depth_applied", "page_faults_minor", "page_faults_major", *TROUBLES)
        return {name: int(self._segment.statistics[name]) for name in names}

    def _counts(self) -> Counts:
        picture = self._picture()
        return Counts(
            {
                "counters": picture.counters.copy(),
                "hops": picture.buckets.copy(),
                "arrivals": picture.state["buckets"][0, 0].copy(),
            },
            self._statistics(),
        )

    def _picture(self) -> Workspace:
        self._thread.want_picture()
        found: list[Workspace] = []

        def made() -> bool:
            picture = self._thread.picture()
            if picture is not None:
                found.append(picture)
            return picture is not None

        self._until(made, PICTURE_SECONDS, "the strategy's thread", poll=0.0005)
        return found[0]

    def _until(
        self, condition: Callable[[], bool], seconds: float, what: str, *, poll: float = POLL_SECONDS
    ) -> None:
        until = time.monotonic() + seconds
        while not condition():
            self._interruption.check()
            for child in self._children:
                child.check()
            if time.monotonic() > until:
                raise QuietcoreError(
                    f"waited in vain for {what}",
                    where=f"{self.symbols} symbols",
                    found=f"not within {seconds:.0f} s",
                    remedy="see whether something else uses this machine; try with a lower load",
                    code=ExitCode.UNKNOWN,
                )
            time.sleep(poll)

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        # Our own child: the address is the one it told us.
        request = urllib.request.Request(  # noqa: S310
            f"{self._announced['rest']}/load/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                answer: dict[str, Any] = json.load(response)
        except OSError as error:
            for child in self._children:
                child.check()
            raise QuietcoreError(
                "the invented venue does not answer", where=path, found=error, code=ExitCode.UNKNOWN
            ) from error
        return answer


def problems(load: Load) -> list[str]:
    """Return what a pipeline that kept up would not show."""
    found = []
    if load.applied != load.sent:
        found.append(f"{load.sent:,} messages sent, {load.applied:,} applied")
    if load.dropped_ticks:
        found.append(f"{load.dropped_ticks:,} ticks overwritten before the strategy had read them")
    found += [f"{name}: {count:,}" for name, count in load.troubles.items()]
    if load.live_books != load.symbols:
        found.append(f"{load.live_books:,} of {load.symbols:,} books LIVE at the end")
    return found
