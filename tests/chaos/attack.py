"""What an attack is, and what its authors look at while it goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.chaos.part import Broken, Part
from tests.chaos.pipeline import GUARD_TIMEOUT, Pipeline

Play = Callable[[Pipeline, random.Random], None]

# Bounds, in seconds, that the pipeline must keep on a busy machine; what it promises is less.
KILL_GRACE = 1.0  # after the kill switch was thrown, an order on its way may still be accepted
GUARD_SECONDS = GUARD_TIMEOUT + 5.0  # from the death of the runtime until nothing is open
OPEN_AFTER_KILL = 6.0
STALE_GRACE = 1.5  # after its feed has stopped the runtime may send
TERM_SECONDS = 6.0
LINE_SECONDS = 8.0  # until a log says what happened
BUSY_SHARE = 0.7  # of a core: more is a loop that does not sleep


@dataclass(frozen=True)
class Attack:
    """``play`` does it, checks what must hold meanwhile, and undoes what nobody could mend but the attacker.

    ``recover``: seconds from its end until orders flow again. ``may_end``: parts that may end by it, with a line that
    says why and an exit code; the supervisor starts them again. ``case``: the number of the fault that it stands for.
    """

    name: str
    play: Play
    recover: float = 15.0
    may_end: frozenset[str] = frozenset()
    case: str = ""


@dataclass
class Catalogue:
    """All attacks by name, in the order in which they were written."""

    attacks: dict[str, Attack] = field(default_factory=dict)

    def attack(
        self, name: str, *, recover: float = 15.0, may_end: Iterable[str] = (), case: str = ""
    ) -> Callable[[Play], Play]:
        """Enter a function as the attack ``name``."""

        def enter(play: Play) -> Play:
            self.add(Attack(name, play, recover, frozenset(may_end), case))
            return play

        return enter

    def add(self, attack: Attack) -> None:
        """Enter an attack; a name is entered once."""
        if attack.name in self.attacks:
            raise ValueError(f"two attacks are called {attack.name}")
        self.attacks[attack.name] = attack


CATALOGUE = Catalogue()
attack = CATALOGUE.attack


def resting(p: Pipeline, seconds: float = 6.0) -> None:
    """Wait until an order is open at the venue."""
    p.until(lambda: p.moment().open > 0, seconds, "an order rests at the venue")


def nothing_open(p: Pipeline, seconds: float, why: str) -> None:
    """Wait until nothing is open at the venue, and see that it stays so for a moment."""
    p.until(lambda: p.moment().open == 0, seconds, f"nothing open at the venue, {why}")
    p.let_pass(0.3)
    if p.moment().open:
        raise Broken(f"open again at the venue, {why}")


def silent(p: Pipeline, seconds: float, why: str) -> None:
    """See that no order request leaves the runtime for so long, and that the venue accepts none."""
    began, before = time.monotonic(), p.moment().accepted
    time.sleep(seconds)
    sent = p.sent_since(began)
    if sent:
        raise Broken(f"{len(sent)} orders sent in {seconds:.1f} s although {why}: {sent[0].client_id}")
    more = p.moment().accepted - before
    if more:
        raise Broken(f"{more} orders accepted in {seconds:.1f} s although {why}")


class Calm:
    """A context in which a part must not burn CPU; at least a second long, else it says nothing."""

    def __init__(self, *parts: Part) -> None:
        self._parts = parts

    def __enter__(self) -> None:
        self._began = time.monotonic()
        self._before = {part: (part.pid, part.cpu_seconds()) for part in self._parts}

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        wall = time.monotonic() - self._began
        if kind is not None or wall < 1.0:
            return
        for part, (pid, before) in self._before.items():
            share = (part.cpu_seconds() - before) / wall
            if part.alive and part.pid == pid and share > BUSY_SHARE:
                raise Broken(f"the {part.name} uses {share:.0%} of a core while it can do nothing")
