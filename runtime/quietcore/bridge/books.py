"""Ladders, compiled: the rule by which LEVEL ticks make them, their hash, and the book table under its lock.

A ladder is a row of two int64 arrays (prices in ticks, sizes in lots), best level first, zero beyond its
levels. Row 2·symbol is the bids, row 2·symbol + 1 the asks.
"""

from __future__ import annotations

from typing import Any, Final

from quietcore.bridge import layout
from quietcore.bridge.atomics import fence_acquire, load_acquire, load_relaxed, pause
from quietcore.bridge.compiled import lean
from quietcore.bridge.ring import Ring, offset_of

HASH_START: Final = 0xCBF29CE484222325 - (1 << 64)  # as the int64 of the same bits
HASH_PRIME: Final = 0x100000001B3
HASH_LEVELS: Final = 20

# A writer holds the lock for well below a microsecond; a dead one holds it until the next producer takes
# over.
LOCK_TRIES: Final = 4096

HEAD_WORDS: Final = layout.BOOK.itemsize // 8


def head_word(field: str) -> int:
    """Return the index of the u64 word of a book's head that holds ``field``."""
    return offset_of(layout.BOOK, field) // 8


WORD_STATE: Final = head_word("state")  # low half
WORD_EPOCH: Final = head_word("epoch")
WORD_TICK: Final = head_word("tick")
WORD_COUNTS: Final = head_word("bid_count")  # bid_count, ask_count << 32


def book_words(depth: int) -> int:
    """Return the size of a book with ``depth`` levels a side, in 8-byte words."""
    return HEAD_WORDS + 4 * depth


@lean
def mix(h: int, word: int) -> int:
    """Fold one word into a ladder hash: multiply-xorshift over 64 bits."""
    x = (h ^ word) * HASH_PRIME
    return x ^ ((x >> 32) & 0xFFFFFFFF)


@lean
def ladder_hash(prices: Any, sizes: Any, symbol: int) -> int:
    """Return the hash of a symbol's top 20 levels a side, zero-filled, bids first."""
    h = HASH_START
    for row in range(2 * symbol, 2 * symbol + 2):
        for i in range(HASH_LEVELS):
            inside = i < prices.shape[1]
            h = mix(h, prices[row, i] if inside else 0)
            h = mix(h, sizes[row, i] if inside else 0)
    return h


@lean
def apply_level(prices: Any, sizes: Any, counts: Any, row: int, price: int, size: int) -> None:
    """Apply one LEVEL tick: size 0 deletes, any other replaces or inserts; what falls off the end is gone."""
    depth = prices.shape[1]
    count = counts[row]
    ask = row & 1
    i = 0
    while i < count and ((prices[row, i] < price) if ask else (prices[row, i] > price)):
        i += 1
    if i < count and prices[row, i] == price:
        if size != 0:
            sizes[row, i] = size
            return
        for j in range(i, count - 1):
            prices[row, j] = prices[row, j + 1]
            sizes[row, j] = sizes[row, j + 1]
        prices[row, count - 1] = 0
        sizes[row, count - 1] = 0
        counts[row] = count - 1
        return
    if size == 0 or i >= depth:
        return
    last = min(count, depth - 1)
    for j in range(last, i, -1):
        prices[row, j] = prices[row, j - 1]
        sizes[row, j] = sizes[row, j - 1]
    prices[row, i] = price
    sizes[row, i] = size
    counts[row] = last + 1


@lean
def read_book(ring: Ring, symbol: int, words: int, out: Any) -> bool:
    """Copy the first ``words`` words of a book to ``out``; False if its writer kept the lock throughout."""
    at = ring.table + symbol * ring.stride
    for _ in range(LOCK_TRIES):
        before = load_acquire(at)
        if before & 1 == 0:
            for i in range(words):
                out[i] = load_relaxed(at + 8 * i)
            fence_acquire()
            if load_relaxed(at) == before:
                return True
        pause()
    return False


@lean
def load_ladder(ring: Ring, symbol: int, scratch: Any, prices: Any, sizes: Any, counts: Any) -> int:
    """Replace a ladder by the table's; return the tick that announced it, or -1 if the lock was held."""
    depth = ring.depth
    if not read_book(ring, symbol, HEAD_WORDS + 4 * depth, scratch):
        return -1
    for side in range(2):
        row = 2 * symbol + side
        count = (scratch[WORD_COUNTS] >> (32 * side)) & 0xFFFFFFFF
        count = min(count, depth)
        first = HEAD_WORDS + 2 * depth * side
        for i in range(depth):
            prices[row, i] = scratch[first + 2 * i] if i < count else 0
            sizes[row, i] = scratch[first + 2 * i + 1] if i < count else 0
        counts[row] = count
    return int(scratch[WORD_TICK])
