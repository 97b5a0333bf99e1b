"""Reads recordings: lines of ``receive_ns raw_json`` or bare ``raw_json``, plain or gzip.

A line that begins with `# ` is a remark; `# N messages are missing here: …` is what the recorder had no room for.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from quietcore.errors import QuietcoreError
from quietcore.sim.frames import Frame, Kind, Refused, VenueFrames
from quietcore.sim.frames.binance import BinanceFrames, Delta
from quietcore.sim.frames.bybit import BybitFrames

VENUES: dict[str, type[BybitFrames] | type[BinanceFrames]] = {
    "bybit-linear": BybitFrames,
    "binance-usdm": BinanceFrames,
}
SPOT_VENUE = "binance-spot"
# First bytes of what the feed handler reads and writes besides, and what to do with it here.
_PCAP = (
    "a capture (pcap)",
    "replay it by quietcore-feed: it holds binary packets, which a simulated venue does not send",
)
OTHER_FORMATS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it: zstd -d FILE"),
    b"\xd4\xc3\xb2\xa1": _PCAP,
    b"\xa1\xb2\xc3\xd4": _PCAP,
    b"\x4d\x3c\xb2\xa1": _PCAP,
    b"\xa1\xb2\x3c\x4d": _PCAP,
    b"\x0a\x0d\x0d\x0a": (
        "a capture (pcapng)",
        "convert it: editcap -F nsecpcap FILE OUT; then quietcore-feed replay",
    ),
}
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_MISSING = re.compile(rb"# ([0-9]{1,18}) messages are missing here")


class Line(NamedTuple):
    """One line of a recording: its number from 1, the recorder's time in ns or None, the raw message.

    A remark has no raw message, and in `missing` how many it says are missing before the next line.
    """

    number: int
    receive_ns: int | None
    raw: bytes
    missing: int = 0


def open_recording(path: Path) -> IO[bytes]:
    """Open a recording, unpacking gzip; raise QuietcoreError (exit 2) where it cannot be read."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
        packed = magic[:2] == b"\x1f\x8b"
        if magic in OTHER_FORMATS:
            what, remedy = OTHER_FORMATS[magic]
            raise QuietcoreError(
                "recording in a format that is not read here",
                where=str(path),
                found=what,
                expected="lines of text, plain or gzip",
                remedy=remedy,
            )
        return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise QuietcoreError(
            "cannot read the recording", where=str(path), found=error.strerror, remedy="give an existing file"
        ) from error


def lines(path: Path) -> Iterator[Line]:
    """Yield a recording's lines; empty ones are left out, remarks come without a message.

    Raises QuietcoreError (exit 2) with file and line where the file ends in mid-line or its compression is
    cut off.
    """
    number = 0
    with closing(open_recording(path)) as stream:
        try:
            for number, line in enumerate(stream, 1):
                text = line.strip()
                if not text:
                    continue
                if text.startswith(b"# "):
                    found = _MISSING.match(text)
                    yield Line(number, None, b"", int(found[1]) if found else 0)
                    continue
                if not line.endswith(b"\n") and not _is_whole(text):
                    raise QuietcoreError(
                        "the recording is cut off",
                        where=f"{path}:{number}",
                        found=f"a last line of {len(text)} bytes that is no complete message",
                        remedy=f"copy the file again, or cut the line off: head -n {number - 1}",
                    )
                yield _split(number, text)
        except (EOFError, OSError, zlib.error) as error:
            raise QuietcoreError(
                "the recording's compression is cut off or damaged",
                where=f"{path}:{number + 1}",
                found=error,
                remedy="copy the file again",
            ) from error


def _split(number: int, text: bytes) -> Line:
    head, space, rest = text.partition(b" ")
    if space and head.isdigit():
        return Line(number, int(head), rest.lstrip())
    return Line(number, None, text)


def _is_whole(text: bytes) -> bool:
    """Tell whether a line is a whole message: an object or an array, for a time alone is a number of JSON too."""
    try:
        return isinstance(json.loads(_split(0, text).raw), (dict, list))
    except ValueError:
        return False


