"""Follows a ring from outside: what a reader of its ticks would have seen."""

from __future__ import annotations

from tests.native.ring_file import RingFile

from quietcore.bridge import layout

LEVEL, BOOK, RESTART = layout.KIND_LEVEL, layout.KIND_BOOK, layout.KIND_RESTART


class LadderReader:
    """Rebuilds one symbol's ladder from LEVEL ticks and keeps what its BOOK ticks said."""

    def __init__(self, ring: RingFile, symbol: int = 0) -> None:
        self.ring = ring
        self.symbol = symbol
        self.depth = ring.number("ladder_depth")
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.states: set[int] = set()
        self.update_ids: list[int] = []
        self.largest_step = 0
        self.crossed = 0
        self._went_live = False

    def read(self) -> None:
        """Take every tick that is still in the ring; states count from the first LIVE."""
        for tick in self.ring.ticks():
            kind = int(tick["kind"])
            if kind == RESTART:
                self.bids.clear()
                self.asks.clear()
            if int(tick["symbol"]) != self.symbol:
                continue
            if kind == LEVEL:
                self._level(int(tick["flags"]), int(tick["a"]), int(tick["b"]))
            elif kind == BOOK:
                self._book(int(tick["a"]), int(tick["d"]))

    def _level(self, flags: int, price: int, size: int) -> None:
        ask = bool(flags & layout.FLAG_SELL)
        side = self.asks if ask else self.bids
        if size == 0:
            side.pop(price, None)
        else:
            side[price] = size
        while len(side) > self.depth:
            del side[max(side) if ask else min(side)]

    def _book(self, update_id: int, state: int) -> None:
        self._went_live = self._went_live or state == layout.STATE_LIVE
        if not self._went_live:
            return
        self.states.add(state)
        if self.update_ids:
            self.largest_step = max(self.largest_step, update_id - self.update_ids[-1])
        self.update_ids.append(update_id)
        if self.bids and self.asks and max(self.bids) >= min(self.asks):
            self.crossed += 1
