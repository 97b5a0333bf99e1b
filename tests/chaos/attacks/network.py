"""Each connection, each way in which a network fails."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from decimal import Decimal

from tests.chaos.attack import (
    CATALOGUE,
    GUARD_SECONDS,
    LINE_SECONDS,
    TERM_SECONDS,
    Attack,
    Calm,
    attack,
    nothing_open,
    resting,
    silent,
)
from tests.chaos.pipeline import GUARD_TIMEOUT, LINES, MOST_BOOK_AGE, Pipeline
from tests.chaos.proxy import Cut, Line, Way

Damage = Callable[[Line, random.Random], None]


def cut(how: Cut) -> Damage:
    """Return the damage of ending every connection."""

    def damage(line: Line, chance: random.Random) -> None:
        line.cut(how)
        time.sleep(chance.uniform(0.2, 1.0))

    return damage


def stall(line: Line, chance: random.Random) -> None:
    """Nothing moves, and nothing is closed; afterwards everything arrives late."""
    ways = chance.choice(({Way.UP}, {Way.DOWN}, {Way.UP, Way.DOWN}))
    line.stalled = ways
    time.sleep(chance.uniform(0.5, 6.0))


def delay(line: Line, chance: random.Random) -> None:
    """Everything comes later, each way by up to half a second."""
    line.delay = {way: chance.uniform(0.0, 0.5) for way in Way}
    time.sleep(chance.uniform(1.0, 3.0))


def lose(way: Way) -> Damage:
    """Return the damage of losing one direction, until the connection breaks."""

    def damage(line: Line, chance: random.Random) -> None:
        line.lost = {way}
        time.sleep(chance.uniform(0.3, 5.0))
        line.cut(Cut.RESET)

    return damage


def throttle(line: Line, chance: random.Random) -> None:
    """So many bytes a second, and no more."""
    line.rate = {way: chance.choice((50.0, 500.0, 5_000.0)) for way in Way}
    time.sleep(chance.uniform(1.0, 4.0))


def refuse(line: Line, chance: random.Random) -> None:
    """Everything breaks, and new connections are reset."""
    line.refused = True
    line.cut(Cut.RESET)
    time.sleep(chance.uniform(0.5, 4.0))


DAMAGES: dict[str, Damage] = {
    "closed": cut(Cut.CLOSE),
    "reset": cut(Cut.RESET),
    "cut in mid-frame": cut(Cut.MID_FRAME),
    "half-closed": cut(Cut.HALF_CLOSE),
    "stalled": stall,
    "delayed": delay,
    "replies lost": lose(Way.DOWN),
    "requests lost": lose(Way.UP),
    "throttled": throttle,
    "refused": refuse,
}


def network_attack(line: str, damage: str) -> Attack:
    """Return the attack of one damage to one line."""

    def play(p: Pipeline, chance: random.Random) -> None:
        found = p.proxy.lines[line]
        if "runtime" in line or "trade" in line:
            resting(p)
        try:
            with Calm(p.feed, p.runtime, p.guard):
                DAMAGES[damage](found, chance)
        finally:
            found.heal()

    return Attack(f"{line} {damage}", play, recover=25.0)


for name in LINES:
    for damage_name in DAMAGES:
        CATALOGUE.add(network_attack(name, damage_name))


@attack("orders and position change while the private stream is away", recover=25.0)
def changed_meanwhile(p: Pipeline, chance: random.Random) -> None:
    """Somebody cancels what rests and moves the position by hand: no message of the stream tells of it later."""
    resting(p)
    line, mark = p.proxy.lines["private stream"], p.runtime.mark()
    line.refused = True
    line.cut(Cut.RESET)
    try:
        p.said(p.runtime, r"(?i)private stream", mark, LINE_SECONDS)
        p.books.cancel_all()
        position = p.moment().position
        p.books.execute(BY_HAND if position <= 0 else -BY_HAND, p.books.bid())
        time.sleep(chance.uniform(0.5, 3.0))
    finally:
        line.heal()


BY_HAND = Decimal("0.001")


@attack("every line reset", recover=25.0)
def every_line_reset(p: Pipeline, chance: random.Random) -> None:
    """As when a router goes."""
    for line in p.proxy.lines.values():
        line.refused = True
        line.cut(Cut.RESET)
    with Calm(p.feed, p.runtime, p.guard):
        time.sleep(chance.uniform(1.0, 4.0))
    for line in p.proxy.lines.values():
        line.heal()


@attack("market data stalled", recover=20.0)
def market_stalled(p: Pipeline, chance: random.Random) -> None:
    """The feed handler lives and nothing comes: no order on a book older than the limit."""
    line = p.proxy.lines["feed websocket"]
    line.stalled = {Way.DOWN}
    p.let_pass(MOST_BOOK_AGE + 0.7)
    silent(p, chance.uniform(0.5, 2.0), f"the book is older than {MOST_BOOK_AGE} s")
    line.heal()


@attack("private stream mute", recover=25.0, case="X5")
def private_mute(p: Pipeline, chance: random.Random) -> None:
    """It stays open, and no event comes by it while orders go out: that is noticed, and no order goes out beside it."""
    line = p.proxy.lines["private stream"]
    mark = p.runtime.mark()
    line.lost = {Way.DOWN}
    try:
        p.said(p.runtime, r"(?i)private stream", mark, MUTE_SECONDS)
        p.let_pass(0.5)
        silent(p, 2.0, "the private stream is mute")
    finally:
        line.heal()
        line.cut(Cut.RESET)


MUTE_SECONDS = 15.0


@attack("runtime killed while the guard's REST is refused", recover=25.0)
def guard_without_network(p: Pipeline, chance: random.Random) -> None:
    """The guard says that it cannot, goes on, and does it when it can."""
    resting(p)
    line, mark = p.proxy.lines["guard rest"], p.guard.mark()
    line.refused = True
    line.cut(Cut.RESET)
    p.runtime.kill()
    with Calm(p.guard):
        p.said(p.guard, r"venue did not|no connection|refused", mark, LINE_SECONDS)
        time.sleep(chance.uniform(1.0, 3.0))
    line.heal()
    nothing_open(p, GUARD_SECONDS, "the guard's network is back")


@attack("runtime killed while the guard's REST is stalled", recover=30.0)
def guard_stalled(p: Pipeline, chance: random.Random) -> None:
    """The guard's request hangs; it does not wait for ever."""
    resting(p)
    line = p.proxy.lines["guard rest"]
    line.stalled = {Way.DOWN, Way.UP}
    p.runtime.kill()
    time.sleep(GUARD_TIMEOUT + chance.uniform(0.5, 4.0))
    line.heal()
    nothing_open(p, GUARD_SECONDS + 3.0, "the guard's network is back")


