"""Descriptors held in reserve: where a process has used up all it may have, these are there for what protects."""

from __future__ import annotations

import os

COUNT = 12  # connections that cancel, and what name resolution and TLS open beside them


class Reserve:
    """Made at the start, so that its numbers are low: below a limit that is lowered later."""

    def __init__(self, count: int = COUNT) -> None:
        self._count = count
        self._held: list[int] = []
        self.fill()

    def fill(self) -> bool:
        """Take what is missing; False where the system gives no more for now."""
        while len(self._held) < self._count:
            try:
                self._held.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                return False
        return True

    def release(self) -> None:
        """Let go of all."""
        while self._held:
            os.close(self._held.pop())

    def lend(self) -> bool:
        """Let go of one; False where none is left."""
        if not self._held:
            return False
        os.close(self._held.pop())
        return True
