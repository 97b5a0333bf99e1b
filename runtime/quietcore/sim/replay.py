"""Sends a source's frames to the hub, and tells where it is."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections.abc import Callable
from typing import Any

from quietcore.sim.frames import Frame, Kind
from quietcore.sim.frames.binance import BinanceFrames, canonical
from quietcore.sim.hub import Client, Hub
from quietcore.sim.pacing import Pacer
from quietcore.sim.source import Source

SETTLE_SECONDS = 0.5
HELD_SECONDS = 10.0


class Phase(enum.Enum):
    """Where a replay is."""

    WAITING = "waiting for a subscription"
    HELD = "held: POST /sim/start begins"
    REPLAYING = "replaying"
    FINISHED = "finished"


class Replay:
    """Plays a source `loops` times (None: for ever) through the hub.

    It begins at the first complete subscription: when every topic of the source is subscribed, or half a
    second after the latest subscription if some never are. With `hold` it begins at `start`. Frames go out in
    order and each subscriber is waited for, so nothing is lost. `on_book` is called after each change of a
    symbol's book, `on_trades` with each trade message.
    """

    def __init__(
        self,
        source: Source,
        hub: Hub,
        pacer: Pacer,
        *,
        hold: bool = False,
        restamp: bool = True,
        loops: int | None = 1,
        on_book: Callable[[str], None] = lambda symbol: None,
        on_trades: Callable[[Frame], None] = lambda frame: None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.source = source
        self.hub = hub
        self.reader = source.reader()
        self.phase = Phase.HELD if hold else Phase.WAITING
        self.frames = 0  # taken from the source
        self.delivered = 0  # frame and client pairs
        self.unsubscribed = 0  # frames nobody was subscribed to
        self.passes = 0
        self.held_seconds = HELD_SECONDS  # how long a depth request waits for the start
        self._pacer = pacer
        self._restamp = restamp
        self._loops = loops
        self._on_book = on_book
        self._on_trades = on_trades
        self._wall_ms = wall_ms
        self._begin = asyncio.Event()
        self._settling: asyncio.TimerHandle | None = None
        self._seen_snapshot: set[str] = set()
        self._unserved: dict[str, int] = {}
        self._progress: dict[str, asyncio.Event] = {}
        self._started_at = 0.0
        self._seconds = 0.0

    # beginning ----------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin now."""
        if self._settling is not None:
            self._settling.cancel()
        self._begin.set()

    def subscribed(self, client: Client, topics: list[str]) -> None:
        """Take note of a subscription: it may be what the replay waits for."""
        for topic in topics:
            symbol, _, stream = topic.partition("@")
            if stream == "depth" and symbol.upper() not in self._seen_snapshot:
                self._unserved[symbol.upper()] = self._unserved.get(symbol.upper(), 0) + 1
        if self.phase is not Phase.WAITING:
            return
        if self.hub.subscribed() >= set(self.source.topics):
            self.start()
            return
        if self._settling is not None:
            self._settling.cancel()
        if self.hub.subscribed() & set(self.source.topics):
            self._settling = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self.start)

    # running ------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Wait for the beginning and play to the end."""
        await self._begin.wait()
        self.phase = Phase.REPLAYING
        self._started_at = time.monotonic()
        while self._loops is None or self.passes < self._loops:
            self._pacer.restart()
            if self.passes:
                self.reader.reset()
                self._seen_snapshot.clear()
                self._unserved.clear()
            for frame in self.source.frames(self.reader):
                assert frame.receive_ns is not None
                await self._pacer.wait(frame.receive_ns)
                await self._play(frame)
            self.passes += 1
        self._seconds = time.monotonic() - self._started_at
        self.phase = Phase.FINISHED

    async def _play(self, frame: Frame) -> None:
        self.reader.track(frame)
        if frame.kind is Kind.SNAPSHOT:
            self._seen_snapshot.add(frame.symbol)
            return
        self.frames += 1
        if frame.kind is Kind.BOOK:
            self._on_book(frame.symbol)
        elif frame.kind is Kind.TRADE:
            self._on_trades(frame)
        raw = self.reader.restamp(frame, self._wall_ms()) if self._restamp else frame.raw
        reached = await self.hub.publish(frame.topic, raw)
        self.delivered += reached
        self.unsubscribed += not reached
        if self._progress and frame.kind is Kind.BOOK and (event := self._progress.pop(frame.symbol, None)):
            event.set()

    # what clients ask for -----------------------------------------------------------------------------------
    def now_ms(self) -> int:
        """Return the venue's time that a message made now carries."""
        return self._wall_ms()

    def stream_snapshot(self, topic: str) -> bytes | None:
        """Return what a client that joins `topic` now gets first, None where the stream begins with it."""
        if self.phase in (Phase.WAITING, Phase.HELD):
            return None
        return self.reader.stream_snapshot(topic, self._wall_ms())

    async def rest_snapshot(self, symbol: str, limit: int) -> bytes | None:
        """Return a Binance REST depth answer from which a client that is subscribed can synchronise, or None.

        A client that has had every delta since the replay began gets the recording's own snapshot, however
        late it asks, so that it builds the recorded book from its first delta on. Any other gets the
        simulator's book, after one more delta has gone out: by the venue's rule the first delta applied must
        reach around `lastUpdateId`. While the replay is held the answer waits for its start, not for ever.
        """
        assert isinstance(self.reader, BinanceFrames)
        if self.phase is Phase.HELD:
            # Nothing moves before the start: who reads what the asking client publishes gets there in time.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._begin.wait(), self.held_seconds)
        recording = self.source.snapshots.get(symbol)
        unserved = self._unserved.get(symbol, 0)
        if recording is not None and (symbol not in self._seen_snapshot or unserved):
            self._unserved[symbol] = max(0, unserved - 1)
            return self._recorded_snapshot(recording, limit)
        if self.phase is Phase.REPLAYING:
            event = self._progress.setdefault(symbol, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), 1.0)
        return self.reader.rest_snapshot(symbol, limit, self._wall_ms())

    def _recorded_snapshot(self, raw: bytes, limit: int) -> bytes:
        assert isinstance(self.reader, BinanceFrames)
        frame = self.reader.parse(raw)
        if limit < max(len(frame.body.bids), len(frame.body.asks)):
            frame = self.reader.parse(self.reader.cut_snapshot(frame, limit))
        return self.reader.restamp(frame, self._wall_ms()) if self._restamp else frame.raw

    def state(self) -> dict[str, Any]:
        """Return where the replay is, for `/sim/state`."""
        running = self.phase is Phase.REPLAYING
        seconds = time.monotonic() - self._started_at if running else self._seconds
        return {
            "phase": self.phase.name.lower(),
            "source": self.source.title,
            "venue": self.source.venue,
            "symbols": list(self.source.instruments),
            "total": self.source.total,
            "frames": self.frames,
            "delivered": self.delivered,
            "unsubscribed": self.unsubscribed,
            "passes": self.passes,
            "seconds": round(seconds, 6),
            "frames_per_second": round(self.frames / seconds, 1) if seconds else 0.0,
            "clients": [
                {"number": client.number, "topics": sorted(client.topics), "delivered": client.delivered}
                for client in sorted(self.hub.clients, key=lambda one: one.number)
            ],
        }


def binance_topics(streams: list[str]) -> list[str]:
    """Return the topics behind the stream names of a Binance subscription."""
    return [canonical(stream) for stream in streams if stream]
