"""Compares every LIVE state in a ring with the truth of a `random_market`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tests.native.random_market import TOP, Symbol, top_hash
from tests.native.ring_file import RingFile

from quietcore.bridge import layout

LEVEL, BOOK, RESTART = layout.KIND_LEVEL, layout.KIND_BOOK, layout.KIND_RESTART
LIVE = layout.STATE_LIVE


class TruthCheck:
    """Reads a ring from its beginning, tick by tick, as a reader must."""

    def __init__(self, ring: RingFile, symbols: list[Symbol]) -> None:
        self.ring = ring
        self.symbols = symbols
        self.next = 0
        self.ladders: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in symbols]
        self.live = [False] * len(symbols)
        self.last_seq = [-1] * len(symbols)  # of the last LIVE tick
        self.live_seqs: list[set[int]] = [set() for _ in symbols]
        self.compared = 0
        self.wrong: list[str] = []
        self.ended_ns = [0] * len(symbols)  # when the fault under way began, 0: none
        self.recoveries_ns: list[int] = []
        self._capacity = ring.number("capacity")
        at = ring.number("slots_offset")
        self._slots = ring.bytes[at : at + self._capacity * layout.SLOT.itemsize].view(layout.SLOT)

    def read(self) -> None:
        """Take everything that is published."""
        published = self.ring.number("published")
        assert published - self.next <= self._capacity, "the check was lapped"
        while self.next < published:
            begin = self.next % self._capacity
            count = min(published - self.next, self._capacity - begin)
            self._take(np.array(self._slots[begin : begin + count]))
            self.next += count

    def _take(self, ticks: npt.NDArray[Any]) -> None:
        numbers = (ticks["seq"] // 2 - 1).tolist()
        assert numbers == list(range(self.next, self.next + len(numbers))), "every tick once, in order"
        columns = [ticks[name].tolist() for name in ("kind", "symbol", "flags", "a", "b", "d", "receive_ns")]
        for kind, symbol, flags, a, b, d, receive_ns in zip(*columns, strict=True):
            if kind == LEVEL:
                ask = flags & layout.FLAG_SELL
                side = self.ladders[symbol][1 if ask else 0]
                if b == 0:
                    side.pop(a, None)
                else:
                    side[a] = b
                    if len(side) > TOP:
                        del side[max(side) if ask else min(side)]
            elif kind == BOOK:
                self._book(symbol, b, d, receive_ns)
            elif kind == RESTART:
                self.ladders = [({}, {}) for _ in self.symbols]
                self.live = [False] * len(self.symbols)

    def _book(self, symbol: int, seq: int, state: int, receive_ns: int) -> None:
        self.live[symbol] = state == LIVE
        if state != LIVE:
            return
        seen = top_hash(*self.ladders[symbol])
        self.compared += 1
        truth = self.symbols[symbol].truth
        if truth.get(seq) != seen and len(self.wrong) < 10:
            self.wrong.append(
                f"{self.symbols[symbol].name} seq {seq}: {'another book' if seq in truth else '?'}"
            )
        self.live_seqs[symbol].add(seq)
        if seq > self.last_seq[symbol]:
            self.last_seq[symbol] = seq
        if self.ended_ns[symbol]:
            self.recoveries_ns.append(receive_ns - self.ended_ns[symbol])
            self.ended_ns[symbol] = 0

    def forget_before(self) -> None:
        """Let go of truth that no tick to come can name."""
        for symbol, last in zip(self.symbols, self.last_seq, strict=True):
            for seq in [s for s in symbol.truth if s < last]:
                del symbol.truth[seq]
