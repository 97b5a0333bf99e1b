"""Suite `tick-to-order`: simulator, feed handler and runtime of this machine; the latency of each hop up to the
order.

The runtime keeps a histogram of each hop and writes it each second. A round is what was added to it meanwhile; its
values are known to 1.6 % and in no order, so rounds, not blocks within them, carry the proof.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from quietcore.compare.collect import AbsentError, Taken
from quietcore.errors import QuietcoreError
from quietcore.histogram import highest_value
from quietcore.local.pipeline import LocalPipeline, Wishes
from quietcore.observe.status import HOP_TITLES

# Averages so short that they cross often: there shall be many orders.
PARAMETERS: dict[str, int | float] = {"fast": 2, "slow": 4}
SESSION = ["--generate", "--seed", "11", "--symbols", "3", "--speed", "4"]
STATUS_SECONDS = 10.0


class OrderSuite:
    """Keeps the pipeline running from round to round; `wait` as of `Wishes`."""

    def __init__(self, wait: str = "nap") -> None:
        self._wait = wait
        self._stack = ExitStack()
        self._rng = np.random.default_rng(1)
        self._last: dict[str, dict[int, int]] = {}

    def __enter__(self) -> Self:
        pipeline = LocalPipeline(Wishes(SESSION, parameters=PARAMETERS, wait=self._wait))
        try:
            self._stack.enter_context(pipeline.interruption.installed())
            self._pipeline = self._stack.enter_context(pipeline)
            pipeline.start_simulator()
            pipeline.start_feed()
            pipeline.start_runtime()
            pipeline.begin()
        except QuietcoreError as error:
            self._stack.close()
            raise AbsentError(str(error)) from error
        except BaseException:
            self._stack.close()
            raise
        self._last = self._hops()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def measure(self, seconds: float) -> dict[str, Taken]:
        """Return each hop's latencies since the last call, or of so many seconds from now."""
        self._last = self._hops()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._pipeline.check()
            time.sleep(0.05)
        now = self._hops()
        taken = {HOP_TITLES[name]: self._added(self._last.get(name, {}), hop) for name, hop in now.items()}
        self._last = now
        return taken

    def status(self) -> dict[str, Any]:
        """Return the runtime's latest status."""
        return self._pipeline.status() or {}

    def endpoint(self) -> tuple[Path, str]:
        """Return the feed handler's control socket, and where its venue is."""
        return self._pipeline.control_path, str(self._pipeline.announced["websocket"])

    def _hops(self) -> dict[str, dict[int, int]]:
        """Wait for the next status; return each hop's buckets."""
        before, until = self._written(), time.monotonic() + STATUS_SECONDS
        while self._written() == before:
            self._pipeline.check()
            if time.monotonic() > until:
                raise AbsentError(f"the runtime wrote no status within {STATUS_SECONDS:g} s")
            time.sleep(0.02)
        status = self._pipeline.status() or {"hops": {}}
        return {name: dict(map(tuple, hop["buckets"])) for name, hop in status["hops"].items()}

    def _written(self) -> int:
        try:
            return self._pipeline.status_path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _added(self, before: dict[int, int], after: dict[int, int]) -> Taken:
        grown = {bucket: count - before.get(bucket, 0) for bucket, count in after.items()}
        values: Any = np.repeat([float(highest_value(bucket)) for bucket in grown], list(grown.values()))
        self._rng.shuffle(values)
        return Taken(values)


def make(cpus: Sequence[int]) -> OrderSuite:
    """Return the suite. The pipeline's threads are not pinned: it is the whole of it that is measured."""
    return OrderSuite()
