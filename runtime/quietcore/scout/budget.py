"""How many connections may be opened: venues limit them, and the feed and the orders need theirs."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable


class ConnectionBudget:
    """At most ``most`` new connections a domain in any ``seconds``."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds = most, seconds
        self.withheld = 0
        self._clock = clock
        self._opened: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, domain: str) -> bool:
        """Count a connection that is about to be opened; False, and nothing counted, where there is no room."""
        opened, now = self._opened[domain], self._clock()
        while opened and opened[0] <= now - self.seconds:
            opened.popleft()
        if len(opened) >= self.most:
            self.withheld += 1
            return False
        opened.append(now)
        return True
