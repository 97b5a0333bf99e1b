"""The guard's look at the runtime's heartbeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from quietcore.execution.guard import Pulse
from quietcore.execution.heartbeat import FUTURE_SECONDS, Watcher, process_start


class HeartbeatPulse:
    """Called again and again: what the heartbeat at ``path`` says, ``timeout`` seconds old at most.

    A file that is gone, cut short or something else is no beat: the last one that could be read grows old meanwhile, so
    that a runtime that makes its file again in time is not taken for dead.
    """

    def __init__(self, path: Path, timeout: float, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._watcher = Watcher(path)
        self._timeout, self._now_ns = timeout, now_ns
        self._why = ""

    def __call__(self) -> Pulse:
        """Look once."""
        beat, problem = self._watcher.look()
        where = f"{self._watcher.path} is {problem}" if problem else ""
        if beat is None:
            self._why = where
            return Pulse.STOPPED
        if beat.ended:
            self._why = where
            return Pulse.ENDED if not problem else Pulse.STOPPED
        age = beat.age_seconds(self._now_ns())
        start = process_start(beat.pid)
        if start != beat.process_start:
            self._why = f"process {beat.pid} is gone"
        elif age < -FUTURE_SECONDS:
            self._why = f"a beat {-age:.1f} s in the future: of another boot"
        elif age > self._timeout:
            self._why = f"process {beat.pid} has not beaten for {age:.1f} s"
            if where:
                self._why += f"; {where}"
        else:
            self._why = where
            return Pulse.ALIVE
        return Pulse.STOPPED

    def why(self) -> str:
        """Return in a few words why the last look found what it found."""
        return self._why
