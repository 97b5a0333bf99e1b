"""Processes that die, or stand still and go on."""

from __future__ import annotations

import random
import signal
import time

from tests.chaos.attack import (
    GUARD_SECONDS,
    STALE_GRACE,
    TERM_SECONDS,
    Calm,
    attack,
    nothing_open,
    resting,
    silent,
)
from tests.chaos.part import Broken
from tests.chaos.pipeline import GUARD_TIMEOUT, Pipeline

AFTER_DEATH = 25.0  # a new runtime waits until no request of the dead one can arrive


@attack("runtime killed", recover=AFTER_DEATH)
def runtime_killed(p: Pipeline, chance: random.Random) -> None:
    """The guard cancels what a dead runtime left."""
    time.sleep(chance.uniform(0.0, 0.5))
    resting(p)
    p.runtime.kill()
    nothing_open(p, GUARD_SECONDS, "the runtime was killed and the guard runs")


@attack("runtime killed three times", recover=AFTER_DEATH)
def runtime_killed_three_times(p: Pipeline, chance: random.Random) -> None:
    """What the guard does the first time it does every time."""
    for time_of in ("first", "second", "third"):
        resting(p, AFTER_DEATH)
        p.until(lambda: p.report().get("armed") == 1, 8.0, f"the guard is armed before the {time_of} death")
        p.runtime.kill()
        nothing_open(p, GUARD_SECONDS, f"the runtime was killed a {time_of} time")
        p.runtime.start()


@attack("runtime frozen")
def runtime_frozen(p: Pipeline, chance: random.Random) -> None:
    """A runtime that stands still beyond the limit is dead to the guard, and looks after itself when it goes on."""
    resting(p)
    p.runtime.signal(signal.SIGSTOP)
    nothing_open(p, GUARD_SECONDS, "the runtime is frozen and the guard runs")
    time.sleep(chance.uniform(0.0, 2.0))
    p.runtime.signal(signal.SIGCONT)


@attack("runtime frozen three times")
def runtime_frozen_three_times(p: Pipeline, chance: random.Random) -> None:
    """The guard fires at each of them."""
    for time_of in ("first", "second", "third"):
        resting(p, 15.0)
        p.runtime.signal(signal.SIGSTOP)
        nothing_open(p, GUARD_SECONDS, f"the runtime is frozen a {time_of} time")
        p.runtime.signal(signal.SIGCONT)
        p.until(lambda: p.report().get("armed") == 1, 8.0, "the guard is armed again")


@attack("runtime frozen for a moment")
def runtime_hiccup(p: Pipeline, chance: random.Random) -> None:
    """Shorter than the guard's limit."""
    p.runtime.signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 0.8 * GUARD_TIMEOUT))
    p.runtime.signal(signal.SIGCONT)


@attack("runtime told to end", recover=AFTER_DEATH)
def runtime_terminated(p: Pipeline, chance: random.Random) -> None:
    """It cancels what is open before it ends."""
    resting(p)
    p.runtime.terminate(TERM_SECONDS)
    if p.moment().open:
        raise Broken("orders are open although the runtime ended in good order")


@attack("guard killed")
def guard_killed(p: Pipeline, chance: random.Random) -> None:
    """Trading goes on without it, and it comes back."""
    p.guard.kill()
    time.sleep(chance.uniform(0.2, 1.0))


@attack("guard frozen")
def guard_frozen(p: Pipeline, chance: random.Random) -> None:
    """It must not take its own pause for the runtime's."""
    p.guard.signal(signal.SIGSTOP)
    time.sleep(chance.uniform(1.0, 3.0))
    p.guard.signal(signal.SIGCONT)


@attack("guard told to end")
def guard_terminated(p: Pipeline, chance: random.Random) -> None:
    """It obeys."""
    p.guard.terminate(TERM_SECONDS)


@attack("runtime and guard killed", recover=AFTER_DEATH)
def both_killed(p: Pipeline, chance: random.Random) -> None:
    """A guard that finds a dead runtime at its start does its work."""
    resting(p)
    for part in chance.sample([p.runtime, p.guard], 2):
        part.kill()
    p.guard.start()
    nothing_open(p, GUARD_SECONDS, "the guard was started beside a dead runtime")


@attack("feed handler killed")
def feed_killed(p: Pipeline, chance: random.Random) -> None:
    """No order on a book that nobody keeps; the runtime goes over to the next one."""
    p.feed.kill()
    p.let_pass(STALE_GRACE)
    silent(p, 0.7, "the feed handler is dead")


@attack("feed handler frozen")
def feed_frozen(p: Pipeline, chance: random.Random) -> None:
    """No order on a book that stands still."""
    p.feed.signal(signal.SIGSTOP)
    p.let_pass(STALE_GRACE)
    silent(p, chance.uniform(0.5, 2.0), "the feed handler is frozen")
    p.feed.signal(signal.SIGCONT)


@attack("feed handler told to end")
def feed_terminated(p: Pipeline, chance: random.Random) -> None:
    """It ends, and the runtime waits for the next one."""
    p.feed.terminate(TERM_SECONDS)
    p.let_pass(STALE_GRACE)
    silent(p, 0.5, "there is no feed handler")


@attack("simulator frozen", recover=20.0)
def simulator_frozen(p: Pipeline, chance: random.Random) -> None:
    """The whole venue is silent; what was asked of it meanwhile is answered late."""
    p.simulator.signal(signal.SIGSTOP)
    with Calm(p.feed, p.runtime, p.guard):
        time.sleep(chance.uniform(1.0, 8.0))
    p.simulator.signal(signal.SIGCONT)


@attack("simulator's connections broken", recover=20.0)
def simulator_restart(p: Pipeline, chance: random.Random) -> None:
    """As a venue's own restart: everything breaks, orders stay."""
    p.books.restart(chance.uniform(0.2, 3.0))
    time.sleep(1.0)


@attack("simulator restarted empty", recover=25.0, case="X1")
def simulator_empty(p: Pipeline, chance: random.Random) -> None:
    """The venue has forgotten order and position: what it does not know past a request's lifetime is over."""
    resting(p)
    p.simulator.kill()
    time.sleep(chance.uniform(0.1, 1.0))
    p.start_simulator()


@attack("simulator restarted empty during a kill", recover=25.0, case="X1")
def simulator_empty_killed(p: Pipeline, chance: random.Random) -> None:
    """`quietcore kill` comes to its end although the venue knows none of the orders."""
    resting(p)
    p.simulator.kill()
    p.start_simulator()
    time.sleep(chance.uniform(0.0, 8.0))
    p.kill_file.write_text("thrown by the chaos test\n")
    p.until(
        lambda: (p.status() or {"orders": {"open": 1}})["orders"]["open"] == 0,
        14.0,
        "no order is open for ever that the venue does not know",
    )
    p.switch_on()


@attack("everything killed", recover=AFTER_DEATH)
def everything_killed(p: Pipeline, chance: random.Random) -> None:
    """As a power cut, with the venue's memory gone too."""
    for part in chance.sample(p.parts, len(p.parts)):
        part.kill()
