"""Where the frames come from: a recording or a generated session, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from quietcore.sim.frames import Frame, Kind
from quietcore.sim.frames.binance import BinanceFrames
from quietcore.sim.frames.bybit import BybitFrames
from quietcore.sim.generate import GeneratedSession
from quietcore.sim.instruments import Instrument, from_scales
from quietcore.sim.recording import read_frames, survey, venue_frames


@dataclass
class Source:
    """Frames and what is known of them before the first one.

    `topics`: what clients can get. `snapshots`: a symbol's recorded REST depth answer, `snapshot_symbols`: whose
    an answer is, by its id. `prices`: a price of each symbol, near its first. `total`: frames of one pass that go
    to a stream, None for an endless session. `missing`: messages that the recorder lost, by its own count.
    """

    title: str
    venue: str
    instruments: dict[str, Instrument]
    topics: list[str]
    total: int | None
    path: Path | None = None
    session: GeneratedSession | None = None
    snapshots: dict[str, bytes] = field(default_factory=dict)
    snapshot_symbols: dict[int, str] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)
    timed: bool = True
    missing: int = 0

    def reader(self) -> BybitFrames | BinanceFrames:
        """Return a fresh reader of the venue's frames, with books of its own."""
        reader = venue_frames(self.venue)
        if isinstance(reader, BinanceFrames):
            reader.snapshot_symbols = self.snapshot_symbols
        return reader

    def frames(self, reader: BybitFrames | BinanceFrames) -> Iterator[Frame]:
        """Yield one pass of frames, REST answers included; each has a `receive_ns` to pace by."""
        if self.session is not None:
            assert isinstance(reader, BybitFrames)
            yield from self.session.frames(reader)
            return
        assert self.path is not None
        at_ns = 0
        for _, frame in read_frames(self.path, reader):
            if frame is None or frame.kind is Kind.OTHER:
                continue
            if self.timed and frame.receive_ns is not None:
                at_ns = frame.receive_ns
            elif frame.kind is not Kind.SNAPSHOT:
                # Without receive times the venue's set the pace; they may step back between topics.
                at_ns = max(at_ns, frame.time_ms * 1_000_000)
            yield frame._replace(receive_ns=at_ns)


def recorded(path: Path, venue: str | None) -> Source:
    """Return the source that replays a recording; raise QuietcoreError (exit 2) where it is damaged."""
    found = survey(path, venue)
    return Source(
        title=path.name,
        venue=found.venue,
        instruments=from_scales(found.scales),
        topics=list(found.topics),
        total=found.frames,
        path=path,
        snapshots=found.snapshots,
        snapshot_symbols=found.snapshot_symbols,
        prices=found.prices,
        timed=found.timed,
        missing=found.missing,
    )


def generated(seed: int, symbols: int, depth: int, messages: int | None) -> Source:
    """Return the source of a generated session."""
    session = GeneratedSession(seed, symbols, depth=depth, messages=messages)
    return Source(
        title=f"generated session, seed {seed}",
        venue=BybitFrames.name,
        instruments=session.instruments,
        topics=session.topics,
        total=messages,
        session=session,
        prices=session.prices,
    )
