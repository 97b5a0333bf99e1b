"""The benchmark from tick to order's bytes: what it adds up, and when its goal holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runtime"))

from bench import order_path
from quietcore.compare.collect import Taken

HOPS = ("published → read", "read → signal", "signal → order sent")


def test_the_path_is_the_sum_of_its_hops_medians() -> None:
    taken = {
        hop: Taken([ns, ns + 1000, ns + 9000]) for hop, ns in zip(HOPS, (1000, 2000, 20_000), strict=True)
    }
    assert order_path.path_us(taken | {"venue → received": Taken([5e9])}) == 26.0
    assert order_path.path_us(taken | {HOPS[2]: Taken([])}) is None, "a round without orders is none"


@pytest.mark.parametrize(
    ("cores", "us", "verdict"), [(2, 10.0, "not measurable here"), (4, 20.0, "met"), (4, 40.0, "missed")]
)
def test_the_goal_is_one_of_free_cores(cores: int, us: float, verdict: str) -> None:
    found = order_path.judged([us + i / 100 for i in range(9)], cores)
    assert found.verdict == verdict
    assert found.unit == "µs"


def test_each_round_is_related_to_the_writes_around_it() -> None:
    assert order_path.ratios([10.0, 30.0], [4.0, 6.0, 14.0]) == [2.0, 3.0]


def test_a_bare_write_is_measured() -> None:
    assert 0.1 < order_path.bare_write_us() < 5000
