"""Units under each layout of control groups: their threads are found, or nobody says that they are fine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.host.fake_host import KERNEL, FakeHost
from tests.host.promises import Setting, setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise
from quietcore.host.findings import Finding, Verdict
from quietcore.host.machine import UnreadableError
from quietcore.host.pinning import find
from quietcore.host.threads import processes_of
from quietcore.host.units import environment_of

FEED = "/quietcore.slice/quietcore-feed@a.service"
USER = setting(
    "isolation.user", "threads", "user", "0-2", options={"slices": ["quietcore.slice"], "guests": []}
)
UNIT = setting("real_time.unit", "threads", "unit:quietcore-feed@*.service", "4")
PROCESSES = setting("real_time.processes", "processes", "quietcore-feed@*.service", {"nofile": "512"})

GROUPS = {1: "/init.scope", 2: "/", 300: "/system.slice/ssh.service", 700: FEED}


def legacy(group: str) -> str:
    return f"9:cpuset:/\n4:memory:{group}\n1:name=systemd:{group}\n"


def hybrid(group: str) -> str:
    return f"9:cpuset:/\n1:name=systemd:{group}\n0::{group}\n"


def unified(group: str) -> str:
    return f"0::{group}\n"


def legacy_beside_version_2_of_others(group: str) -> str:
    return f"4:memory:/\n1:name=systemd:{group}\n0::/\n"


def unified_beside_a_name_for_containers(group: str) -> str:
    return f"1:name=systemd:/\n0::{group}\n"


LAYOUTS = (unified, hybrid, legacy, legacy_beside_version_2_of_others, unified_beside_a_name_for_containers)


def feed(host: FakeHost, layout: Callable[[str], str]) -> FakeHost:
    """A feed handler runs on its own CPU, beside a shell that somebody started there."""
    host.process(700, "quietcore-feed", allowed="4")
    host.process(900, "sh", allowed="3-5")
    for path in (host.root / "proc").glob("[0-9]*"):
        group = GROUPS.get(int(path.name), "/system.slice/cron.service")
        host.put(f"/proc/{path.name}/cgroup", layout(group))
    return host


def found(host: FakeHost, wanted: Setting) -> Finding:
    return next(finding for finding in audit(host.machine()) if finding.id == wanted["id"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pipeline_stays_where_it_is_and_others_are_moved(
    host: FakeHost, layout: Callable[[str], str]
) -> None:
    feed(host, layout)
    assert not promise(host.machine(), "isolation", [USER]).failures
    assert host.allowed(700) == "4"
    assert host.allowed(900) == "0-2"
    assert found(host, USER).verdict is Verdict.OK


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_units_processes_are_found(host: FakeHost, layout: Callable[[str], str]) -> None:
    feed(host, layout)
    assert processes_of(host.machine(), "quietcore-feed@*.service") == [700]
    promise(host.machine(), "real_time", [UNIT, PROCESSES])
    assert found(host, UNIT).found == "all 1 that can be moved"
    assert found(host, PROCESSES).found == "all of 1 processes"


def no_hierarchy(group: str) -> str:
    return "4:memory:/\n9:cpuset:/\n"


def not_a_group(group: str) -> str:
    return "what is this\n"


@pytest.mark.parametrize("layout", [no_hierarchy, not_a_group])
def test_where_nobody_can_tell_nothing_is_moved_and_nothing_is_fine(
    host: FakeHost, layout: Callable[[str], str]
) -> None:
    feed(host, unified)
    assert not promise(host.machine(), "real_time", [UNIT, PROCESSES]).failures
    assert not promise(host.machine(), "isolation", [USER]).failures
    host.process(901, "sh", allowed="3-5")
    feed(host, layout)
    outcome = apply_all(host.machine(), roles=["isolation"])
    (failure,) = outcome.failures
    assert failure.startswith("isolation.user: cannot be read instead of 0-2: ")
    assert not outcome.changes
    assert (host.allowed(700), host.allowed(901)) == ("4", "3-5")
    for wanted in (USER, UNIT, PROCESSES):
        finding = found(host, wanted)
        assert (finding.verdict, finding.readable, finding.failed) == (Verdict.MISSING, False, True)
        assert "/proc/" in finding.cause


def test_a_kernel_thread_needs_no_group(host: FakeHost) -> None:
    feed(host, no_hierarchy)
    host.process(41, "kworker/4:1", "/", "3-5", KERNEL)
    host.put("/proc/41/cgroup", no_hierarchy("/"))
    assert not promise(host.machine(), "isolation", [setting("k", "threads", "kernel", "0-2")]).failures
    assert host.allowed(41) == "0-2"


def test_hidden_processes_are_not_taken_for_none(host: FakeHost) -> None:
    feed(host, unified)
    for name in ("cgroup", "limits", "task/1/stat", "task/1/status"):
        host.drop(f"/proc/1/{name}")
    (host.root / "proc/1/task/1").rmdir()
    (host.root / "proc/1/task").rmdir()
    (host.root / "proc/1").rmdir()
    with pytest.raises(UnreadableError, match="other users' processes are hidden"):
        processes_of(host.machine(), "quietcore-feed@*.service")
    with pytest.raises(QuietcoreError, match="processes cannot be read"):
        find(host.machine(), [], ["quietcore-feed@*.service"], [])


@pytest.mark.parametrize("top", ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"])
def test_the_environment_of_a_service_is_found_under_each_layout(host: FakeHost, top: str) -> None:
    host.put(f"{top}/system.slice/irqbalance.service/cgroup.procs", "417\n")
    host.put("/proc/417/environ", "A=b=c\0D=\0")
    assert environment_of(host.machine(), "irqbalance.service") == {"A": "b=c", "D": ""}