def detect_venue(path: Path) -> str:
    """Name the venue of a recording by its first lines; raise QuietcoreError where none is recognised."""
    for line in lines(path):
        if line.raw:
            try:
                message = json.loads(line.raw)
            except ValueError:
                break
            venue = _venue_of(message)
            if venue == SPOT_VENUE:
                raise QuietcoreError(
                    "a recording of a venue that simulator and backtest do not play",
                    where=f"{path}:{line.number}",
                    found=f"{SPOT_VENUE} (a depth update without `pu`)",
                    expected=" or ".join(VENUES),
                    remedy=f"quietcore-feed verify --venue {SPOT_VENUE} {path}",
                )
            if venue:
                return venue
        if line.number > 100:
            break
    raise QuietcoreError(
        "cannot tell the recording's venue",
        where=str(path),
        expected="messages with `topic` (Bybit), or with `stream`, or an event `e` (Binance)",
        remedy=f"name it: --venue {' | '.join(VENUES)}",
    )


def _venue_of(message: Any) -> str:
    """Return the venue that sends such a message, "" where it does not tell; an array is told by what it holds."""
    if isinstance(message, list):
        message = message[0] if message else None
    if not isinstance(message, dict):
        return ""
    if "topic" in message:
        return BybitFrames.name
    event = message.get("data") if "stream" in message else message
    if isinstance(event, dict) and event.get("e") == "depthUpdate" and "pu" not in event:
        return SPOT_VENUE
    return BinanceFrames.name if {"stream", "lastUpdateId", "e"} & message.keys() else ""


def venue_frames(name: str) -> BybitFrames | BinanceFrames:
    """Return a reader of the venue's frames; raise QuietcoreError for an unknown venue."""
    if name not in VENUES:
        raise QuietcoreError("unknown venue", where="--venue", found=name, expected=" or ".join(VENUES))
    return VENUES[name]()


def decimals(text: str) -> int:
    """Count decimals without trailing zeros.

    >>> decimals("61800.20"), decimals("3"), decimals("0.000")
    (1, 0, 0)
    """
    point = text.find(".")
    return 0 if point < 0 else len(text.rstrip("0")) - point - 1


@dataclass
class Scale:
    """Finest decimals seen: one tick is 10**-price, one lot 10**-size."""

    price: int = 0
    size: int = 0


@dataclass
class Survey:
    """What a recording holds, found by one pass over it before it is replayed."""

    path: Path
    venue: str
    scales: dict[str, Scale] = field(default_factory=dict)
    topics: dict[str, int] = field(default_factory=dict)  # frames by topic, as subscribed to
    snapshots: dict[str, bytes] = field(default_factory=dict)  # a symbol's first REST depth answer
    snapshot_symbols: dict[int, str] = field(default_factory=dict)  # whose such an answer is, by its id
    prices: dict[str, str] = field(
        default_factory=dict
    )  # one of each symbol, of its first quote or trade if any
    quoted: set[str] = field(default_factory=set)  # symbols whose price is one of a quote or a trade
    frames: int = 0  # that go to a stream
    timed: bool = True  # every line has a receive time
    others: int = 0  # valid messages of streams that nobody follows, and what is no trade of the market
    missing: int = 0  # that the recorder says it had no room for

    @property
    def symbols(self) -> list[str]:
        """Symbols in order of first appearance."""
        return list(self.scales)

    def depth(self) -> int | None:
        """Depth of the first orderbook topic of a Bybit recording, None where there is none."""
        for topic in self.topics:
            if topic.startswith("orderbook."):
                return int(topic.split(".")[1])
        return None


