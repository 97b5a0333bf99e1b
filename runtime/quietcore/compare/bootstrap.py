"""Block-bootstrap intervals for the ratio of a quantile, or of a rate, between two measurements.

Neighbouring latencies are not independent, so whole blocks of them are drawn again (Künsch 1989), never across the
end of a round; where there are several rounds, rounds are drawn first, the same ones on both sides where they
alternated. The spread of the logarithm of the ratio over the draws is its standard error; the interval is that of
Student's t with one degree of freedom less than there are rounds, or blocks where there is one round.

A quantile of a draw is read from counts: for each block, how many of its values lie below each of some edges around
the quantile. A draw is then a weighted sum of rows, and all draws are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quietcore.bridge.compiled import compiled

DRAWS: Final = 500
BLOCKS: Final = 128  # at most, over all rounds
LEAST_BLOCKS: Final = 8  # a round
EDGES: Final = 129
LEAST_BEYOND: Final = 10  # values above a quantile, below which it is not judged


@dataclass(frozen=True)
class Estimate:
    """``ratio`` is after / before with its simultaneous interval; ``p`` belongs to one comparison alone."""

    before: float
    after: float
    ratio: float
    low: float
    high: float
    p: float


def t_cdf(t: float, df: int) -> float:
    """Return P(T ≤ t) of Student's t: Abramowitz and Stegun 26.7.3 and 26.7.4, exact for whole ``df``."""
    theta = math.atan(abs(t) / math.sqrt(df))
    cos, sin = math.cos(theta), math.sin(theta)
    if df == 1:
        inside = 2 * theta / math.pi
    elif df % 2:
        term = total = cos
        for i in range(3, df - 1, 2):
            term *= cos * cos * (i - 1) / i
            total += term
        inside = 2 / math.pi * (theta + sin * total)
    else:
        term = total = 1.0
        for i in range(2, df - 1, 2):
            term *= cos * cos * (i - 1) / i
            total += term
        inside = sin * total
    return 0.5 + math.copysign(inside / 2, t)


def t_quantile(p: float, df: int) -> float:
    """Return t with P(T ≤ t) = ``p`` for p of 0.5 to below 1."""
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return high


