"""One that should answer each period and does not: said at the first, and after some too long."""

from __future__ import annotations

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.process import Warn

MOST_PERIODS = 15  # some seconds more than a stopped machine, a debugger or a long swap takes


class Silence:
    """Counts the periods in which ``what`` did not answer."""

    def __init__(self, what: str, warn: Warn, most: int = MOST_PERIODS) -> None:
        self._what, self._warn, self._most = what, warn, most
        self._periods = 0

    def too_long(self, *, answered: bool) -> bool:
        """Count one period; True where there were too many in a row without an answer."""
        if answered:
            if self._periods:
                self._warn(f"{self._what} answers again")
            self._periods = 0
            return False
        self._periods += 1
        if self._periods == 1:
            self._warn(f"{self._what} does not answer: something blocks it")
        return self._periods >= self._most

    def error(self) -> QuietcoreError:
        """Return what to end with."""
        return QuietcoreError(
            f"{self._what} does not answer",
            found=f"nothing in {self._periods} periods",
            remedy="see what blocks it (quietcore profile); the guard cancels what is open",
            code=ExitCode.UNKNOWN,
        )
