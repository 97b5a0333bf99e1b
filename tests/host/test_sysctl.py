"""Sysctl keys of which the kernel keeps one of two, and values that make no sense together."""

from __future__ import annotations

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import promise, revert

BYTES = setting("s.bytes", "sysctl", "vm.dirty_bytes", "268435456")
BACKGROUND = setting("s.background", "sysctl", "vm.dirty_background_bytes", "67108864")


@pytest.fixture
def dirty(host: FakeHost) -> FakeHost:
    for name, value in (("ratio", 20), ("bytes", 0), ("background_ratio", 10), ("background_bytes", 0)):
        host.put(f"/proc/sys/vm/dirty_{name}", f"{value}\n")
    for name, value in (("period", 1000000), ("runtime", 950000)):
        host.put(f"/proc/sys/kernel/sched_rt_{name}_us", f"{value}\n")
    return host


def limits(host: FakeHost) -> dict[str, str]:
    return {
        name: host.get(f"/proc/sys/vm/dirty_{name}")
        for name in ("ratio", "bytes", "background_ratio", "background_bytes")
    }


def test_limits_in_bytes_come_back_as_ratios(dirty: FakeHost) -> None:
    before = limits(dirty)
    assert not promise(dirty.machine(), "sysctl", [BYTES, BACKGROUND]).failures
    assert limits(dirty) == {
        "ratio": "0",
        "bytes": "268435456",
        "background_ratio": "0",
        "background_bytes": "67108864",
    }
    assert not promise(dirty.machine(), "sysctl", [BYTES, BACKGROUND]).changed
    assert not revert(dirty.machine()).failures
    assert limits(dirty) == before
    assert not revert(dirty.machine()).changed


def test_a_ratio_in_place_of_bytes_comes_back_too(dirty: FakeHost) -> None:
    dirty.machine().write_value("/proc/sys/vm/dirty_bytes", "1048576")
    before = limits(dirty)
    promise(dirty.machine(), "sysctl", [setting("s", "sysctl", "vm.dirty_ratio", "5")])
    assert (limits(dirty)["ratio"], limits(dirty)["bytes"]) == ("5", "0")
    revert(dirty.machine())
    assert limits(dirty) == before


def test_a_ratio_set_by_hand_is_found_and_mended(dirty: FakeHost) -> None:
    promise(dirty.machine(), "sysctl", [BYTES])
    dirty.machine().write_value("/proc/sys/vm/dirty_ratio", "30")
    (finding,) = audit(dirty.machine())
    assert (finding.failed, finding.found) == (True, "0")
    assert not promise(dirty.machine(), "sysctl", [BYTES]).failures
    assert limits(dirty)["ratio"] == "0"
    revert(dirty.machine())
    assert limits(dirty)["ratio"] == "20"


def test_another_role_that_wants_the_other_one_is_refused(dirty: FakeHost) -> None:
    promise(dirty.machine(), "sysctl", [BYTES])
    with pytest.raises(QuietcoreError, match=r"vm.dirty_bytes and vm.dirty_ratio exclude each other"):
        promise(dirty.machine(), "other", [setting("o", "sysctl", "vm.dirty_ratio", "5")])


@pytest.mark.parametrize(
    ("runtime", "period", "message"),
    [
        ("1000000", None, r"whole period.*found kernel.sched_rt_runtime_us: 1000000; .*less than"),
        ("500000", "500000", r"whole period.*\(500000\)"),
        ("-1", None, "starve kernel threads"),
        ("950000", "0", "no period of 0"),
    ],
)
def test_real_time_throttling_is_not_taken_away(
    dirty: FakeHost, runtime: str, period: str | None, message: str
) -> None:
    settings = [setting("r", "sysctl", "kernel.sched_rt_runtime_us", runtime)]
    if period is not None:
        settings.append(setting("p", "sysctl", "kernel.sched_rt_period_us", period))
    with pytest.raises(QuietcoreError, match=message):
        promise(dirty.machine(), "sysctl", settings)
    assert dirty.get("/proc/sys/kernel/sched_rt_runtime_us") == "950000"


def test_a_limit_of_0_is_written_where_it_is_wanted_and_where_it_was(dirty: FakeHost) -> None:
    """`vm.dirty_background_ratio = 0` is a valid value, and both of a pair may have been 0."""
    dirty.put("/proc/sys/vm/dirty_background_ratio", "0\n")
    before = limits(dirty)
    wanted = [setting("s", "sysctl", "vm.dirty_background_ratio", "5")]
    assert not promise(dirty.machine(), "sysctl", wanted).failures
    assert not revert(dirty.machine()).failures
    assert limits(dirty) == before
    dirty.put("/proc/sys/vm/dirty_background_ratio", "10\n")
    wanted = [setting("s", "sysctl", "vm.dirty_background_ratio", "0")]
    assert not promise(dirty.machine(), "sysctl", wanted).failures
    assert limits(dirty)["background_ratio"] == "0"
    assert not revert(dirty.machine()).failures
    assert limits(dirty)["background_ratio"] == "10"


@pytest.mark.parametrize(
    "values",
    [
        {"kernel.watchdog": "0", "kernel.nmi_watchdog": "1"},
        {"kernel.watchdog": "1", "kernel.nmi_watchdog": "0", "kernel.soft_watchdog": "0"},
        {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.forwarding": "1"},
        {"vm.overcommit_ratio": "50", "vm.overcommit_kbytes": "1000"},
    ],
)
def test_keys_that_undo_each_other_are_refused_together(dirty: FakeHost, values: dict[str, str]) -> None:
    wanted = [setting(key, "sysctl", key, value) for key, value in values.items()]
    with pytest.raises(QuietcoreError, match=r"together with the others|exclude each other"):
        promise(dirty.machine(), "sysctl", wanted)


def test_a_runtime_is_measured_by_the_period_that_is_in_effect(dirty: FakeHost) -> None:
    dirty.put("/proc/sys/kernel/sched_rt_period_us", "400000\n")
    dirty.put("/proc/sys/kernel/sched_rt_runtime_us", "300000\n")
    with pytest.raises(QuietcoreError, match=r"less than kernel.sched_rt_period_us \(400000\)"):
        promise(dirty.machine(), "sysctl", [setting("r", "sysctl", "kernel.sched_rt_runtime_us", "500000")])
