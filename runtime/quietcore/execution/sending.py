"""Whether orders may go out, by how the venue answers: one that refuses everything is not sent everything.

After a refusal that is about every request (key, clock, address, rate, the venue itself), after `REFUSED_IN_A_ROW`
refusals of orders without one that was taken, and after an order whose fate is not known, nothing goes out until the
venue has answered a signed question; and after the next refusal without an order that was taken, twice as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from quietcore.execution.process import Warn
from quietcore.venues.interface import Nature, Trouble

REFUSED_IN_A_ROW = 5
PAUSE_FIRST_SECONDS = 1.0
PAUSE_MOST_SECONDS = 30.0
PROBE_MOST_SECONDS = 5.0
KEPT = 64  # kinds of refusals, and of what is not understood

_CODE = re.compile(r"(?:HTTP )?-?[0-9]+")
_NUMBERS = re.compile(r"[0-9]+")


class Refusal(NamedTuple):
    """What the venue refused, and how often; the last one's words."""

    found: str
    meaning: str
    remedy: str
    times: int


class Told:
    """What is counted by kind and said once each: refusals, and what is not understood."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._said: set[str] = set()
        self.refusals: dict[str, Refusal] = {}
        self.kinds: dict[str, int] = {}

    def refusal(self, what: str, trouble: Trouble, *, say: bool) -> None:
        """Count a refusal; the first of its kind that may be said is: the venue ``what``."""
        kind = kind_of(trouble.found)
        before = self.refusals.get(kind)
        if before is None and len(self.refusals) >= KEPT:
            kind, before = "others", self.refusals.get("others")
        times = 1 if before is None else before.times + 1
        self.refusals[kind] = Refusal(trouble.found, trouble.meaning, trouble.remedy, times)
        if say and kind not in self._said:
            self._said.add(kind)
            self._warn(f"the venue {what}: {trouble.line()}; further ones are counted")

    def kind(self, what: str, consequence: str) -> None:
        """Count something of the venue that is out of the ordinary; the first of its kind is said."""
        if what not in self.kinds and len(self.kinds) >= KEPT:
            what = "others"
        first = what not in self.kinds
        self.kinds[what] = self.kinds.get(what, 0) + 1
        if first:
            self._warn(f"the venue sent {what}: {consequence}; further ones are counted")


def kind_of(found: str) -> str:
    """Return what tells refusals apart: the code, else the words without their numbers.

    >>> kind_of("10002 invalid request, req_timestamp[17]"), kind_of("HTTP 403: x"), kind_of("no answer within 3 s")
    ('10002', 'HTTP 403', 'no answer within # s')
    """
    code = _CODE.match(found)
    return code.group() if code is not None else _NUMBERS.sub("#", found)[:80]


class SendingPause:
    """Open until the venue refuses. ``clock``: seconds; ``warn``: takes one line a pause, and one at its end."""

    def __init__(self, clock: Callable[[], float], warn: Warn) -> None:
        self._clock, self._warn = clock, warn
        self.reason = ""  # why nothing goes out now, "" where orders may
        self._until = 0.0
        self._pause = PAUSE_FIRST_SECONDS
        self._probe = PAUSE_FIRST_SECONDS
        self._in_a_row = 0
        self._proved = True  # an order was taken since the last pause
        self._began = 0.0
        self._said = ""  # the kind of the refusal that was said of this pause

    def taken(self) -> None:
        """Take note that the venue took an order."""
        if self.reason:
            return  # it was on its way when the pause began
        self._in_a_row = 0
        if self._proved:
            return
        self._proved, self._pause = True, PAUSE_FIRST_SECONDS
        if self._said:
            self._warn(f"the venue takes orders again, after {self._clock() - self._began:.1f} s")
        self._said = ""

    def refused(self, trouble: Trouble) -> bool:
        """Take a refusal that is certain; return whether a pause begins with it."""
        self._in_a_row += 1
        alone = trouble.nature is Nature.REQUEST
        if self.reason or (alone and self._in_a_row < REFUSED_IN_A_ROW):
            return False
        many = f"{self._in_a_row} orders in a row refused, the last one: " if alone else ""
        self._begin(trouble, many, max(trouble.wait, self._pause))
        self._say(trouble)
        return True

    def unknown(self, trouble: Trouble) -> bool:
        """Take an order whose fate is not known; return whether a pause begins with it."""
        if self.reason:
            return False
        again = not self._proved
        self._begin(trouble, "", max(trouble.wait, self._pause if again else 0.0))
        if again:
            self._say(trouble)
        return True

    def left(self) -> float:
        """Return for how many seconds the venue is not even asked."""
        return max(0.0, self._until - self._clock())

    def not_over(self, trouble: Trouble) -> None:
        """Take note that the venue did not answer the question that would end the pause."""
        self._say(trouble)
        self.reason = trouble.line()
        self._until = self._clock() + max(trouble.wait, self._probe)
        self._probe = min(2 * self._probe, PROBE_MOST_SECONDS)

    def over(self) -> None:
        """Let orders go out; the next one shows whether the venue takes them."""
        self.reason = ""

    def _begin(self, trouble: Trouble, before: str, seconds: float) -> None:
        now = self._clock()
        if self._proved:
            self._began = now
        else:
            self._pause = min(2 * self._pause, PAUSE_MOST_SECONDS)
        self.reason, self._until = before + trouble.line(), now + seconds
        self._proved, self._probe = False, PAUSE_FIRST_SECONDS

    def _say(self, trouble: Trouble) -> None:
        kind = kind_of(trouble.found)
        if kind != self._said:
            self._said = kind
            self._warn(f"no orders until the venue takes them: {self.reason or trouble.line()}")
