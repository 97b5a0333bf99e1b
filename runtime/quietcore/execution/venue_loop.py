"""Event loops by configuration: one a venue, each in a thread on the core planned for it, busy-polling or sleeping."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import uvloop

from quietcore import loop_errors
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.process import Warn, name_thread, pin, planned_cpu

Result = TypeVar("Result")
START_SECONDS = 10.0
STOP_SECONDS = 5.0
STACK_BYTES = 1 << 20  # TLS and Python's callbacks need more than the compiled loop


class LoopSettings(NamedTuple):
    """``name``: of the thread, at most 15 characters; ``cpu``: -1 for any; ``spin``: never sleep."""

    name: str
    cpu: int = -1
    spin: bool = False

    @classmethod
    def planned(cls, name: str, cpu: str | int, wait: str, plan: Path) -> LoopSettings:
        """Return the settings of a configuration: ``cpu`` "plan", a number or -1; ``wait`` "spin" or "nap"."""
        if wait not in ("spin", "nap"):
            raise QuietcoreError("bad value", where=f"{name}: wait", found=repr(wait), expected="spin or nap")
        return cls(name, planned_cpu(cpu, "gateway", plan), wait == "spin")


class VenueLoop:
    """A uvloop in a thread of its own. Use as a context manager, or `start` and `stop`."""

    def __init__(self, settings: LoopSettings, warn: Warn) -> None:
        if not 1 <= len(settings.name.encode()) <= 15:
            raise QuietcoreError(
                "bad name of a loop", found=repr(settings.name), expected="1 to 15 characters"
            )
        self.settings = settings
        self.pinned = False
        self.tid = 0
        self.turns = 0  # of a busy-polling loop
        self._warn = warn
        self._loop = uvloop.new_event_loop()
        loop_errors.tell(self._loop, lambda line: warn(f"{settings.name}: {line}"))
        self._running = threading.Event()
        self._stopping = False
        self._ended = False
        self._problem = "it was stopped"
        self._thread = threading.Thread(target=self._run, name=settings.name, daemon=True)

    def start(self) -> Self:
        """Start the thread; returns when its loop runs."""
        # Memory may be locked later, and every stack is locked whole.
        before = threading.stack_size(STACK_BYTES)
        try:
            self._thread.start()
        finally:
            threading.stack_size(before)
        if not self._running.wait(START_SECONDS):
            raise QuietcoreError("event loop does not start", where=self.settings.name, code=ExitCode.UNKNOWN)
        return self

    def submit(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Run ``work`` in this loop, from any thread; the future is for threads, not for event loops.

        Raises QuietcoreError where the loop has ended: nothing would ever answer.
        """
        try:
            if self._ended:
                raise self._error()
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # it was closed between the two
            work.close()
            raise self._error() from error
        except QuietcoreError:
            work.close()
            raise

    async def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` in this loop for somebody in another one, who waits for it."""
        return await asyncio.wrap_future(self.submit(work))

    def tell(self, call: Callable[[], object]) -> None:
        """Let this loop call something soon; nothing waits for it, and a loop that has ended calls nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def stop(self) -> None:
        """Cancel what runs, end the loop, join its thread."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            self._warn(f"event loop {self.settings.name} does not end: something blocks it")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        self.tid = threading.get_native_id()
        name_thread(self.settings.name)
        self.pinned = pin(self.settings.cpu, f"event loop {self.settings.name}", self._warn)
        asyncio.set_event_loop(self._loop)
        if self.settings.spin:
            self._loop.call_soon(self._spin)
        self._loop.call_soon(self._running.set)
        try:
            try:
                self._loop.run_forever()
            except BaseException as error:  # MemoryError, or what a callback must not raise
                self._problem = repr(error)
                self._warn(f"event loop {self.settings.name} has ended by itself: {error!r}")
            self._ended = True
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _error(self) -> QuietcoreError:
        return QuietcoreError(
            "event loop has ended",
            where=self.settings.name,
            found=self._problem,
            remedy="restart it; what it had open is for the guard",
            code=ExitCode.UNKNOWN,
        )

    def _spin(self) -> None:
        # A loop with something to do at once polls its sockets without waiting.
        self.turns += 1
        if not self._stopping:
            self._loop.call_soon(self._spin)

    def _end(self) -> None:
        self._stopping = True
        self._loop.stop()
