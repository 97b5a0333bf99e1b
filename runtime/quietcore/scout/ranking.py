"""From measurements to a choice: a robust score with reliability, and an election that does not flutter."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quietcore.scout.probe import Candidate, Measurement

KEPT = 12  # measurements that count: two minutes at one every ten seconds
LEAST = 2  # good ones before a candidate can be elected
FAILED_IN_A_ROW = 2  # then the elected one is left without waiting for the next election
MARGIN = 0.10  # share by which another must be better, with hysteresis
MARGIN_NS = 50_000  # and at least by so much: below it is noise

HYSTERESIS = "hysteresis"
ALWAYS = "always"
POLICIES = (HYSTERESIS, ALWAYS)


class Score(NamedTuple):
    """A candidate's standing. ``score_ns``: (median + median deviation) / reliability²; None: cannot be elected."""

    candidate: Candidate
    score_ns: float | None
    median_ns: int
    deviation_ns: int
    reliability: float
    measurements: int
    last: Measurement


class Record:
    """A candidate's last measurements."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.measurements: deque[Measurement] = deque(maxlen=KEPT)

    def add(self, measurement: Measurement) -> None:
        """Count one."""
        self.measurements.append(measurement)

    @property
    def failing(self) -> bool:
        """Whether the last ones all failed."""
        latest = list(self.measurements)[-FAILED_IN_A_ROW:]
        return len(latest) == FAILED_IN_A_ROW and all(one.error for one in latest)

    def score(self) -> Score:
        """Return its standing now."""
        good = [one.round_trip_ns for one in self.measurements if not one.error]
        reliability = len(good) / len(self.measurements)
        median = int(statistics.median(good)) if good else 0
        deviation = int(statistics.median(abs(one - median) for one in good)) if good else 0
        able = len(good) >= LEAST and not self.failing
        return Score(
            self.candidate,
            (median + deviation) / reliability**2 if able else None,
            median,
            deviation,
            reliability,
            len(self.measurements),
            self.measurements[-1],
        )


def ranked(records: Mapping[Candidate, Record], kind: str) -> list[Score]:
    """Return the standings of one kind, best first; those that cannot be elected last."""
    scores = [
        record.score()
        for record in records.values()
        if record.candidate.target.kind == kind and record.measurements
    ]
    return sorted(scores, key=lambda score: (score.score_ns is None, score.score_ns or 0.0))


def elect(current: Candidate | None, standings: Sequence[Score], policy: str) -> Candidate | None:
    """Return who is to be used: with hysteresis the current one, unless another is clearly better."""
    best = next((score for score in standings if score.score_ns is not None), None)
    if best is None:
        return current
    ours = next((score for score in standings if score.candidate == current), None)
    if policy == ALWAYS or ours is None or ours.score_ns is None:
        return best.candidate
    assert best.score_ns is not None
    gain = ours.score_ns - best.score_ns
    return best.candidate if gain > MARGIN * ours.score_ns and gain > MARGIN_NS else current
