"""Derive Bybit-shaped messages of a book's best levels from the Binance USD-M recording.

Usage: windowed_recording.py RECORDING OUT --window N

The full book is rebuilt by the venue's rules (reference: Binance, "How to manage a local order book correctly",
USD-M futures). Each applied depth update becomes one `orderbook.N` message with what changed among the best N
levels a side, as Bybit v5 would send it: a snapshot first, then deltas in which size 0 deletes and a level that
leaves the window is deleted by the venue. An update that changes nothing there gives no message.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from bisect import bisect_left, insort
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Window = dict[str, str]
"""Price to size of the best levels, both as sent, best first."""


class BookSide:
    """Every level of one side, sorted from best to worst."""

    def __init__(self, *, descending: bool) -> None:
        self._sign = -1 if descending else 1
        self._keys: list[Decimal] = []
        self._levels: dict[Decimal, tuple[str, str]] = {}

    def apply(self, levels: list[list[str]]) -> None:
        """Set the size at each price; size zero deletes."""
        for price, size in levels:
            key = self._sign * Decimal(price)
            if Decimal(size) == 0:
                if self._levels.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self._levels:
                    insort(self._keys, key)
                self._levels[key] = (price, size)

    def best(self, count: int) -> Window:
        """Return the best `count` levels."""
        return dict(self._levels[key] for key in self._keys[:count])

    def changes(self, before: Window, after: Window) -> list[list[str]]:
        """Return what turns one window into the other, best first; deleted levels with size "0"."""
        found = [[price, size] for price, size in after.items() if before.get(price) != size]
        found += [[price, "0"] for price in before if price not in after]
        return sorted(found, key=lambda level: self._sign * Decimal(level[0]))


def applied_updates(recording: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (REST snapshot, depth update) for each update that the venue's rules apply to it."""
    snapshot: dict[str, Any] | None = None
    waiting: list[dict[str, Any]] = []
    with gzip.open(recording, "rb") as lines:
        for line in lines:
            message = json.loads(line.split(b" ", 1)[1])
            if "lastUpdateId" in message:
                if snapshot is None:
                    snapshot = message
                continue
            data = message["data"]
            if data["e"] == "depthUpdate":
                waiting.append(data)
            if snapshot is None:
                continue
            for update in waiting:
                if update["u"] >= snapshot["lastUpdateId"]:
                    yield snapshot, update
            waiting.clear()


def windowed_messages(recording: Path, window: int) -> Iterator[bytes]:
    """Yield the messages, without line feeds."""
    bids, asks = BookSide(descending=True), BookSide(descending=False)
    shown: tuple[Window, Window] = ({}, {})
    number = 0
    for snapshot, update in applied_updates(recording):
        if number == 0:
            bids.apply(snapshot["bids"])
            asks.apply(snapshot["asks"])
        bids.apply(update["b"])
        asks.apply(update["a"])
        after = bids.best(window), asks.best(window)
        if number == 0:
            changes = [[[*level] for level in side.items()] for side in after]
        else:
            changes = [bids.changes(shown[0], after[0]), asks.changes(shown[1], after[1])]
        shown = after
        if not any(changes):
            continue
        number += 1
        message = {
            "topic": f"orderbook.{window}.{update['s']}",
            "type": "snapshot" if number == 1 else "delta",
            "ts": update["E"],
            "data": {"s": update["s"], "b": changes[0], "a": changes[1], "u": number, "seq": update["u"]},
            "cts": update["T"],
        }
        yield json.dumps(message, separators=(",", ":")).encode()


def describe(path: Path) -> dict[str, Any]:
    """Return SHA-256, number of messages and the distribution of their sizes in bytes."""
    content = path.read_bytes()
    sizes = sorted(len(line) for line in content.splitlines())
    count = len(sizes)
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "messages": count,
        "bytes": {
            "mean": round(sum(sizes) / count, 1),
            "min": sizes[0],
            "p50": sizes[count // 2],
            "p90": sizes[count * 9 // 10],
            "p99": sizes[count * 99 // 100],
            "max": sizes[-1],
        },
    }


def main() -> int:
    """Write the messages, one a line, and print what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", type=Path, help="gzip, lines of `receive_ns raw_json`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--window", type=int, default=50, help="levels a side (default 50)")
    arguments = parser.parse_args()
    with arguments.out.open("wb") as out:
        for message in windowed_messages(arguments.recording, arguments.window):
            out.write(message + b"\n")
    json.dump(describe(arguments.out), sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
