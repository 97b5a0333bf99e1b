"""The clock source, and the daemons that set the clock."""

from __future__ import annotations

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Finding, Verdict
from quietcore.host.kinds.clocksource import AVAILABLE, CURRENT

TSC = setting("time_sync.clocksource", "clocksource", "clocksource0", "tsc")
THREADS = setting("time_sync.threads", "threads", "unit:chrony.service", "0-1")


@pytest.fixture
def clocked(host: FakeHost) -> FakeHost:
    host.put(CURRENT, "hpet\n")
    host.put(AVAILABLE, "tsc hpet acpi_pm \n")
    return host


def found(host: FakeHost) -> Finding:
    return audit(host.machine())[0]


def test_the_clock_source_is_set_watched_and_put_back(clocked: FakeHost) -> None:
    assert not promise(clocked.machine(), "time_sync", [TSC]).failures
    assert clocked.get(CURRENT) == "tsc"
    clocked.put(CURRENT, "acpi_pm\n")
    assert (found(clocked).verdict, found(clocked).found) == (Verdict.DRIFT, "acpi_pm")
    apply_all(clocked.machine(), live_only=True)
    assert found(clocked).verdict is Verdict.OK
    revert(clocked.machine())
    assert clocked.get(CURRENT) == "hpet"


def test_a_clock_source_that_the_kernel_lacks_is_unsupported(clocked: FakeHost) -> None:
    clocked.put(AVAILABLE, "hpet acpi_pm\n")
    assert not promise(clocked.machine(), "time_sync", [{**TSC, "required": False}]).failures
    finding = found(clocked)
    assert (finding.verdict, finding.found) == (Verdict.UNSUPPORTED, "hpet")
    assert "the kernel offers hpet acpi_pm only" in finding.cause
    assert clocked.get(CURRENT) == "hpet"


def test_a_clock_source_that_cannot_be_read_never_passes(clocked: FakeHost) -> None:
    promise(clocked.machine(), "time_sync", [TSC])
    clocked.unreadable(CURRENT)
    assert not found(clocked).readable


def test_what_is_no_clock_source_is_refused(clocked: FakeHost) -> None:
    with pytest.raises(QuietcoreError, match="not a clock source"):
        promise(clocked.machine(), "time_sync", [{**TSC, "wanted": "tsc hpet"}])


def test_a_daemons_threads_are_pinned_and_no_others(host: FakeHost) -> None:
    host.process(500, "chronyd", "/system.slice/chrony.service", "0-2")
    host.process(500, "helper", "/system.slice/chrony.service", "0-5", tid=501)
    assert not promise(host.machine(), "time_sync", [THREADS]).failures
    assert [host.allowed(tid) for tid in (300, 500, 501)] == ["0-5", "0-1", "0-1"]
    host.process(500, "chronyd", "/system.slice/chrony.service", "3")
    assert found(host).found == "500 (chronyd) on 3"
    revert(host.machine())
    assert host.allowed(501) == "0-5"


def test_a_daemon_that_does_not_run_needs_nothing(host: FakeHost) -> None:
    promise(host.machine(), "time_sync", [THREADS])
    assert (found(host).verdict, found(host).found) == (Verdict.OK, "not running")
