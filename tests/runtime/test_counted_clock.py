"""The clock of compiled loops: counted on from the kernel's, and never far from it."""

from __future__ import annotations

import time

import pytest

from quietcore.bridge.atomics import CLOCK_REALTIME, now_ns
from quietcore.bridge.compiled import compiled
from quietcore.bridge.counted_clock import (
    ASK_EVERY_NS,
    LIMIT,
    SCALE,
    SHIFT,
    STAMP,
    UTC,
    counted,
    new_clock,
    settle,
    utc_ns,
)
from quietcore.bridge.cycles import counter_is_trusted

STEPS_A_NS = 3
BEGIN_NS = 1_790_000_000_000_000_000


class Told:
    """A counter of three steps a nanosecond and a kernel's clock, both of which go on only when told to."""

    def __init__(self) -> None:
        self.clock = new_clock(trusted=True)
        self.stamp, self.utc = 77, BEGIN_NS

    def go(self, ns: int, *, utc_ns: int | None = None) -> None:
        self.stamp += ns * STEPS_A_NS
        self.utc += ns if utc_ns is None else utc_ns

    def ask(self) -> None:
        settle(self.clock, self.stamp, self.utc)

    def settled(self) -> Told:
        for _ in range(300):
            self.go(ASK_EVERY_NS)
            self.ask()
        return self

    def off(self) -> int:
        return abs(counted(self.clock, self.stamp - int(self.clock[STAMP])) - self.utc)


def test_it_has_no_scale_before_a_millisecond_has_passed_and_the_true_one_after() -> None:
    told = Told()
    told.ask()
    told.go(ASK_EVERY_NS // 2)
    told.ask()
    assert told.clock[LIMIT] == 0, "each time is the kernel's"
    told.go(ASK_EVERY_NS)
    told.ask()
    assert told.clock[SCALE] == (1 << SHIFT) // STEPS_A_NS
    assert abs(told.clock[LIMIT] - ASK_EVERY_NS * STEPS_A_NS) <= 3
    told.go(ASK_EVERY_NS // 2)
    assert told.off() <= 1


@pytest.mark.parametrize("step", [3_600_000_000_000, -7_200_000_000_000, 5_000_000, -300_000])
def test_it_follows_a_clock_that_is_set(step: int) -> None:
    told = Told().settled()
    told.utc += step
    told.go(ASK_EVERY_NS)
    told.ask()
    assert told.off() == 0
    told.go(ASK_EVERY_NS // 2)
    assert told.off() <= 1, "the counter's pace has not changed"


def test_it_follows_a_clock_that_is_slewed() -> None:
    told = Told().settled()
    for _ in range(1000):
        told.go(ASK_EVERY_NS, utc_ns=ASK_EVERY_NS + 500)  # 500 ppm, as much as the kernel does
        assert told.off() <= 501
        told.ask()
    told.go(ASK_EVERY_NS, utc_ns=ASK_EVERY_NS + 500)
    assert told.off() <= 5, "the pace is followed too"


def test_after_a_long_pause_no_scale_is_taken() -> None:
    told = Told().settled()
    scale = int(told.clock[SCALE])
    told.go(11_000_000_000, utc_ns=11_000_000_000 + 9_000_000)
    told.ask()
    assert told.clock[SCALE] == scale
    assert told.off() == 0


@compiled
def _bracketed(clock: object, rounds: int) -> int:
    """How far outside the kernel's readings before and after the clock was, at most."""
    worst = 0
    for _ in range(rounds):
        before = now_ns(CLOCK_REALTIME)
        now = utc_ns(clock)
        after = now_ns(CLOCK_REALTIME)
        worst = max(worst, before - now, now - after)
    return worst


@pytest.mark.machine_code
@pytest.mark.parametrize("trusted", [True, False])
def test_it_is_the_kernels_time_to_a_microsecond(trusted: bool) -> None:
    if trusted and not counter_is_trusted():
        pytest.skip("no counter to trust here")
    clock = new_clock(trusted=trusted)
    offs = [int(_bracketed(clock, 100_000)) for _ in range(5)]
    assert min(offs) < 1000, "in a run that the hypervisor did not interrupt"
    assert (clock[UTC] > 0) == trusted, "it was counted"


def test_where_the_counter_is_not_to_be_trusted_the_kernel_is_asked() -> None:
    clock = new_clock(trusted=False)
    before = time.time_ns()
    now = utc_ns(clock)
    assert before <= now <= time.time_ns()
    assert not clock.any()
