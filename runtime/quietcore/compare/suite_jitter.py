"""Suite `jitter`: the jitter meter on the chosen cores."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

from quietcore.compare.collect import Taken
from quietcore.compare.series import LOWER
from quietcore.jitter.meter import Meter

THRESHOLD_NS = 1000
PIECE_SECONDS = 0.1


class JitterSuite:
    """Measures all cores at once; a metric for each."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = cpus

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def measure(self, seconds: float) -> dict[str, Taken]:
        """Return the interruptions of each core: their lengths, and how many a second there were."""
        meter = Meter(self._cpus, seconds, THRESHOLD_NS)
        report = meter.measure(interruptible=False)
        taken = {}
        for core in report["cores"]:
            pauses = meter.pauses()[core["cpu"]]
            pieces = max(1, round(core["seconds"] / PIECE_SECONDS))
            ends = (pauses[:, 0] - core["began_ns"]) / 1e9
            counts, _ = np.histogram(ends, bins=pieces, range=(0.0, core["seconds"]))
            taken[f"CPU {core['cpu']}"] = Taken(
                pauses[:, 1],
                counts * pieces / core["seconds"],
                better_rate=LOWER,
                resolution=2 * core["step_ns"],
            )
        return taken


def make(cpus: Sequence[int]) -> JitterSuite:
    """Return the suite for these cores."""
    return JitterSuite(cpus)
