from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietcore.errors import QuietcoreError
from quietcore.host.cpulist import format_cpu_list, format_cpu_mask, parse_cpu_list, parse_cpu_mask

CPU_SETS = st.frozensets(st.integers(0, 300))


@given(CPU_SETS)
def test_list_and_mask_round_trip(cpus: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus)) == cpus
    assert parse_cpu_mask(format_cpu_mask(cpus)) == cpus


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", set()),
        ("0", {0}),
        ("0,3-5\n", {0, 3, 4, 5}),
        (" 2 , 4 ", {2, 4}),
        ("7-7", {7}),
        ("0-6:2/4", {0, 1, 4, 5}),
    ],
)
def test_lists_of_the_kernel(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    "text", ["a", "1-", "-1", "5-3", "0-6:3/2", "0-6:0/2", "0-6:2", "all", "1-N", "1 2", "0x3", "99999999"]
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(QuietcoreError, match="not a list of CPUs"):
        parse_cpu_list(text)


def test_masks_of_the_kernel() -> None:
    assert parse_cpu_mask("ffff,00000038") == {3, 4, 5, *range(32, 48)}
    assert format_cpu_mask({3, 4, 5}) == "38"
    assert format_cpu_mask({0, 32}) == "1,00000001"
    assert format_cpu_mask(set()) == "0"
    with pytest.raises(QuietcoreError, match="not a CPU mask"):
        parse_cpu_mask("xyz")