@attack("killed by the switch while the venue is stalled", recover=25.0)
def switch_while_stalled(p: Pipeline, chance: random.Random) -> None:
    """Nothing new goes out at once, and everything is cancelled when the venue can hear it."""
    resting(p)
    lines = [p.proxy.lines[name] for name in ("runtime rest", "trade stream")]
    for line in lines:
        line.stalled = {Way.UP, Way.DOWN}
    p.runtime.signal(signal.SIGUSR1)
    p.let_pass(1.0)
    silent(p, chance.uniform(0.5, 3.0), "the kill switch is on")
    for line in lines:
        line.heal()
    nothing_open(p, 10.0, "the kill switch is on and the venue is back")
    p.switch_on()


@attack("runtime told to end while the venue is stalled", recover=25.0)
def end_while_stalled(p: Pipeline, chance: random.Random) -> None:
    """SIGTERM is obeyed although nothing can be cancelled; the guard does that when it can."""
    resting(p)
    lines = [p.proxy.lines[name] for name in ("runtime rest", "trade stream", "private stream")]
    for line in lines:
        line.stalled = {Way.UP, Way.DOWN}
    p.runtime.terminate(TERM_SECONDS)
    for line in lines:
        line.heal()
    nothing_open(p, GUARD_SECONDS, "the runtime ended without the venue, and the guard runs")