def blocks_of(rounds: Sequence[Any]) -> list[list[Any]]:
    """Cut each round into blocks of equal length, in order; a short rest joins the last."""
    wanted = max(LEAST_BLOCKS, BLOCKS // max(1, len(rounds)))
    cut = []
    for values in rounds:
        number = max(1, min(wanted, len(values) // 2))
        cut.append(np.array_split(np.asarray(values, dtype=np.float64), number))
    return cut


def draw_weights(shape: Sequence[int], chosen: Any, rng: np.random.Generator) -> Any:
    """Return [DRAWS, blocks]: how often each block is in each draw.

    ``shape`` is the number of blocks of each round, ``chosen`` [DRAWS, rounds] how often each round is drawn: a
    round drawn k times gives k times as many blocks as it has, drawn from it.
    """
    columns = []
    for index, blocks in enumerate(shape):
        weights = rng.multinomial(chosen[:, index] * blocks, np.full(blocks, 1.0 / blocks))
        columns.append(weights)
    return np.concatenate(columns, axis=1).astype(np.float64)


def draw_rounds(rounds: int, rng: np.random.Generator) -> Any:
    """Return [DRAWS, rounds]: how often each round is drawn; a single one always once."""
    if rounds == 1:
        return np.ones((DRAWS, 1), dtype=np.int64)
    return rng.multinomial(rounds, np.full(rounds, 1.0 / rounds), size=DRAWS)


@compiled
def weighed(weights: Any, rows: Any) -> Any:
    """Return weights @ rows, [draws, edges]. A library's threads would wait for each other longer than this takes."""
    out = np.zeros((weights.shape[0], rows.shape[1]))
    for draw in range(weights.shape[0]):
        for block in range(weights.shape[1]):
            weight = weights[draw, block]
            if weight != 0.0:
                for edge in range(rows.shape[1]):
                    out[draw, edge] += weight * rows[block, edge]
    return out


class Side:
    """One measurement's latencies, cut into blocks."""

    def __init__(self, rounds: Sequence[Any]) -> None:
        self.blocks = blocks_of(rounds)
        self.shape = [len(one) for one in self.blocks]
        self.flat = [block for one in self.blocks for block in one]
        self.sorted = np.sort(np.concatenate(self.flat))
        self._sorted_blocks = [np.sort(block) for block in self.flat]
        self._sizes = np.array([len(block) for block in self.flat], dtype=np.float64)

    def quantile(self, p: float) -> float:
        """Return the smallest value that at least ``p`` of all do not exceed."""
        return float(self.sorted[max(0, math.ceil(p * len(self.sorted)) - 1)])

    def draws(self, p: float, weights: Any) -> Any:
        """Return [DRAWS]: the quantile in each draw."""
        n = len(self.sorted)
        reach = 12 * math.sqrt(p * (1 - p) / n) * math.sqrt(max(1.0, n / len(self.flat)) / 10 + 1)
        ranks = np.linspace(max(0.0, p - reach), min(1.0, p + reach), EDGES) * (n - 1)
        edges = np.unique(self.sorted[np.rint(ranks).astype(np.int64)])
        below = np.stack([np.searchsorted(block, edges, side="right") for block in self._sorted_blocks])
        cumulated = weighed(weights, below.astype(np.float64))
        target = p * (weights @ self._sizes)
        at = np.argmax(cumulated >= target[:, None], axis=1)
        # Where even the last edge lies below the quantile, argmax says 0.
        at[cumulated[:, -1] < target] = len(edges) - 1
        left = np.maximum(at - 1, 0)
        rows = np.arange(len(at))
        span = cumulated[rows, at] - cumulated[rows, left]
        share = np.where(span > 0, (target - cumulated[rows, left]) / np.where(span > 0, span, 1), 1.0)
        return edges[left] + np.clip(share, 0, 1) * (edges[at] - edges[left])


def estimate(before: float, after: float, spread: Any, df: int, rounds: int, alpha: float) -> Estimate:
    """Return the ratio with its interval at 1 - ``alpha``; ``spread`` [DRAWS] is the log ratio over the draws."""
    if before <= 0 or after <= 0:
        same = before == after
        return Estimate(before, after, 1.0 if same else math.inf, 0.0, math.inf, 1.0)
    theta = math.log(after / before)
    error = float(np.std(spread))
    if rounds > 1:
        error *= math.sqrt(rounds / (rounds - 1))
    if error == 0:
        return Estimate(
            before, after, math.exp(theta), math.exp(theta), math.exp(theta), 0.0 if theta else 1.0
        )
    half = t_quantile(1 - alpha / 2, df) * error
    p = 2 * (1 - t_cdf(abs(theta) / error, df))
    return Estimate(
        before, after, math.exp(theta), math.exp(theta - half), math.exp(min(theta + half, 700)), p
    )


def freedom(rounds: int, blocks: int) -> int:
    """Return the degrees of freedom: of rounds where there are several, else of blocks."""
    return max(1, (rounds if rounds > 1 else blocks) - 1)


class Pair:
    """Two measurements of one thing, and the draws that both share."""

    def __init__(
        self, before: Sequence[Any], after: Sequence[Any], *, paired: bool, rng: np.random.Generator
    ) -> None:
        self.before, self.after = Side(before), Side(after)
        self.rounds = min(len(before), len(after))
        chosen = draw_rounds(len(before), rng)
        same = paired and len(before) == len(after)
        self._weights = draw_weights(self.before.shape, chosen, rng)
        other = chosen if same else draw_rounds(len(after), rng)
        self._other = draw_weights(self.after.shape, other, rng)
        self._df = freedom(self.rounds, min(len(self.before.flat), len(self.after.flat)))

    def quantile(self, p: float, alpha: float) -> Estimate:
        """Compare one quantile."""
        spread = np.log(np.maximum(self.after.draws(p, self._other), 1e-9)) - np.log(
            np.maximum(self.before.draws(p, self._weights), 1e-9)
        )
        return estimate(self.before.quantile(p), self.after.quantile(p), spread, self._df, self.rounds, alpha)

    def mean(self, alpha: float) -> Estimate:
        """Compare the means: of rates in pieces of equal length, the rate of the whole."""
        totals = []
        for side, weights in ((self.before, self._weights), (self.after, self._other)):
            sums = np.array([block.sum() for block in side.flat])
            sizes = np.array([float(len(block)) for block in side.flat])
            totals.append((weights @ sums) / (weights @ sizes))
        spread = np.log(np.maximum(totals[1], 1e-12)) - np.log(np.maximum(totals[0], 1e-12))
        means = float(self.before.sorted.mean()), float(self.after.sorted.mean())
        return estimate(*means, spread, self._df, self.rounds, alpha)
