"""The ring of intents: one producer (the strategy loop), one consumer (the gateway), nothing is ever lost.

A full ring holds the producer back. Indices and slots are one block of int64 with a line of 128 bytes for
each writer; a slot is 16 words. Slots are made once, so an intent costs no allocation.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quietcore.bridge.atomics import load_acquire, load_relaxed, store_relaxed, store_release
from quietcore.bridge.compiled import constant, lean

WRITTEN: Final = 0  # byte offsets in the block
TAKEN: Final = 128
SLOTS: Final = 256
SLOT_BYTES: Final = 128

PLACE: Final = constant(1)
CANCEL: Final = constant(2)  # every open order of the symbol

POST_ONLY: Final = 1  # flag: cancelled by the venue rather than taking liquidity

BUY: Final = 1
SELL: Final = -1

WORDS: Final = 11


class Intent(NamedTuple):
    """What the strategy wants done. Price in ticks, size in lots; times UTC ns."""

    number: int
    kind: int
    symbol: int
    side: int
    price: int
    size: int
    tick: int
    read_ns: int
    signal_ns: int
    slot: int = -1  # of the order arena
    flags: int = 0


def aligned(words: int, alignment: int = 128) -> Any:
    """Return a zeroed int64 array that begins at a multiple of ``alignment`` bytes."""
    raw = np.zeros(words + alignment // 8, dtype=np.int64)
    start = (-raw.ctypes.data % alignment) // 8
    return raw[start : start + words]


@lean
def push(block: int, capacity: int, kind: int, words: Any) -> bool:
    """Append an intent, words[2:] as in Intent. False, and nothing done, where the ring is full."""
    number = load_relaxed(block + WRITTEN)
    if number - load_acquire(block + TAKEN) >= capacity:
        return False
    at = block + SLOTS + (number & (capacity - 1)) * SLOT_BYTES
    store_relaxed(at, number)
    store_relaxed(at + 8, kind)
    for i in range(2, WORDS):
        store_relaxed(at + 8 * i, words[i])
    store_release(block + WRITTEN, number + 1)
    return True


@lean
def pop(block: int, capacity: int, out: Any) -> bool:
    """Move the oldest intent to ``out`` (int64[WORDS]); False where there is none."""
    number = load_relaxed(block + TAKEN)
    if number == load_acquire(block + WRITTEN):
        return False
    at = block + SLOTS + (number & (capacity - 1)) * SLOT_BYTES
    for i in range(WORDS):
        out[i] = load_relaxed(at + 8 * i)
    store_release(block + TAKEN, number + 1)
    return True


class IntentRing:
    """Owner of the block, and the consumer's end of it."""

    def __init__(self, capacity: int = 1024) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise ValueError(f"capacity {capacity} is not a power of two")
        self.capacity = capacity
        self._block = aligned((SLOTS + capacity * SLOT_BYTES) // 8)
        self.address: int = self._block.ctypes.data
        self._out = np.zeros(WORDS, dtype=np.int64)

    def take(self) -> Intent | None:
        """Return the oldest intent, or None."""
        if not pop(self.address, self.capacity, self._out):
            return None
        return Intent(*self._out.tolist())
