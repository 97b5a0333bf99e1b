"""The two ways of isolation, and the threads that are kept away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.host.fake_host import KERNEL, FakeHost
from tests.host.promises import Setting, setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Finding, Verdict
from quietcore.host.targets import PARTITION_UNIT, partition_path

SLICE = "quietcore_isolated.slice"
STATE = partition_path(SLICE)
DOMAIN = [setting("boot.isolcpus", "kernel_parameter", "isolcpus", "managed_irq,domain,3-5")]
MANAGED = [setting("boot.isolcpus", "kernel_parameter", "isolcpus", "managed_irq,3-5")]
BOOT = [setting("isolation.cpus", "isolation", "boot", "3-5")]
PARTITION = [
    setting("isolation.slice", "file", f"/etc/systemd/system/{SLICE}", "[Slice]\nAllowedCPUs=3-5\n"),
    setting("isolation.service", "file", f"/etc/systemd/system/{PARTITION_UNIT}", "[Service]\n"),
    setting("isolation.enabled", "unit", PARTITION_UNIT, "enabled"),
    setting("isolation.cpus", "isolation", "partition", "3-5", options={"slice": SLICE}),
]
USER = setting(
    "isolation.user", "threads", "user", "0-2", options={"slices": ["quietcore.slice", SLICE], "guests": []}
)
THREADS = [
    setting("isolation.manager", "threads", "manager", "0-1"),
    USER,
    setting("isolation.kernel", "threads", "kernel", "0-2"),
]


def found(host: FakeHost, name: str) -> Finding:
    return next(finding for finding in audit(host.machine()) if finding.id == name)


@pytest.fixture
def booted(host: FakeHost) -> FakeHost:
    promise(host.machine(), "boot_params", DOMAIN)
    promise(host.machine(), "isolation", BOOT)
    host.boot()
    return host


@pytest.fixture
def parted(host: FakeHost) -> FakeHost:
    promise(host.machine(), "boot_params", MANAGED)
    assert not promise(host.machine(), "isolation", PARTITION).failures
    return host


def test_boot_isolation_waits_for_the_boot(host: FakeHost) -> None:
    promise(host.machine(), "boot_params", DOMAIN)
    outcome = promise(host.machine(), "isolation", BOOT)
    assert outcome.reboot_required
    assert not outcome.failures
    assert found(host, "isolation.cpus").verdict is Verdict.PENDING
    host.boot()
    assert found(host, "isolation.cpus").verdict is Verdict.OK


def test_boot_isolation_without_its_parameters_is_a_failure(host: FakeHost) -> None:
    outcome = promise(host.machine(), "isolation", BOOT)
    assert "run the role boot_params" in outcome.failures[0]


def test_a_partition_is_made_at_once_and_again_at_each_boot(parted: FakeHost) -> None:
    assert parted.get(STATE) == "isolated"
    assert found(parted, "isolation.cpus").found == "isolated: 3-5"
    assert not promise(parted.machine(), "isolation", PARTITION).changed
    parted.boot()
    assert found(parted, "isolation.cpus").verdict is Verdict.OK
    revert(parted.machine(), ["isolation"])
    assert parted.get(STATE) == "member"
    assert not (parted.root / "etc/systemd/system" / PARTITION_UNIT).exists()


def test_the_two_ways_exclude_each_other(booted: FakeHost) -> None:
    outcome = promise(booted.machine(), "isolation", PARTITION)
    assert "which excludes partitions" in outcome.failures[0]
    assert not (booted.root / STATE.lstrip("/")).exists()
    promise(booted.machine(), "boot_params", MANAGED)
    outcome = promise(booted.machine(), "isolation", PARTITION)
    assert (outcome.failures, outcome.reboot_required) == ([], True)
    assert found(booted, "isolation.cpus").verdict is Verdict.PENDING
    booted.boot()
    assert found(booted, "isolation.cpus").verdict is Verdict.OK


def invalid(host: FakeHost) -> None:
    host.put("/sys/fs/cgroup/system.slice/cpuset.cpus", "0-4\n")
    host.put("/sys/fs/cgroup/user.slice/cpuset.cpus", "\n")
    host.put(STATE, "isolated invalid (Cpu list in cpuset.cpus not exclusive)\n")


def other_cpus(host: FakeHost) -> None:
    host.put(STATE.replace("cpus.partition", "cpus.effective"), "3-4\n")


def not_at_the_top(host: FakeHost) -> None:
    host.put("/sys/fs/cgroup/cpuset.cpus.isolated", "3\n")


BREAKS: list[tuple[Callable[[FakeHost], object], Verdict, str]] = [
    (lambda host: host.put(STATE, "member\n"), Verdict.DRIFT, "changed after it was made"),
    (invalid, Verdict.DRIFT, "not exclusive; system.slice names some of these"),
    (other_cpus, Verdict.DRIFT, "AllowedCPUs= of quietcore_isolated.slice was changed"),
    (not_at_the_top, Verdict.DRIFT, "cpuset.cpus.isolated lacks some"),
    (lambda host: host.drop(STATE), Verdict.MISSING, "is not started"),
    (lambda host: host.put("/sys/fs/cgroup/cgroup.controllers", "cpu\n"), Verdict.UNSUPPORTED, "no cpuset"),
    (lambda host: host.unreadable(STATE), Verdict.MISSING, "Is a directory"),
]


@pytest.mark.parametrize(("breaks", "verdict", "cause"), BREAKS, ids=[row[2] for row in BREAKS])
def test_a_broken_partition_is_found(
    parted: FakeHost, breaks: Callable[[FakeHost], object], verdict: Verdict, cause: str
) -> None:
    breaks(parted)
    finding = found(parted, "isolation.cpus")
    assert finding.verdict is verdict
    assert cause in finding.cause


def test_apply_makes_a_partition_valid_again(parted: FakeHost) -> None:
    invalid(parted)
    assert not apply_all(parted.machine(), live_only=True).failures
    assert parted.get(STATE) == "isolated"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (setting("s", "isolation", "boot", "0-5"), "no CPU for the system"),
        (setting("s", "isolation", "boot", "0"), "CPU 0 and its siblings"),
        (setting("s", "isolation", "boot", "9"), "does not exist"),
        (setting("s", "isolation", "other", "3"), "unknown way of isolation"),
        (
            setting("s", "isolation", "partition", "3-5", options={"slice": "a-b.slice"}),
            "a dash would put it below",
        ),
        (
            setting(
                "s",
                "isolation",
                "partition",
                "3-5",
                options={"slice": SLICE, "units": {"quietcore-runtime.service": "0-1"}},
            ),
            "quietcore-runtime.service could not start in the partition: CPU 0-1",
        ),
        (setting("s", "threads", "user", "7"), "unknown CPUs"),
        (setting("s", "threads", "some", "0"), "unknown selection"),
    ],
)
def test_what_cannot_be_isolated_is_refused(host: FakeHost, bad: Setting, what: str) -> None:
    with pytest.raises(QuietcoreError, match=what):
        promise(host.machine(), "isolation", [bad])


def test_threads_are_moved_and_come_back(host: FakeHost) -> None:
    host.process(700, "quietcore-feed", "/quietcore.slice/quietcore-feed@demo.service", "3")
    outcome = promise(host.machine(), "isolation", THREADS)
    assert not outcome.failures
    assert [host.allowed(tid) for tid in (1, 2, 31, 40, 300, 700)] == ["0-1", "0-2", "3", "0-2", "0-2", "3"]
    assert "31 (ksoftirqd/3) on 3" in found(host, "isolation.kernel").cause
    assert not promise(host.machine(), "isolation", THREADS).changed
    revert(host.machine())
    assert [host.allowed(tid) for tid in (1, 2, 31, 40, 300, 700)] == ["0-5", "0-5", "3", "0-5", "0-5", "3"]


def test_a_thread_that_ended_meanwhile_needs_nothing(host: FakeHost) -> None:
    promise(host.machine(), "isolation", THREADS)
    host.boot()
    outcome = revert(host.machine())
    assert not outcome.failures
    assert any("nothing to put back: those threads have ended" in note for note in outcome.notes)


@pytest.mark.parametrize(
    ("pid", "name", "flags", "setting_id"),
    [(900, "stress", 0, "isolation.user"), (901, "kcompactd0", KERNEL, "isolation.kernel")],
)
def test_a_thread_on_an_isolated_cpu_is_found_and_mended(
    host: FakeHost, pid: int, name: str, flags: int, setting_id: str
) -> None:
    promise(host.machine(), "isolation", THREADS)
    host.process(pid, name, "/user.slice/session-1.scope", "2-3", flags)
    finding = found(host, setting_id)
    assert finding.verdict is Verdict.DRIFT
    assert finding.found == f"{pid} ({name}) on 2-3"
    assert finding.cause.startswith(f"{name}: started or moved")
    apply_all(host.machine(), live_only=True)
    assert found(host, setting_id).verdict is Verdict.OK
    assert host.allowed(pid) == "0-2"


def test_systemd_elsewhere_is_found(host: FakeHost) -> None:
    promise(host.machine(), "isolation", THREADS)
    host.process(1, "systemd", "/init.scope", "0-5")
    assert found(host, "isolation.manager").found == "1 (systemd) on 0-5"


def test_guests_may_stay(host: FakeHost) -> None:
    guests = {**USER, "options": {"slices": [], "guests": ["probe"]}}
    host.process(900, "probe", "/user.slice/x.scope", "3")
    promise(host.machine(), "isolation", [guests])
    assert host.allowed(900) == "3"
    assert found(host, "isolation.user").verdict is Verdict.OK


def test_what_the_kernel_refuses_to_move_is_told_and_does_not_fail(host: FakeHost) -> None:
    host.stubborn.add(40)
    outcome = promise(host.machine(), "isolation", THREADS)
    assert not outcome.failures
    assert "40 (kswapd0) on 0-5" in found(host, "isolation.kernel").cause


def test_threads_that_cannot_be_read_never_pass(host: FakeHost) -> None:
    promise(host.machine(), "isolation", THREADS)
    host.unreadable("/proc/300/task/300/status")
    assert not found(host, "isolation.user").readable


def test_a_thread_that_starts_while_others_are_moved_is_moved_too(host: FakeHost) -> None:
    machine = host.machine()
    move = machine.set_affinity

    def late(tid: int, cpus: frozenset[int]) -> None:
        move(tid, cpus)
        if tid == 300 and not host.machine().exists("/proc/950"):
            host.process(950, "late", "/system.slice/ssh.service", "0-5")

    machine.set_affinity = late  # type: ignore[method-assign]
    assert not promise(machine, "isolation", [USER]).failures
    assert host.allowed(950) == "0-2"


@pytest.mark.parametrize(("uptime", "failed"), [("100.00 90.00", False), ("500.00 90.00", True)])
def test_a_thread_of_the_kernel_that_just_started_waits_for_the_timer(
    host: FakeHost, uptime: str, failed: bool
) -> None:
    kernel = {**THREADS[2], "options": {"recheck_seconds": 60}}
    promise(host.machine(), "isolation", [kernel])
    host.process(901, "psimon", "/", "0-5", KERNEL)  # started about 20 seconds after the boot
    host.put("/proc/uptime", uptime + "\n")
    finding = found(host, "isolation.kernel")
    assert finding.failed == failed
    assert "901 (psimon) on 0-5" in finding.found + finding.cause
    assert ("to be moved by the timer" in finding.cause) is not failed
    apply_all(host.machine(), live_only=True)
    assert host.allowed(901) == "0-2"


def test_how_old_a_thread_is_must_be_told(host: FakeHost) -> None:
    promise(host.machine(), "isolation", [{**THREADS[2], "options": {"recheck_seconds": 60}}])
    host.process(901, "psimon", "/", "0-5", KERNEL)
    finding = found(host, "isolation.kernel")
    assert finding.failed
    assert not finding.readable


def test_threads_that_systemd_has_started_are_moved_after_it_read_its_files(host: FakeHost) -> None:
    machine = host.machine()
    run = machine.run

    def start_one(*words: str) -> object:
        if "daemon-reload" in words:
            host.process(902, "psimon", "/", "0-5", KERNEL)
        return run(*words)

    machine.run = start_one  # type: ignore[assignment, method-assign]
    unit = setting("isolation.unit", "file", "/etc/systemd/system/some.service", "[Service]\n")
    assert not promise(machine, "isolation", [unit, THREADS[2]]).failures
    assert host.allowed(902) == "0-2"


def test_what_a_timer_started_meanwhile_is_ended_and_nothing_else(host: FakeHost) -> None:
    """To stop the slice would stop the pipeline, which runs in it."""
    names = ("quietcore-threads.service", "quietcore-threads.timer", "quietcore-runtime.service", SLICE)
    units = [
        setting(f"isolation.{name}", "file", f"/etc/systemd/system/{name}", "[Unit]\n") for name in names
    ]
    promise(host.machine(), "isolation", units)
    machine = host.machine()
    run, asked = machine.run, []

    def written_down(*words: str) -> object:
        asked.append(" ".join(words))
        return run(*words)

    machine.run = written_down  # type: ignore[assignment, method-assign]
    assert not revert(machine).failures
    told = [line for line in asked if line.startswith("systemctl") and "show" not in line]
    assert told == [
        "systemctl daemon-reload",
        "systemctl stop quietcore-threads.service",
        "systemctl reset-failed quietcore-threads.service",
    ]
