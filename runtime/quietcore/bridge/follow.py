"""Following a feed, compiled: every tick counted by kind, every ladder and its running hash kept exactly.

A reader that joined late or lost ticks has ladders it cannot trust. At the next BOOK tick m of the symbol
it loads the ladder from the book table; the table may be ahead (its `tick` ≥ m), so LEVEL ticks up to that
number are then ignored: their effect is in the ladder already.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from quietcore.bridge import layout
from quietcore.bridge.books import HASH_START, apply_level, ladder_hash, load_ladder, mix
from quietcore.bridge.compiled import inlined, lean
from quietcore.bridge.ring import (
    EMPTY,
    LOST,
    NEXT,
    READ,
    Ring,
    epoch_of,
    skip_lost,
    take,
)

# Counters, an int64 array: the reader's cursor (ring.py: 0 to 4), then these.
KINDS: Final = 5  # KINDS + kind: ticks of that kind, 1 to 5
UNKNOWN_KIND: Final = 11
UNKNOWN_SYMBOL: Final = 12
EPOCH: Final = 13  # of the producer whose ticks are read
RESTARTS: Final = 14
RELOADS: Final = 15  # ladders loaded from the table
LAST_RECEIVE: Final = 16
BOOK_STATES: Final = 17  # BOOK_STATES + state: BOOK ticks with that state, 0 to 3
COUNTERS: Final = 24

# Columns of `marks`, one int64 row a symbol.
STATE: Final = 0
BOOKS: Final = 1  # LIVE book messages in the running hash
HASH: Final = 2
DIRTY: Final = 3  # 1: the ladder cannot be trusted
LOADED: Final = 4  # LEVEL ticks up to this number are in the ladder already
INEXACT: Final = 5  # LIVE book messages that could not be hashed, after lost ticks
BID: Final = 6  # best bid and offer of the last BBO tick
BID_SIZE: Final = 7
ASK: Final = 8
ASK_SIZE: Final = 9
QUOTES: Final = 10
TRADES: Final = 11
MARKS: Final = 12

KIND_BBO: Final = layout.KIND_BBO
KIND_TRADE: Final = layout.KIND_TRADE
KIND_LEVEL: Final = layout.KIND_LEVEL
KIND_BOOK: Final = layout.KIND_BOOK
KIND_RESTART: Final = layout.KIND_RESTART
LIVE: Final = layout.STATE_LIVE
SELL: Final = layout.FLAG_SELL


class Books(NamedTuple):
    """Arrays of one follower: ladders [2·symbols, depth], counts, marks [symbols, MARKS], room for a book."""

    prices: Any
    sizes: Any
    counts: Any
    marks: Any
    scratch: Any


@lean
def forget_ladders(books: Books) -> None:
    """Trust no ladder until it is loaded from the table."""
    for symbol in range(books.marks.shape[0]):
        books.marks[symbol, DIRTY] = 1


@lean
def empty_ladders(books: Books, n: int) -> None:
    """Begin every ladder anew at the RESTART tick ``n``: a new producer's ladders, and its table, are empty."""
    books.prices[:] = 0
    books.sizes[:] = 0
    books.counts[:] = 0
    for symbol in range(books.marks.shape[0]):
        books.marks[symbol, DIRTY] = 0
        books.marks[symbol, LOADED] = n


@lean
def begin(ring: Ring, books: Books, counters: Any) -> None:
    """Set the marks of a follower whose first tick is counters[NEXT]; at tick 0 ladders are known: empty."""
    counters[EPOCH] = epoch_of(ring)
    for symbol in range(books.marks.shape[0]):
        books.marks[symbol, HASH] = HASH_START
        books.marks[symbol, LOADED] = -1
        books.marks[symbol, DIRTY] = 1 if counters[NEXT] > 0 else 0


@lean
def absorb_book(ring: Ring, books: Books, counters: Any, n: int, symbol: int, state: int) -> None:
    """Apply a BOOK tick: mend the ladder where needed, then hash it if the book is LIVE."""
    marks = books.marks
    marks[symbol, STATE] = state
    if 0 <= state <= LIVE:
        counters[BOOK_STATES + state] += 1
    if marks[symbol, DIRTY]:
        loaded = load_ladder(ring, symbol, books.scratch, books.prices, books.sizes, books.counts)
        if loaded >= n:
            marks[symbol, LOADED] = loaded
            marks[symbol, DIRTY] = 0
            counters[RELOADS] += 1
    if state == LIVE:
        if marks[symbol, DIRTY] or n < marks[symbol, LOADED]:
            marks[symbol, INEXACT] += 1
        else:
            marks[symbol, HASH] = mix(marks[symbol, HASH], ladder_hash(books.prices, books.sizes, symbol))
            marks[symbol, BOOKS] += 1


@inlined
def absorb(
    ring: Ring, books: Books, counters: Any, n: int, word: int, a: int, b: int, c: int, d: int
) -> None:
    """Apply tick ``n``: its first word (symbol, kind, flags) and payload words a to d."""
    symbol = word & 0xFFFF
    kind = (word >> 16) & 0xFF
    flags = (word >> 32) & 0xFFFF
    if kind < KIND_BBO or kind > KIND_RESTART:
        counters[UNKNOWN_KIND] += 1
        return
    counters[KINDS + kind] += 1
    marks = books.marks
    if kind == KIND_RESTART:
        counters[RESTARTS] += 1
        counters[EPOCH] = a
        empty_ladders(books, n)
        return
    if symbol >= marks.shape[0]:
        counters[UNKNOWN_SYMBOL] += 1
        return
    if kind == KIND_LEVEL:
        if marks[symbol, DIRTY] == 0 and n > marks[symbol, LOADED]:
            apply_level(books.prices, books.sizes, books.counts, 2 * symbol + (flags & SELL), a, b)
    elif kind == KIND_BBO:
        marks[symbol, BID] = a
        marks[symbol, BID_SIZE] = b
        marks[symbol, ASK] = c
        marks[symbol, ASK_SIZE] = d
        marks[symbol, QUOTES] += 1
    elif kind == KIND_TRADE:
        marks[symbol, TRADES] += 1
    else:
        absorb_book(ring, books, counters, n, symbol, d & 0xFFFFFFFF)


@lean
def overrun(ring: Ring, books: Books, counters: Any, seen: int) -> None:
    """Move a lapped follower on: what it lost is counted, and no ladder is trusted."""
    skip_lost(ring, counters, seen)
    forget_ladders(books)
    # A RESTART tick may be among the lost ones.
    counters[EPOCH] = epoch_of(ring)


@lean
def follow(ring: Ring, books: Books, counters: Any, limit: int) -> int:
    """Apply up to ``limit`` ticks that are there; return how many."""
    count = 0
    while count < limit:
        n = counters[NEXT]
        status, seen, word, receive, _times, a, b, c, d = take(ring.slots, ring.mask, n)
        if status == EMPTY:
            break
        if status == LOST:
            overrun(ring, books, counters, seen)
            continue
        counters[NEXT] = n + 1
        counters[READ] += 1
        counters[LAST_RECEIVE] = receive
        absorb(ring, books, counters, n, word, a, b, c, d)
        count += 1
    return count
