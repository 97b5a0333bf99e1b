"""Ticks as typed Python values: for looking, testing and slow strategies; compiled loops never make them."""

from __future__ import annotations

from typing import Any, NamedTuple

from quietcore.bridge import layout


class Stamp(NamedTuple):
    """What every tick carries. Times are UTC nanoseconds; ``venue_ns`` is None where it is not comparable."""

    number: int
    symbol: int
    flags: int
    remaining: int
    time_source: int
    receive_ns: int
    publish_ns: int | None
    venue_ns: int | None


class Quote(NamedTuple):
    """Best bid and offer; prices in ticks, sizes in lots, size 0: that side is empty."""

    stamp: Stamp
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Trade(NamedTuple):
    """One trade; ``sell``: the taker sold; ``trade_id`` 0 where the venue's is no number."""

    stamp: Stamp
    price: int
    size: int
    trade_id: int
    sell: bool


class LevelChange(NamedTuple):
    """One change of the top-N ladder; size 0: the price is gone."""

    stamp: Stamp
    price: int
    size: int
    update_id: int
    ask: bool


class BookApplied(NamedTuple):
    """Ends each applied book message; level counts are of the venue's whole book."""

    stamp: Stamp
    update_id: int
    venue_sequence: int
    bid_levels: int
    ask_levels: int
    state: int


class Restart(NamedTuple):
    """A new producer took over."""

    stamp: Stamp
    epoch: int
    previous_pid: int


class Unknown(NamedTuple):
    """A tick of a kind that this version does not know."""

    stamp: Stamp
    kind: int


Tick = Quote | Trade | LevelChange | BookApplied | Restart | Unknown


def decode(slot: Any) -> Tick:
    """Return the typed tick of one complete slot (an element of an array of layout.SLOT)."""
    seq, symbol, kind, source, flags, remaining, receive, publish_delta, venue_delta, a, b, c, d = slot.item()
    foreign = layout.FLAG_VENUE_TIME_FOREIGN | layout.FLAG_VENUE_TIME_SATURATED
    stamp = Stamp(
        number=(seq - 2) >> 1,
        symbol=symbol,
        flags=flags,
        remaining=remaining,
        time_source=source,
        receive_ns=receive,
        publish_ns=None if flags & layout.FLAG_PUBLISH_DELTA_SATURATED else receive + publish_delta,
        venue_ns=None if flags & foreign or not source else receive - venue_delta * 1000,
    )
    if kind == layout.KIND_BBO:
        return Quote(stamp, a, b, c, d)
    if kind == layout.KIND_TRADE:
        return Trade(stamp, a, b, c, bool(flags & layout.FLAG_SELL))
    if kind == layout.KIND_LEVEL:
        return LevelChange(stamp, a, b, c, bool(flags & layout.FLAG_SELL))
    if kind == layout.KIND_BOOK:
        return BookApplied(stamp, a, b, (c >> 32) & 0xFFFFFFFF, c & 0xFFFFFFFF, d & 0xFFFFFFFF)
    if kind == layout.KIND_RESTART:
        return Restart(stamp, a, b)
    return Unknown(stamp, kind)