def survey(path: Path, venue: str | None = None) -> Survey:
    """Read a recording once: symbols, scales, topics, snapshots.

    The scale is the finest decimal seen in the whole file, per symbol, trailing zeros aside. Raises
    QuietcoreError (exit 2) naming file and line for a message that is not JSON or not the venue's, and for an
    empty recording.
    """
    venue = venue or detect_venue(path)
    frames = venue_frames(venue)
    found = Survey(path, venue)
    answers: list[Frame] = []
    ranges: dict[str, list[tuple[int, int]]] = {}
    for line, frame in read_frames(path, frames):
        if frame is None:
            found.missing += line.missing
            continue
        if line.receive_ns is None:
            found.timed = False
        if frame.kind is Kind.SNAPSHOT:
            answers.append(frame)
            continue
        if frame.kind is Kind.OTHER:
            found.others += 1
            continue
        found.frames += 1
        found.topics[frame.topic] = found.topics.get(frame.topic, 0) + 1
        if isinstance(frame.body, Delta):
            ranges.setdefault(frame.symbol, []).append((frame.body.first, frame.body.last))
        try:
            _see(found, frames, frame)
        except Refused as error:
            raise _refusal(path, line.number, line.raw, venue, error) from error
    if not found.frames:
        raise QuietcoreError(
            "the recording holds no market data",
            where=str(path),
            found=f"{found.others} messages of other streams" if found.others else "nothing",
            expected=f"book, trade or quote streams of {venue}",
        )
    for frame in answers:
        owned = frame._replace(symbol=frame.symbol or _owner(found, ranges, frame))
        if owned.symbol:
            found.snapshot_symbols[owned.body.last] = owned.symbol
            found.snapshots.setdefault(owned.symbol, owned.raw)
            _see(found, frames, owned)
    return found


def _see(found: Survey, frames: VenueFrames, frame: Frame) -> None:
    scale = found.scales.setdefault(frame.symbol, Scale())
    first = ""
    for price, size in frames.prices(frame):
        if not (_DECIMAL.fullmatch(price) and _DECIMAL.fullmatch(size)):
            raise Refused(f"price {price!r} and size {size!r}, expected plain decimal numbers")
        first = first or price
        if (digits := decimals(price)) > scale.price:
            scale.price = digits
        if (digits := decimals(size)) > scale.size:
            scale.size = digits
    # The first row of a delta may lie anywhere in a deep book: a quote or a trade tells the price better.
    if first and (frame.symbol not in found.prices or frame.symbol not in found.quoted):
        found.prices[frame.symbol] = first
        if frame.kind in (Kind.TICKER, Kind.TRADE) or not isinstance(frame.body, Delta):
            found.quoted.add(frame.symbol)


def _owner(found: Survey, ranges: dict[str, list[tuple[int, int]]], frame: Frame) -> str:
    """Name the symbol of a REST depth answer, which does not say it.

    It is one with a delta that reaches around the answer's id; of several, the one nearest in price.
    """
    last, bids = frame.body.last, frame.body.bids
    around = [symbol for symbol, ids in ranges.items() if any(low <= last <= high for low, high in ids)]
    fitting = around or list(ranges)
    if len(fitting) < 2 or not bids:
        return fitting[0] if fitting else ""
    price = float(bids[0][0])
    return min(fitting, key=lambda symbol: abs(math.log(price / float(found.prices[symbol]))))


def read_frames(path: Path, frames: VenueFrames) -> Iterator[tuple[Line, Frame | None]]:
    """Yield each line and its frame, None for a remark.

    Raises QuietcoreError with file and line (exit 2) for what is no message of the venue.
    """
    for line in lines(path):
        if not line.raw:
            yield line, None
            continue
        try:
            frame = frames.parse(line.raw, line.receive_ns)
        except Refused as error:
            raise _refusal(path, line.number, line.raw, frames.name, error) from error
        yield line, frame


def _refusal(path: Path, number: int, raw: bytes, venue: str, error: Refused) -> QuietcoreError:
    shown = raw[:40].decode(errors="replace")
    return QuietcoreError(
        "not a message of the venue",
        where=f"{path}:{number}",
        found=f"{shown!r} ({error})",
        expected=f"JSON as {venue} sends it",
        remedy="remove the line, or name the right --venue",
    )
