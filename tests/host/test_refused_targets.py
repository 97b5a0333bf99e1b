"""One target of many refuses: it is told with its true cause, the others are set, and the audit says the same."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.host.fake_card import FakeCard, answer
from tests.host.fake_host import FakeHost, FakeMachine
from tests.host.promises import setting

from quietcore.cli.main import main
from quietcore.errors import ExitCode
from quietcore.host.answers import PATH
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, outcome_code, promise, revert
from quietcore.host.findings import Finding, exit_code
from quietcore.host.kernel_answers import meaning

CPU = "/sys/devices/system/cpu"
NODE_PAGES = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"
ERRORS = (
    errno.ENOSPC,
    errno.EBUSY,
    errno.EAGAIN,
    errno.EIO,
    errno.EPERM,
    errno.EINVAL,
    errno.ENOMEM,
    errno.ERANGE,
)


@dataclass(frozen=True)
class Case:
    """A setting with many targets, the one that refuses, and the files that the others are read from."""

    wanted: dict[str, Any]
    refuses: str
    others: dict[str, str]


CASES = {
    "governors": Case(
        setting("x", "per_cpu", "cpufreq/scaling_governor", "performance", options={"cpus": "3-5"}),
        f"{CPU}/cpu4/cpufreq/scaling_governor",
        {f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "performance" for cpu in (3, 5)},
    ),
    "bounds on idle states": Case(
        setting("x", "idle_latency", "power/pm_qos_resume_latency_us", "2", options={"cpus": "3-5"}),
        f"{CPU}/cpu3/power/pm_qos_resume_latency_us",
        {f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "2" for cpu in (4, 5)},
    ),
    "CPUs off line": Case(
        setting("x", "per_cpu", "online", "0", options={"cpus": "4-5"}),
        f"{CPU}/cpu4/online",
        {f"{CPU}/cpu5/online": "0"},
    ),
    "huge pages by node": Case(
        setting("x", "huge_pages", "2048", {"0": 8, "1": 16}),
        NODE_PAGES.format(0),
        {NODE_PAGES.format(1): "16"},
    ),
    "shares of the fair server": Case(
        setting("x", "fair_server", "fair_server", 10_000_000, options={"cpus": "3-4"}),
        "/sys/kernel/debug/sched/fair_server/cpu3/runtime",
        {"/sys/kernel/debug/sched/fair_server/cpu4/runtime": "10000000"},
    ),
}


class RefusingMachine(FakeMachine):
    """A host whose kernel refuses to write some files, with one error."""

    def __init__(self, host: FakeHost, paths: set[str], number: int) -> None:
        super().__init__(host)
        self.paths, self.number = paths, number

    def write_value(self, path: str, value: str) -> None:
        """Refuse, or write."""
        if path in self.paths:
            raise OSError(self.number, os.strerror(self.number))
        super().write_value(path, value)


@pytest.fixture
def rich(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path / "root", threads=2, nodes=2)
    host.add_power()
    host.add_nodes()
    for cpu in range(6):
        host.put(f"/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime", "50000000\n")
    return host


def judged(host: FakeHost) -> Finding:
    (finding,) = audit(host.machine())
    return finding


@pytest.mark.parametrize("number", ERRORS, ids=[errno.errorcode[number] for number in ERRORS])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_others_are_set_and_the_audit_says_the_same(rich: FakeHost, case: Case, number: int) -> None:
    before = rich.files()
    outcome = promise(RefusingMachine(rich, {case.refuses}, number), "role", [case.wanted])
    assert {path: rich.get(path) for path in case.others} == case.others
    (failure,) = outcome.failures
    assert case.refuses in failure
    assert "disk" not in failure.replace("no matter of disks", "")
    assert "No space left" not in failure
    assert outcome_code(outcome) is ExitCode.FOUND
    told = judged(rich)
    assert (told.cause, told.remedy) == (outcome.findings[0].cause, outcome.findings[0].remedy)
    assert exit_code([told]) is ExitCode.FOUND
    held = rich.files()
    again = promise(RefusingMachine(rich, {case.refuses}, number), "role", [case.wanted])
    assert not again.changed
    assert rich.files() == held
    assert not apply_all(rich.machine(), live_only=True).failures
    assert not judged(rich).failed
    assert not (rich.root / PATH.lstrip("/")).exists()
    assert not revert(rich.machine()).failures
    assert rich.files() == before


INTERRUPT = [
    (errno.ENOSPC, "these CPUs have no interrupt vector left (ENOSPC)", "fewer queues"),
    (errno.EBUSY, "still being moved from its last CPU", "quietcore apply"),
    (errno.EAGAIN, "could not take it at this moment", "quietcore apply"),
    (errno.EINVAL, "none of these CPUs is on line", ""),
]


@pytest.mark.parametrize(("number", "cause", "remedy"), INTERRUPT, ids=[words for _, words, _ in INTERRUPT])
def test_an_interrupt_that_refuses_is_told_in_terms_of_interrupts(
    host: FakeHost, number: int, cause: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [setting("irq.all", "interrupts", "all", "0-2")]
    machine = RefusingMachine(host, {"/proc/irq/24/smp_affinity_list"}, number)
    outcome = promise(machine, "irq_affinity", wanted)
    assert [host.get(f"/proc/irq/{irq}/smp_affinity_list") for irq in (8, 24, 25)] == ["0-2", "0-5", "0-2"]
    (failure,) = outcome.failures
    assert f"interrupt 24 (virtio0-req.0): {cause}" in failure or cause in failure
    assert remedy in failure
    assert "disk" not in failure
    assert main(["audit", "--root", str(host.root)]) == ExitCode.FOUND
    assert cause in capsys.readouterr().out


def test_an_interrupt_that_refuses_its_own_mask_too_stops_no_other(host: FakeHost) -> None:
    """The probe for managed interrupts is refused by one that is only busy."""
    paths = {"/proc/irq/24/smp_affinity_list", "/proc/irq/24/smp_affinity"}
    machine = RefusingMachine(host, paths, errno.EBUSY)
    outcome = promise(machine, "irq_affinity", [setting("irq.all", "interrupts", "all", "0-2")])
    assert host.get("/proc/irq/25/smp_affinity_list") == "0-2"
    assert "still being moved" in outcome.failures[0]


def test_an_interrupt_that_goes_while_it_is_set_is_no_failure(host: FakeHost) -> None:
    class Vanishing(FakeMachine):
        def write_value(self, path: str, value: str) -> None:
            if path == "/proc/irq/24/smp_affinity_list":
                lines = [line for line in host.get("/proc/interrupts").splitlines() if "  24:" not in line]
                host.put("/proc/interrupts", "\n".join(lines) + "\n")
                raise OSError(errno.ENOENT, "No such file or directory")
            super().write_value(path, value)

    outcome = promise(Vanishing(host), "irq_affinity", [setting("irq.all", "interrupts", "all", "0-2")])
    assert not outcome.failures
    assert any("24" in note and "it went away" in note for note in outcome.notes)
    assert host.get("/proc/irq/25/smp_affinity_list") == "0-2"


def test_a_thread_that_refuses_is_named_and_the_others_are_moved(host: FakeHost) -> None:
    host.process(310, "worker", "/system.slice/ssh.service", "0-5")
    host.process(311, "other", "/system.slice/ssh.service", "0-5")

    class Refusing(FakeMachine):
        def set_affinity(self, tid: int, cpus: frozenset[int]) -> None:
            # It takes its own CPUs, and no others: its control group allows none of them.
            if tid == 310 and cpus != frozenset(range(6)):
                raise OSError(errno.EINVAL, "Invalid argument")
            super().set_affinity(tid, cpus)

    outcome = promise(
        Refusing(host), "isolation", [setting("t", "threads", "user", "0-2", options={"slices": []})]
    )
    assert host.allowed(311) == "0-2"
    assert host.allowed(300) == "0-2"
    assert host.allowed(310) == "0-5"
    (failure,) = outcome.failures
    assert "thread 310 to 0-2: Invalid argument (its control group or the kernel allows it none" in failure
    assert not revert(host.machine()).failures
    assert host.allowed(311) == "0-5"


def test_a_word_that_a_card_refuses_does_not_take_the_others_with_it(host: FakeHost) -> None:
    card = FakeCard(host)
    real = card.ethtool

    def refusing(words: tuple[str, ...]) -> Any:
        if words[1] == "-C" and "adaptive-rx" in words:
            return answer(1, err="netlink error: Operation not supported\n")
        return real(words)

    host.programs["ethtool"] = refusing
    wanted = [
        setting("c", "network_card", "eth0:coalesce", {"adaptive-rx": "off", "rx-usecs": "0"}),
        setting("r", "network_card", "eth0:ring", {"rx": "4096"}),
    ]
    outcome = promise(host.machine(), "network", wanted)
    assert (card.coalesce["rx-usecs"], card.coalesce["adaptive-rx"]) == ("0", "on")
    assert card.ring["rx"] == "4096"
    (failure,) = outcome.failures
    assert "adaptive-rx off: netlink error: Operation not supported" in failure
    assert not revert(host.machine()).failures
    assert (card.coalesce["rx-usecs"], card.ring["rx"]) == ("8", "512")


def test_a_value_that_the_kernel_rounds_is_told_with_what_it_made(host: FakeHost) -> None:
    class Rounding(FakeMachine):
        def write_value(self, path: str, value: str) -> None:
            super().write_value(path, str(-(-int(value) // 4096) * 4096) if "rmem_max" in path else value)

    wanted = [setting("s", "sysctl", "net.core.rmem_max", "5000")]
    (failure,) = promise(Rounding(host), "sysctl", wanted).failures
    assert "the kernel made 8192 of 5000" in failure
    assert "choose a value that it keeps, such as 8192" in failure
    assert "the kernel made 8192 of 5000" in judged(host).cause
    assert not promise(Rounding(host), "sysctl", wanted).changed
    host.put("/proc/sys/net/core/rmem_max", "5000\n")
    assert not judged(host).failed


def test_a_governor_that_the_driver_lacks_on_one_cpu_leaves_the_rest(rich: FakeHost) -> None:
    rich.put(f"{CPU}/cpu4/cpufreq/scaling_available_governors", "powersave schedutil\n")
    wanted = [
        setting("g", "per_cpu", "cpufreq/scaling_governor", "performance", options={"cpus": "3-5"}),
        setting("l", "idle_latency", "power/pm_qos_resume_latency_us", "2", options={"cpus": "3-5"}),
    ]
    outcome = promise(rich.machine(), "cpu_power", wanted)
    assert rich.get(f"{CPU}/cpu3/cpufreq/scaling_governor") == "performance"
    assert rich.get(f"{CPU}/cpu4/power/pm_qos_resume_latency_us") == "2"
    finding = next(item for item in outcome.findings if item.id == "g")
    assert (finding.verdict.value, finding.found) == (
        "unsupported here",
        "performance on 3,5, powersave on 4",
    )
    assert finding.cause == "the driver of CPU 4 offers no performance, only powersave or schedutil"


ABSENT: dict[str, tuple[dict[str, Any], Callable[[FakeHost], object]]] = {
    "a key": (setting("x", "sysctl", "kernel.numa_balancing", "0"), lambda host: None),
    "a governor": (
        setting("x", "per_cpu", "cpufreq/scaling_governor", "schedutil", options={"cpus": "3-5"}),
        lambda host: None,
    ),
    "a driver": (
        setting("x", "per_cpu", "cpufreq/scaling_min_freq", "1", options={"cpus": "3-5"}),
        lambda host: None,
    ),
    "a choice": (
        setting("x", "value", "/sys/kernel/mm/transparent_hugepage/defrag", "defer"),
        lambda host: host.put("/sys/kernel/mm/transparent_hugepage/defrag", "[always] madvise never\n"),
    ),
    "a file": (setting("x", "value", "/sys/kernel/mm/ksm/run", "0"), lambda host: None),
    "a clock": (setting("x", "clocksource", "clocksource", "tsc"), lambda host: None),
    "a switch": (
        setting("x", "turbo", "turbo", "off"),
        lambda host: host.drop(f"{CPU}/intel_pstate/no_turbo"),
    ),
}


@pytest.mark.parametrize("required", [True, False], ids=["required", "expected"])
@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_this_kernel_lacks_refuses_nothing_else_of_the_role(
    rich: FakeHost, name: str, required: bool
) -> None:
    lacking, prepare = ABSENT[name]
    prepare(rich)
    wanted = [{**lacking, "required": required}, setting("s", "sysctl", "vm.swappiness", "0")]
    outcome = promise(rich.machine(), "role", wanted)
    assert rich.get("/proc/sys/vm/swappiness") == "0"
    assert outcome.findings[0].verdict.value == "unsupported here"
    assert bool(outcome.failures) is required
    told = next(item for item in audit(rich.machine()) if item.id == "x")
    assert (told.verdict.value, told.failed) == ("unsupported here", required)
    assert not promise(rich.machine(), "role", wanted).changed
    assert not revert(rich.machine()).failures
    assert rich.get("/proc/sys/vm/swappiness") == "60"


def test_systemd_passes_over_a_key_that_this_kernel_lacks(host: FakeHost) -> None:
    wanted = [
        setting("a", "sysctl", "kernel.numa_balancing", "0", required=False),
        setting("b", "sysctl", "vm.swappiness", "0"),
    ]
    promise(host.machine(), "sysctl", wanted)
    lines = host.get("/etc/sysctl.d/zz-quietcore.conf").splitlines()
    assert "-kernel.numa_balancing = 0" in lines
    assert "vm.swappiness = 0" in lines
    assert not [item.id for item in audit(host.machine()) if item.failed]


def test_answers_that_cannot_be_read_explain_nothing_and_stop_nothing(host: FakeHost) -> None:
    promise(host.machine(), "sysctl", [setting("s", "sysctl", "vm.swappiness", "0")])
    host.put("/proc/sys/vm/swappiness", "7\n")
    for text in ("", "{", '[{"role": 1}]', json.dumps({"a": 1}), "[1]"):
        host.put(PATH, text)
        assert judged(host).cause == "changed by hand or by another program"


@pytest.mark.parametrize(
    "target", ["irq:1:x", f"value:{CPU}/cpu1/online", "value:/proc/sys/a", "threads:user:b:c"]
)
def test_no_file_of_the_kernel_is_a_full_disk(target: str) -> None:
    for number in errno.errorcode:
        said, remedy = meaning(target, OSError(number, os.strerror(number)))
        assert "disk" not in remedy
        assert "make room" not in remedy
        assert said or number != errno.ENOSPC


def test_a_full_disk_is_still_one() -> None:
    assert meaning("file:/etc/x", OSError(errno.ENOSPC, ""))[1] == "make room on the disk"


def test_a_cpu_stays_on_line_where_nobody_could_put_its_interrupts_back(rich: FakeHost) -> None:
    before = rich.get("/proc/interrupts")
    rich.unreadable("/proc/interrupts")
    wanted = [
        setting("off", "per_cpu", "online", "0", options={"cpus": "5"}),
        setting("s", "sysctl", "vm.swappiness", "0"),
    ]
    outcome = promise(rich.machine(), "cpu_power", wanted)
    assert (rich.get(f"{CPU}/cpu5/online"), rich.get("/proc/sys/vm/swappiness")) == ("1", "0")
    (failure,) = outcome.failures
    assert "what this may change beside cannot be read" in failure
    (rich.root / "proc/interrupts").rmdir()
    rich.put("/proc/interrupts", before + "\n")
    assert not promise(rich.machine(), "cpu_power", wanted).failures
    assert rich.get(f"{CPU}/cpu5/online") == "0"


def test_a_cpu_that_is_gone_since_stops_nothing_else(host: FakeHost) -> None:
    """The service at boot applies what was promised on a machine that has lost a CPU."""
    host.add_power()
    wanted = [
        setting("g", "per_cpu", "cpufreq/scaling_governor", "performance", options={"cpus": "3-5"}),
        setting("s", "sysctl", "vm.swappiness", "0"),
    ]
    promise(host.machine(), "role", wanted)
    for name in ("present", "possible", "online"):
        host.put(f"{CPU}/{name}", "0-4\n")
    host.put("/proc/sys/vm/swappiness", "60\n")
    outcome = apply_all(host.machine(), live_only=True)
    assert host.get("/proc/sys/vm/swappiness") == "0"
    assert any("unknown CPUs" in failure for failure in outcome.failures)
    assert outcome_code(outcome) is ExitCode.FOUND


def test_a_unit_that_does_not_start_or_restart_stops_nothing_else(host: FakeHost) -> None:
    real = host.run

    def failing(words: tuple[str, ...]) -> Any:
        if words[:2] in (("systemctl", "try-restart"), ("systemctl", "stop")):
            return answer(1, err="Job for irqbalance.service failed.\n")
        host.programs.pop("systemctl")
        try:
            return real(words)
        finally:
            host.programs["systemctl"] = failing

    host.programs["systemctl"] = failing
    wanted = [
        setting("u", "unit", "irqbalance.service", "off"),
        setting("n", "unit", "not-there.service", "on"),
        setting("f", "file", "/etc/quietcore/irqbalance.env", "A=1\n"),
        setting("s", "sysctl", "vm.swappiness", "0"),
    ]
    outcome = promise(host.machine(), "role", wanted)
    assert host.get("/proc/sys/vm/swappiness") == "0"
    assert [failure.split()[0] for failure in outcome.failures] == ["systemctl", "u:", "n:"]
    assert "Job for irqbalance.service failed" in outcome.failures[1]
