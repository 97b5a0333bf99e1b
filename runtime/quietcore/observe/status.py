"""The runtime's status: what stands in it, and how it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from quietcore.bridge.follow import EPOCH
from quietcore.bridge.follower import symbol_state, tick_counts
from quietcore.bridge.segment import Segment
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.histogram import Histogram, cumulative, summary
from quietcore.observe.state_file import write as write
from quietcore.strategy.risk import REASON_NAMES
from quietcore.strategy.workspace import (
    HELD_BACK,
    HOP_NAMES,
    INTENTS,
    REFUSED,
    SIGNALS,
    UNSENT,
    Workspace,
)

VERSION = 1
PERIOD_SECONDS = 1.0  # between two writings
DEFAULT_FOLDER = Path("/run/quietcore")
FILE_NAME = "runtime.json"
LEVELS = 20

HOP_TITLES = {
    "venue_received": "venue → received",
    "received_published": "received → published",
    "published_read": "published → read",
    "read_signal": "read → signal",
    "signal_sent": "signal → order sent",
}


def default_path(environment: os._Environ[str] | dict[str, str] = os.environ) -> Path:
    """Return where the status lies unless told otherwise."""
    folder = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(folder) if folder else DEFAULT_FOLDER) / FILE_NAME


def hop_part(buckets: Any, marks: Any) -> dict[str, Any]:
    """Return one hop's figures, in ns, and its histogram as it leaves the process; a thread may go on recording."""
    buckets, marks = buckets.copy(), marks.copy()
    return {**summary(buckets, marks), "cumulative": cumulative(buckets)}


def loop_part(segment: Segment, picture: Workspace, traded: str, *, final: bool) -> dict[str, Any]:
    """Return what the strategy loop knows: ticks, signals, refusals, hops, books.

    While running, only the traded symbol's ladder is written out whole, of the others the best; the final report
    has every symbol's.
    """
    ledger = picture.ledger
    refused = {
        name: int(ledger[REFUSED + reason])
        for reason, name in REASON_NAMES.items()
        if ledger[REFUSED + reason]
    }
    return {
        "feed": segment.feed,
        "epoch": int(picture.counters[EPOCH]),
        "ticks": tick_counts(picture.counters),
        "signals": int(ledger[SIGNALS]),
        "intents": {
            "emitted": int(ledger[INTENTS]),
            "held_back": int(ledger[HELD_BACK]),
            "given_up": int(ledger[UNSENT]),
        },
        "refused_by_risk": refused,
        "hops": {
            name: hop_part(picture.buckets[hop], picture.hops[hop]) for hop, name in enumerate(HOP_NAMES)
        },
        "symbols": {
            symbol.name: symbol_state(
                segment, picture.books, symbol.number, LEVELS if final or symbol.name == traded else 1
            )
            for symbol in segment.symbols
        },
    }


def compose(
    loop: dict[str, Any], orders: dict[str, int], signal_sent: Histogram, **rest: Any
) -> dict[str, Any]:
    """Return the whole status: the loop's part, the gateway's, and what else is given."""
    refused = loop.pop("refused_by_risk")
    hops = {**loop.pop("hops"), "signal_sent": hop_part(signal_sent.buckets[0], signal_sent.marks[0])}
    fills = orders.pop("fills")
    return {
        "version": VERSION,
        "final": rest.pop("final"),
        **loop,
        "orders": {**orders, "refused_by_risk": sum(refused.values()), "refusals": refused},
        "fills": fills,
        "hops": hops,
        **rest,
    }


def read(path: Path) -> dict[str, Any]:
    """Return the status at ``path``; raise QuietcoreError where there is none or it is of another version."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise QuietcoreError(
            "no status of a runtime",
            where=str(path),
            remedy="start the runtime (quietcore-runtime.service, or `quietcore local` to try it), or name its status "
            "file with --status",
            code=ExitCode.UNKNOWN,
        ) from None
    except (OSError, ValueError) as error:
        raise QuietcoreError(
            "status cannot be read", where=str(path), found=str(error), code=ExitCode.UNKNOWN
        ) from error
    version = status.get("version") if isinstance(status, dict) else None
    if version != VERSION:
        raise QuietcoreError(
            "status of another version",
            where=str(path),
            found=version,
            expected=VERSION,
            code=ExitCode.UNKNOWN,
        )
    found: dict[str, Any] = status
    return found
