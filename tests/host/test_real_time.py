"""Limits, priorities and the fair server: what is refused, what is read back, what is told of running processes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import promise, revert
from quietcore.host.findings import Finding, Verdict

FILE = "/etc/security/limits.d/zz-quietcore.conf"
DROP_IN = "/etc/systemd/system/quietcore-feed@.service.d/50-quietcore-real-time.conf"
WANTED = {"memlock": "unlimited", "nofile": 65536, "rtprio": 49}
LINES = "".join(f"@quietcore - {item} {value}\n" for item, value in WANTED.items())
LIMITS = [
    setting("real_time.limits_file", "file", FILE, LINES),
    setting("real_time.limits", "limits", "quietcore", WANTED),
]
GROUP = "/quietcore.slice/quietcore-feed@demo.service"
FAIR = "/sys/kernel/debug/sched/fair_server"


@pytest.fixture
def pam(host: FakeHost) -> FakeHost:
    host.put("/etc/pam.d/sshd", "session required pam_limits.so\n")
    host.put("/etc/security/limits.conf", "# nothing\n")
    return host


def processes(**wanted: Any) -> dict[str, Any]:
    return setting("real_time.processes", "processes", "quietcore-feed@*.service", wanted)


def found(host: FakeHost, name: str) -> Finding:
    return next(finding for finding in audit(host.machine()) if finding.id == name)


def fair_server(wanted: int = 50_000_000) -> dict[str, Any]:
    return setting("real_time.fair_server", "fair_server", "runtime", str(wanted), options={"cpus": "3-5"})


def test_limits_hold_and_come_back(pam: FakeHost) -> None:
    assert not promise(pam.machine(), "real_time", LIMITS).failures
    assert not promise(pam.machine(), "real_time", LIMITS).changed
    assert found(pam, "real_time.limits").verdict is Verdict.OK
    revert(pam.machine())
    assert not (pam.root / FILE.lstrip("/")).exists()


def test_a_later_line_for_the_group_is_named(pam: FakeHost) -> None:
    promise(pam.machine(), "real_time", LIMITS)
    pam.put("/etc/security/limits.d/zzz.conf", "@quietcore hard memlock 64\n@other - rtprio 1\n")
    finding = found(pam, "real_time.limits")
    assert finding.verdict is Verdict.OVERRIDDEN
    assert finding.found == "memlock 64 (hard)"
    assert finding.cause == "/etc/security/limits.d/zzz.conf sets memlock to 64"


def test_limits_without_their_file_are_missing(pam: FakeHost) -> None:
    promise(pam.machine(), "real_time", LIMITS)
    pam.drop(FILE)
    assert found(pam, "real_time.limits").verdict is Verdict.MISSING


def test_limits_that_no_session_reads_are_unsupported(host: FakeHost) -> None:
    host.put("/etc/pam.d/sshd", "# session required pam_limits.so\n")
    assert promise(host.machine(), "real_time", LIMITS).failures
    assert "uses pam_limits" in found(host, "real_time.limits").cause


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (setting("s", "limits", "quietcore", {"rtprio": 50}), "real-time priority 50 is refused"),
        (setting("s", "limits", "quietcore", {"rtprio": 99}), "migration and watchdogs at 99"),
        (setting("s", "limits", "quietcore", {"core": 1}), "unknown limit"),
        (setting("s", "limits", "quietcore", {"nofile": "lots"}), "not a limit"),
        (setting("s", "limits", "quietcore", {}), "not limits"),
        (processes(scheduling="fifo 50"), "real-time priority 50 is refused"),
        (processes(scheduling="fifo 0"), "not a real-time priority"),
        (processes(scheduling="deadline"), "not a way of scheduling"),
        (processes(colour="red"), "unknown property"),
        (fair_server(0), "starves the kernel threads"),
        (fair_server(1_000_000_000), "not a share of a second"),
        ({**fair_server(), "options": {"cpus": "3-9"}}, "unknown CPUs"),
        (setting("s", "sysctl", "kernel.sched_rt_runtime_us", "-1"), "is refused"),
    ],
)
def test_what_harms_is_refused_before_anything_changes(
    host: FakeHost, bad: dict[str, Any], what: str
) -> None:
    with pytest.raises(QuietcoreError, match=what):
        promise(host.machine(), "real_time", [*LIMITS, bad])
    assert not (host.root / FILE.lstrip("/")).exists()


def test_running_processes_show_what_they_have(host: FakeHost) -> None:
    wanted = processes(nofile="65536", memlock="unlimited", scheduling="fifo 10")
    assert found_after(host, wanted).found == "not running"
    host.process(700, "quietcore-feed", GROUP, policy=1, priority=10)
    finding = found_after(host, wanted)
    assert finding.verdict is Verdict.PENDING
    assert "quietcore-feed@demo.service (700 quietcore-feed): memlock 8388608" in finding.found
    assert "nofile 1024 (hard 524288)" in finding.found
    assert finding.remedy.startswith("systemctl restart quietcore-feed@demo.service")
    host.put(
        "/proc/700/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max locked memory         unlimited            unlimited            bytes     \n"
        "Max open files            65536                65536                files     \n",
    )
    assert found_after(host, wanted).verdict is Verdict.OK
    host.process(700, "quietcore-feed", GROUP, policy=1, priority=40)
    host.put(
        "/proc/700/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max locked memory         unlimited            unlimited            bytes     \n"
        "Max open files            65536                65536                files     \n",
    )
    assert "scheduling fifo 40" in found_after(host, wanted).found


def found_after(host: FakeHost, wanted: dict[str, Any]) -> Finding:
    promise(host.machine(), "real_time", [wanted])
    return found(host, "real_time.processes")


def test_limits_of_a_process_that_cannot_be_read_never_pass(host: FakeHost) -> None:
    host.process(700, "quietcore-feed", GROUP)
    host.unreadable("/proc/700/limits")
    finding = found_after(host, processes(nofile="1024"))
    assert (finding.verdict, finding.readable) == (Verdict.MISSING, False)


def test_the_fair_server_came_with_6_12(host: FakeHost) -> None:
    optional = {**fair_server(), "required": False}
    assert not promise(host.machine(), "real_time", [optional]).failures
    finding = found(host, "real_time.fair_server")
    assert finding.verdict is Verdict.UNSUPPORTED
    assert finding.cause == "kernel 6.1.0-28-amd64: the fair server came with 6.12"


def test_the_fair_server_is_set_and_comes_back(host: FakeHost) -> None:
    host.put("/proc/sys/kernel/osrelease", "6.12.57+deb13-amd64\n")
    for cpu in range(6):
        host.put(f"{FAIR}/cpu{cpu}/runtime", "50000000\n")
    assert not promise(host.machine(), "real_time", [fair_server(20_000_000)]).failures
    assert [host.get(f"{FAIR}/cpu{cpu}/runtime") for cpu in (2, 3, 5)] == ["50000000", "20000000", "20000000"]
    host.put(f"{FAIR}/cpu4/runtime", "0\n")
    finding = found(host, "real_time.fair_server")
    assert (finding.verdict, finding.found) == (Verdict.DRIFT, "0 on 4, 20000000 on 3,5")
    revert(host.machine())
    assert host.get(f"{FAIR}/cpu3/runtime") == "50000000"


def test_a_new_kernel_without_debugfs_cannot_tell(host: FakeHost) -> None:
    host.put("/proc/sys/kernel/osrelease", "6.12.57\n")
    promise(host.machine(), "real_time", [fair_server()])
    finding = found(host, "real_time.fair_server")
    assert not finding.readable
    assert "debugfs" in finding.remedy


def test_a_folder_made_for_a_drop_in_goes_with_it_unless_somebody_uses_it(host: FakeHost) -> None:
    drop_in = setting("real_time.drop_in", "file", DROP_IN, "[Service]\nLimitNOFILE=65536\n")
    promise(host.machine(), "real_time", [drop_in])
    revert(host.machine())
    folder = (host.root / DROP_IN.lstrip("/")).parent
    assert not folder.exists()
    promise(host.machine(), "real_time", [drop_in])
    (folder / "other.conf").write_text("[Service]\n")
    revert(host.machine())
    assert [path.name for path in folder.iterdir()] == ["other.conf"]
