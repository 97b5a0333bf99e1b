"""Room for orders, made once: the loop takes a slot for each order, the gateway says when the order is over.

A slot is 16 words of int64 on lines of its own. The loop alone takes slots and takes them back; the gateway stores one
word, the state. So the loop knows its own open orders without asking anybody: for the check against crossing itself.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba.core.runtime
import numpy as np

from quietcore.bridge.atomics import load_acquire, store_release
from quietcore.bridge.compiled import lean
from quietcore.strategy.intents import BUY, aligned

RUNTIME: Any = numba.core.runtime  # its functions carry no types

SLOT_WORDS: Final = 16
SLOT_BYTES: Final = 8 * SLOT_WORDS
STATE: Final = 0  # words of a slot
SIDE: Final = 1
PRICE: Final = 2
SIZE: Final = 3

FREE: Final = 0
OPEN: Final = 1
OVER: Final = 2

FREE_COUNT: Final = 0  # words of `marks`
OPEN_COUNT: Final = 1
MARKS: Final = 8

NO_SLOT: Final = -1


class Slots(NamedTuple):
    """The arena as compiled code takes it: slots [n, 16], the free ones as a stack, the open ones as a list."""

    address: int
    slots: Any
    free: Any
    open: Any
    marks: Any


@lean
def settle(arena: Slots) -> None:
    """Take back the slots whose orders are over."""
    i = 0
    while i < arena.marks[OPEN_COUNT]:
        slot = arena.open[i]
        if load_acquire(arena.address + slot * SLOT_BYTES) == OVER:
            last = arena.marks[OPEN_COUNT] - 1
            arena.open[i] = arena.open[last]
            arena.marks[OPEN_COUNT] = last
            arena.slots[slot, STATE] = FREE
            arena.free[arena.marks[FREE_COUNT]] = slot
            arena.marks[FREE_COUNT] += 1
        else:
            i += 1


@lean
def crosses_own(arena: Slots, side: int, price: int) -> bool:
    """Return whether an order would trade with an own one that may still rest on the other side."""
    for i in range(arena.marks[OPEN_COUNT]):
        slot = arena.open[i]
        if arena.slots[slot, SIDE] == side:
            continue
        other = arena.slots[slot, PRICE]
        if (side == BUY and price >= other) or (side != BUY and price <= other):
            return True
    return False


@lean
def open_slot(arena: Slots, side: int, price: int, size: int) -> int:
    """Take a slot for an order; NO_SLOT where none is free."""
    if arena.marks[FREE_COUNT] == 0:
        return NO_SLOT
    arena.marks[FREE_COUNT] -= 1
    slot = arena.free[arena.marks[FREE_COUNT]]
    arena.slots[slot, SIDE] = side
    arena.slots[slot, PRICE] = price
    arena.slots[slot, SIZE] = size
    arena.slots[slot, STATE] = OPEN
    arena.open[arena.marks[OPEN_COUNT]] = slot
    arena.marks[OPEN_COUNT] += 1
    return int(slot)


@lean
def say_over(address: int, slot: int) -> None:
    """Store that an order is over."""
    store_release(address + slot * SLOT_BYTES, OVER)


class OrderArena:
    """Owner of the slots, and the gateway's end of them.

    ``allocations()`` counts what compiled code, of the whole process, has allocated since `seal`: 0 in steady state.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        if not 1 <= capacity <= 1_000_000:
            raise ValueError(f"capacity {capacity}: 1 to 1,000,000 orders")
        self.capacity = capacity
        self._block = aligned(capacity * SLOT_WORDS)
        slots = self._block.reshape(capacity, SLOT_WORDS)
        free = np.arange(capacity - 1, -1, -1, dtype=np.int64)
        marks = np.zeros(MARKS, dtype=np.int64)
        marks[FREE_COUNT] = capacity
        self.address: int = self._block.ctypes.data
        self.slots = Slots(self.address, slots, free, np.zeros(capacity, dtype=np.int64), marks)
        # Compiled now, on a slot that is free, and not when the first order is over.
        say_over(self.address, 0)
        slots[0, STATE] = FREE
        self._sealed = 0
        self.seal()

    def over(self, slot: int) -> None:
        """Say that the order in a slot is over; the loop takes the slot back."""
        if 0 <= slot < self.capacity:
            say_over(self.address, slot)

    @property
    def open(self) -> int:
        """Slots that the loop has not taken back."""
        return int(self.slots.marks[OPEN_COUNT])

    def seal(self) -> None:
        """Count allocations from now on."""
        RUNTIME._nrt_python.memsys_enable_stats()
        self._sealed = RUNTIME.rtsys.get_allocation_stats().alloc

    def allocations(self) -> int:
        """Return how many allocations compiled code has made since `seal`."""
        return int(RUNTIME.rtsys.get_allocation_stats().alloc - self._sealed)
