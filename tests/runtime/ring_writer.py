"""A feed of the tests' own: writes a segment by the feed handler's protocol, compiled where it must race.

It shares the schema's dtypes and the atomics with the bridge, nothing else: ladders are diffed here, in
plain Python.
"""

from __future__ import annotations

import mmap
import os
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import posix_ipc

from quietcore.bridge import layout
from quietcore.bridge.atomics import fence_release, store_relaxed, store_release
from quietcore.bridge.compiled import compiled

Levels = list[tuple[int, int]]

PUBLISHED = 384


@compiled
def write_slot(slots: int, mask: int, n: int, words: Any) -> None:
    """Store tick ``n``: seven words of int64."""
    at = slots + ((n & mask) << 6)
    store_relaxed(at, 2 * n + 1)
    fence_release()
    for i in range(7):
        store_relaxed(at + 8 + 8 * i, words[i])
    store_release(at, 2 * n + 2)


@compiled
def write_pattern(slots: int, mask: int, published: int, first: int, count: int, stop: Any) -> int:
    """Store ticks whose seven words all equal the tick's number, until ``count`` or until stop[0] is set."""
    n = first
    while n < first + count and stop[0] == 0:
        at = slots + ((n & mask) << 6)
        store_relaxed(at, 2 * n + 1)
        fence_release()
        for i in range(7):
            store_relaxed(at + 8 + 8 * i, n)
        store_release(at, 2 * n + 2)
        n += 1
        if n & 3 == 0:
            store_release(published, n)
    store_release(published, n)
    return n


def diff(old: Levels, new: Levels, depth: int, *, ask: bool) -> Levels:
    """Return the LEVEL changes of one side, (price, size), deletes first, by the schema's rule."""
    sign = 1 if ask else -1
    vanished = {price for price, _ in old} - {price for price, _ in new}
    if len(new) == depth:
        worst = new[-1][0] * sign
        vanished = {price for price in vanished if price * sign <= worst}
    deletes = [(price, 0) for price, _ in old if price in vanished]
    before = dict(old)
    return deletes + [(price, size) for price, size in new if before.get(price) != size]


