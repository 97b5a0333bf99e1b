"""What a venue's stream frames are to the simulator: which topic, which symbol, which book change.

A frame's bytes are never rewritten but for its times; everything else a client gets is what the venue sent.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from quietcore.sim.book import Book


class Kind(enum.Enum):
    """What a frame carries."""

    BOOK = "book"
    TRADE = "trade"
    TICKER = "ticker"
    SNAPSHOT = "snapshot"  # a REST answer: served by REST, never sent on a stream
    OTHER = "other"  # an answer to a request, a topic the simulator does not know: never sent


class Trade(NamedTuple):
    """One trade of a frame, as the venue writes it. `sell`: the taker sold."""

    price: str
    size: str
    sell: bool


class Frame(NamedTuple):
    """One recorded or generated message.

    `topic` is what clients subscribe to, `time_ms` the venue's time (0: none), `receive_ns` the recorder's
    (None: the recording has none), `body` the venue module's own decoded form of a book message, and of a trade message
    the `Trade`s that took from the book: block trades, or what the insurance fund moved, are none.
    """

    kind: Kind
    topic: str
    symbol: str
    time_ms: int
    raw: bytes
    receive_ns: int | None = None
    body: Any = None


class Refused(ValueError):  # noqa: N818 - a verdict on a message
    """A message that is not one of the venue's; the text says why."""


def is_zero(text: str) -> bool:
    """Tell whether a decimal number is 0.

    >>> is_zero("0.000"), is_zero("0.001"), is_zero("")
    (True, False, False)
    """
    return text != "" and not text.strip("0.")


class VenueFrames(Protocol):
    """One venue's frames: read them, follow their books, make the snapshots that clients need."""

    name: str

    def parse(self, raw: bytes, receive_ns: int | None = None) -> Frame:
        """Read one message; raise `Refused` where it is none of the venue's."""

    def prices(self, frame: Frame) -> Iterator[tuple[str, str]]:
        """Yield every (price, size) of a frame, as text."""

    def trades(self, frame: Frame) -> Iterator[Trade]:
        """Yield the trades of a TRADE frame that resting orders meet."""

    def published(self, frame: Frame) -> bool:
        """Tell whether the feed handler publishes trades of a TRADE frame."""

    def track(self, frame: Frame) -> None:
        """Apply a frame to the simulator's own books."""

    def book(self, symbol: str) -> Book | None:
        """Return the book whose best prices orders of `symbol` match against, or None while there is none."""

    def reset(self) -> None:
        """Forget all books: the recording begins again."""

    def restamp(self, frame: Frame, now_ms: int) -> bytes:
        """Return the frame's bytes with its venue times moved so that the newest is `now_ms`."""

    def stream_snapshot(self, topic: str, now_ms: int) -> bytes | None:
        """Return the message that a client which joins `topic` now needs first, or None."""
