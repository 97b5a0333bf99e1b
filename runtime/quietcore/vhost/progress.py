"""Steps that say what they do and how long it took, so that nobody wonders whether it hangs."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_FIRST_WORD_AFTER = 2.0  # seconds: what is over sooner stays silent
_REPEAT_AFTER = 15.0


class Progress:
    """Announces steps that take longer than two seconds and repeats the elapsed time while they last.

    A short step costs no line. Lines go to standard error: standard output belongs to results.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print one line at once."""
        if not self._quiet:
            print(f"vhost: {text}", file=self._stream or sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Run a step; ``what`` says what is being done, without a full stop."""
        started = time.monotonic()
        ended = threading.Event()
        spoke = threading.Event()

        def watch() -> None:
            wait = _FIRST_WORD_AFTER
            while not ended.wait(wait):
                spoke.set()
                self.say(f"{what} … {time.monotonic() - started:.0f} s")
                wait = _REPEAT_AFTER

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except BaseException:
            ended.set()
            watcher.join()
            self.say(f"{what}: failed after {time.monotonic() - started:.1f} s")
            raise
        ended.set()
        watcher.join()
        if spoke.is_set():
            self.say(f"{what}: done in {time.monotonic() - started:.1f} s")
