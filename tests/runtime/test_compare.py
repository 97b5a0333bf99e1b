"""Comparing two runs: the same thing is no difference, a shift is found, and few values get no verdict."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from quietcore.compare.attribution import Attribution, attribute
from quietcore.compare.bootstrap import Pair, t_cdf, t_quantile, weighed
from quietcore.compare.series import LOWER, Metric, Run, read_run, write_run
from quietcore.compare.verdict import BETTER, SAME, TOO_FEW, WORSE, Comparison, compare
from quietcore.errors import QuietcoreError

VALUES = 30_000
TRIALS = 100


def latencies(rng: np.random.Generator, n: int = VALUES) -> Any:
    """A skewed distribution whose neighbours depend on each other, as latencies of a pipeline do."""
    noise = rng.normal(0, 1, n)
    lasting = np.convolve(noise, np.full(8, 8**-0.5), mode="same")
    return np.round(1000 * np.exp(0.35 * lasting + 0.35 * rng.normal(0, 1, n)))


def run_of(values: Any, rates: Any, label: str = "run", rounds: int = 1) -> Run:
    metric = Metric(
        rounds=[one.tolist() for one in np.array_split(values, rounds)],
        rates=[one.tolist() for one in np.array_split(rates, rounds)],
    )
    return Run(label, {"hop": metric})


def trial(seed: int, shift: float = 1.0) -> Comparison:
    rng = np.random.default_rng(seed)
    one, other = latencies(rng), latencies(rng)
    edge = np.quantile(other, 0.98)
    other = np.where(other > edge, other * shift, other)
    rates = rng.normal(1e5, 2e3, (2, 200))
    return compare(run_of(one, rates[0]), run_of(other, rates[1]))


def verdicts(found: Comparison) -> dict[str, str]:
    return {row.figure: row.verdict for row in found.rows}


def test_the_same_thing_twice_is_no_difference_and_a_tenth_of_p99_is_found() -> None:
    same = sum(set(verdicts(trial(seed)).values()) == {SAME} for seed in range(TRIALS))
    found = 0
    for seed in range(TRIALS):
        judged = verdicts(trial(1000 + seed, 1.1))
        found += judged["p99"] == WORSE
        assert judged["p50"] != WORSE or judged["p99"] == WORSE
    print(f"no difference in {same} of {TRIALS}, the shift found in {found} of {TRIALS}", file=sys.stderr)
    assert same >= 95
    assert found >= 90


def test_intervals_hold_what_they_promise() -> None:
    """Of 95 % intervals of p99 about 95 % hold the truth: neither far fewer, nor all."""
    held = 0
    for seed in range(80):
        rng = np.random.default_rng(5000 + seed)
        found = Pair([latencies(rng, 8000)], [latencies(rng, 8000)], paired=False, rng=rng).quantile(
            0.99, 0.05
        )
        held += found.low <= 1.0 <= found.high
    assert 70 <= held <= 79


def test_an_improvement_is_called_one_and_regressions_come_first() -> None:
    rng = np.random.default_rng(3)
    values, rates = latencies(rng), rng.normal(1e5, 1e3, 400)
    before, after = run_of(values, rates), run_of(latencies(rng) * 0.8, rates * 0.7)
    found = compare(before, after)
    judged = verdicts(found)
    assert judged["p50"] == judged["p99"] == BETTER
    assert judged["rate"] == WORSE
    assert found.rows[0].figure == "rate"
    assert found.worst == WORSE
    after.metrics["hop"].better_rate = before.metrics["hop"].better_rate = LOWER
    assert verdicts(compare(before, after))["rate"] == BETTER


def test_a_change_between_rounds_alone_is_no_difference() -> None:
    """Rounds that differ among themselves by more than the two configurations do prove nothing."""
    rng = np.random.default_rng(8)
    levels = [1.0, 1.4, 0.8, 1.2, 0.9, 1.3, 1.1, 0.7]
    one = [latencies(rng, 4000) * level for level in levels]
    other = [latencies(rng, 4000) * level for level in [*levels[1:], 1.5]]

    def run(rounds: list[Any], paired: str = "") -> Run:
        return Run("r", {"hop": Metric(rounds=[values.tolist() for values in rounds])}, paired=paired)

    assert set(verdicts(compare(run(one), run(other))).values()) == {SAME}
    # In turns, the same drift on both sides goes out, and a tenth is seen.
    shifted = [latencies(rng, 4000) * level * 1.1 for level in levels]
    assert verdicts(compare(run(one, "x"), run(shifted, "x")))["p50"] == WORSE
    assert verdicts(compare(run(one), run(shifted)))["p50"] == SAME


def test_few_values_get_no_verdict() -> None:
    rng = np.random.default_rng(4)
    values = latencies(rng, 2000)
    found = compare(run_of(values, [1.0]), run_of(values * 2, [1.0]))
    assert verdicts(found) == {"p50": WORSE, "p99": WORSE, "p99.9": TOO_FEW, "rate": TOO_FEW}
    row = next(row for row in found.rows if row.figure == "p99.9")
    assert row.n == (2000, 2000)
    assert row.needed == 10_000


def test_a_step_of_the_clock_is_no_difference() -> None:
    one, other = np.full(20_000, 40.0), np.full(20_000, 50.0)
    before, after = run_of(one, []), run_of(other, [])
    assert verdicts(compare(before, after))["p50"] == WORSE
    before.metrics["hop"].resolution = 20.0
    assert verdicts(compare(before, after))["p50"] == SAME


def test_the_maximum_has_no_verdict() -> None:
    rng = np.random.default_rng(6)
    values = latencies(rng)
    other = values.copy()
    other[77] = 1e9
    found = compare(run_of(values, []), run_of(other, []))
    assert found.maxima["hop"][1] == 1e9
    assert "max" not in verdicts(found)
    assert set(verdicts(found).values()) == {SAME}


def test_the_number_of_comparisons_counts() -> None:
    rng = np.random.default_rng(7)
    one, other = latencies(rng), latencies(rng)

    def many(values: Any, number: int) -> Run:
        return Run("r", {f"hop{i}": Metric(rounds=[values.tolist()]) for i in range(number)})

    few, several = compare(many(one, 1), many(other, 1)), compare(many(one, 10), many(other, 10))
    assert (few.comparisons, several.comparisons) == (3, 30)
    widths = [
        max(math.log(row.estimate.high / row.estimate.low) for row in found.rows if row.estimate is not None)
        for found in (few, several)
    ]
    assert widths[1] > 1.1 * widths[0]


def steps(seed: int, slower: dict[str, float]) -> Attribution:
    """As it was, then four steps; ``slower``: by what factor a step changes p99 and above."""
    rng = np.random.default_rng(seed)
    runs, factor = [], 1.0
    for name in ("before", "sysctl", "irq_affinity", "network", "reboot"):
        factor *= slower.get(name, 1.0)
        values = latencies(rng, 20_000)
        edge = np.quantile(values, 0.98)
        values = np.where(values > edge, values * factor, values)
        runs.append(run_of(values, rng.normal(1e5, 2e3, 200), name))
    return attribute(runs)


def test_a_change_is_put_down_to_the_step_that_made_it() -> None:
    wrong = found = 0
    for seed in range(8):
        told = {
            (name, row.verdict) for name, row in steps(seed, {"irq_affinity": 1.3, "reboot": 0.5}).changes
        }
        found += {("irq_affinity", WORSE), ("reboot", BETTER)} <= told
        wrong += bool({name for name, _ in told} - {"irq_affinity", "reboot"})
    assert found == 8
    assert wrong == 0
    assert all(steps(seed, {}).changes == [] for seed in range(3))


def test_regressions_of_any_step_come_first() -> None:
    found = steps(3, {"sysctl": 0.5, "network": 1.6, "reboot": 0.8})
    assert found.worst == WORSE
    names = [(name, row.verdict) for name, row in found.changes]
    assert names[0] == ("network", WORSE)
    assert [verdict for _, verdict in names] == sorted((verdict for _, verdict in names), reverse=True)
    assert found.whole.comparisons == sum(1 for step in found.steps for _ in step.found.rows) + 4
    assert all(step.found.comparisons == found.whole.comparisons for step in found.steps)
    assert [step.name for step in found.steps] == ["sysctl", "irq_affinity", "network", "reboot"]
    with pytest.raises(QuietcoreError, match="too few measurements"):
        attribute([Run("a"), Run("b")])


def test_what_only_one_run_has_and_who_should_not_be_quoted_is_said() -> None:
    one = Run("before", {"a": Metric(rounds=[[1.0]])}, host={"virtual": "qemu", "kernel": "6.1"})
    other = Run("after", {"b": Metric(rounds=[[1.0]])}, host={"virtual": "qemu", "kernel": "6.2"})
    found = compare(one, other)
    assert found.only == {"a": "before", "b": "after"}
    assert found.rows == []
    assert found.worst == SAME
    assert "emulated machine" in found.warnings[0]
    assert "not the same kernel: 6.1 before, 6.2 after" in found.warnings


def test_student() -> None:
    """Values of published tables."""
    for df, p, t in ((1, 0.975, 12.706), (2, 0.995, 9.925), (5, 0.95, 2.015), (30, 0.999, 3.385)):
        assert t_quantile(p, df) == pytest.approx(t, abs=6e-4)
        assert t_cdf(-t, df) == pytest.approx(1 - p, abs=1e-4)
    assert t_quantile(0.99, 5000) == pytest.approx(NormalDist().inv_cdf(0.99), abs=2e-3)


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    run = Run(
        "before", {"a": Metric(rounds=[[1.0, 2.0], [3.0]], rates=[[5.0]])}, {"cpu": "x"}, {"book": "no"}, "p"
    )
    write_run(tmp_path / "sub/run.json", run)
    assert read_run(tmp_path / "sub/run.json") == run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"),
        ("[]", "not a measurement of this version"),
        ('{"version": 1, "label": "x"}', "damaged"),
        ('{"version": 1, "label": "x", "metrics": {"a": {"rounds": [[-1]]}}}', "numbers of 0 or more"),
        ('{"version": 1, "label": "x", "metrics": {"a": {"speed": 1}}}', "damaged"),
    ],
)
def test_a_damaged_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(QuietcoreError, match=said) as refused:
        read_run(path)
    assert str(path) in str(refused.value)


def test_weighing_is_the_product_of_matrices() -> None:
    rng = np.random.default_rng(4)
    weights, rows = rng.integers(0, 3, (4, 5)).astype(np.float64), rng.normal(size=(5, 6))
    np.testing.assert_allclose(weighed(weights, rows), weights @ rows, rtol=1e-12)