class RingWriter:
    """One producer with one segment, /dev/shm/quietcore.FEED."""

    def __init__(
        self,
        feed: str,
        *,
        symbols: tuple[str, ...] = ("BTCUSDT",),
        capacity: int = 1024,
        depth: int = 20,
        venue: str = "bybit-linear",
        tick: tuple[int, int] = (1, 1),
        lot: tuple[int, int] = (1, 3),
    ) -> None:
        self.feed, self.depth, self.capacity = feed, depth, capacity
        self.path = Path("/dev/shm") / f"quietcore.{feed}"
        stride = layout.BOOK.itemsize + 2 * depth * layout.LEVEL.itemsize
        directory = layout.HEADER.itemsize
        statistics = directory + len(symbols) * layout.SYMBOLENTRY.itemsize
        table = statistics + layout.STATISTICS.itemsize
        slots = -(-(table + len(symbols) * stride) // 128) * 128
        self.size = slots + capacity * layout.SLOT.itemsize
        temporary = f"/quietcore.{feed}.{os.getpid()}.tmp"
        handle = posix_ipc.SharedMemory(temporary, flags=posix_ipc.O_CREX, mode=0o640, size=self.size)
        self.memory = mmap.mmap(handle.fd, self.size)
        handle.close_fd()
        self.bytes = np.frombuffer(self.memory, dtype=np.uint8)
        self.address = self.bytes.ctypes.data
        self.header = self.bytes[: layout.HEADER.itemsize].view(layout.HEADER)[0]
        header = self.header
        header["version"] = layout.VERSION
        header["header_size"] = layout.HEADER.itemsize
        header["schema_hash"] = layout.SCHEMA_HASH
        header["total_size"] = self.size
        header["created_ns"] = time.time_ns()
        boot = uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        header["boot_id"] = np.frombuffer(boot.bytes, dtype=np.uint8)
        header["clock"] = layout.CLOCK_REALTIME
        header["slot_size"] = layout.SLOT.itemsize
        header["capacity"] = capacity
        header["symbol_count"] = len(symbols)
        header["ladder_depth"] = depth
        header["directory_offset"] = directory
        header["statistics_offset"] = statistics
        header["table_offset"] = table
        header["table_stride"] = stride
        header["slots_offset"] = slots
        header["feed"] = feed.encode()
        header["venue"] = venue.encode()
        header["epoch"] = 1
        header["pid"] = os.getpid()
        entries = self.bytes[directory:statistics].view(layout.SYMBOLENTRY)
        for entry, name in zip(entries, symbols, strict=True):
            entry["name"] = name.encode()
            entry["tick_mantissa"], entry["tick_exponent"] = tick
            entry["lot_mantissa"], entry["lot_exponent"] = lot
        self.statistics = self.bytes[statistics:table].view(layout.STATISTICS)[0]
        self.slots = self.address + slots
        self.slots_offset = slots
        self.table_offset, self.stride = table, stride
        self.next = 0
        self.ladders: list[tuple[Levels, Levels]] = [([], []) for _ in symbols]
        self.best: list[tuple[int, int, int, int] | None] = [None for _ in symbols]
        self.update = 0
        self.beat()
        store_release_now(self.address, layout.MAGIC)
        Path("/dev/shm" + temporary).rename(self.path)

    # the header

    def beat(self) -> None:
        self.header["heartbeat_ns"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def publish(self) -> None:
        store_release_now(self.address + PUBLISHED, self.next)

    def restart(self) -> None:
        """Play a new producer: a higher epoch, every book STALE and empty, a RESTART tick."""
        self.header["epoch"] += 1
        self.ladders = [([], []) for _ in self.ladders]
        self.best = [None for _ in self.best]
        for symbol in range(len(self.ladders)):
            self.write_book(symbol, layout.STATE_STALE, tick=self.next)
        self.tick(layout.KIND_RESTART, a=int(self.header["epoch"]), b=os.getpid())
        self.publish()

    def close(self) -> None:
        self.header["closed"] = 1

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    # ticks

    def tick(
        self,
        kind: int,
        *,
        symbol: int = 0,
        flags: int = 0,
        remaining: int = 0,
        source: int = layout.TIME_SOURCE_USER,
        receive_ns: int | None = None,
        publish_delta: int = 1000,
        venue_delta: int = 50,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        d: int = 0,
    ) -> int:
        words = np.zeros(7, dtype=np.int64)
        slot = np.zeros(1, dtype=layout.SLOT)
        receive = time.time_ns() if receive_ns is None else receive_ns
        slot[0] = (
            0, symbol, kind, source, flags, remaining, receive, publish_delta, venue_delta, a, b, c, d,
        )  # fmt: skip
        words[:] = slot.view(np.int64)[1:]
        write_slot(self.slots, self.capacity - 1, self.next, words)
        self.next += 1
        return self.next - 1

    def trade(self, price: int, size: int, *, symbol: int = 0, sell: bool = False, **options: Any) -> None:
        flags = options.pop("flags", 0) | (layout.FLAG_SELL if sell else 0)
        self.tick(layout.KIND_TRADE, symbol=symbol, flags=flags, a=price, b=size, c=self.next, **options)
        self.publish()

    def quote(self, bid: int, bid_size: int, ask: int, ask_size: int, **options: Any) -> None:
        self.tick(layout.KIND_BBO, a=bid, b=bid_size, c=ask, d=ask_size, **options)
        self.publish()

    def write_book(self, symbol: int, state: int, tick: int | None = None) -> None:
        """Write a symbol's table entry under its lock."""
        bids, asks = self.ladders[symbol]
        start = self.table_offset + symbol * self.stride
        head = self.bytes[start : start + layout.BOOK.itemsize].view(layout.BOOK)[0]
        at = self.address + start
        seq = int(head["seq"])
        store_relaxed_now(at, seq + 1)
        fence_release_now()
        head["state"] = state
        head["epoch"] = self.header["epoch"]
        if tick is not None:
            head["tick"] = tick
        head["update_id"] = self.update
        head["bid_levels"] = head["bid_count"] = len(bids)
        head["ask_levels"] = head["ask_count"] = len(asks)
        head["messages"] += 1
        levels = self.bytes[start + layout.BOOK.itemsize : start + self.stride].view(layout.LEVEL)
        for first, side in ((0, bids), (self.depth, asks)):
            for i, level in enumerate(side):
                levels[first + i] = level
        store_release_now(at, seq + 2)

    def message(
        self,
        bids: Levels,
        asks: Levels,
        *,
        symbol: int = 0,
        state: int = layout.STATE_LIVE,
        **options: Any,
    ) -> None:
        """Publish one applied book message: LEVEL*, BBO where changed, the table, BOOK. Levels best first."""
        self.update += 1
        bids, asks = bids[: self.depth], asks[: self.depth]
        old_bids, old_asks = self.ladders[symbol]
        ticks: list[tuple[int, dict[str, int]]] = []
        for ask, old, new in ((False, old_bids, bids), (True, old_asks, asks)):
            for price, size in diff(old, new, self.depth, ask=ask):
                flags = layout.FLAG_SELL if ask else 0
                ticks.append((layout.KIND_LEVEL, {"flags": flags, "a": price, "b": size, "c": self.update}))
        self.ladders[symbol] = (bids, asks)
        bid, ask_level = bids[0] if bids else (0, 0), asks[0] if asks else (0, 0)
        best = (*bid, *ask_level)
        if best != self.best[symbol]:
            self.best[symbol] = best
            ticks.append((layout.KIND_BBO, dict(zip("abcd", best, strict=True))))
        remaining = len(ticks)
        common = options.pop("flags", 0)
        for kind, words in ticks:
            flags = words.pop("flags", 0) | common
            self.tick(kind, symbol=symbol, flags=flags, remaining=remaining, **words, **options)
            remaining -= 1
        self.write_book(symbol, state, tick=self.next)
        self.tick(
            layout.KIND_BOOK,
            symbol=symbol,
            flags=common,
            a=self.update,
            c=len(bids) << 32 | len(asks),
            d=state,
            **options,
        )
        self.beat()
        self.publish()


@compiled
def fence_release_now() -> None:
    """Execute a release fence from Python."""
    fence_release()


@compiled
def store_release_now(address: int, value: int) -> None:
    """Execute one release store from Python."""
    store_release(address, value)


@compiled
def store_relaxed_now(address: int, value: int) -> None:
    """Execute one relaxed store from Python."""
    store_relaxed(address, value)
