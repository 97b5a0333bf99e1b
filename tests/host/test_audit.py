"""Each verdict, each with its cause; and that nothing unreadable ever passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import POWER, ROLES, setting

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.audit import audit, summary
from quietcore.host.converge import apply_all, promise
from quietcore.host.findings import Finding, Verdict, exit_code
from quietcore.host.settings import desired_path


@pytest.fixture
def tuned(host: FakeHost) -> FakeHost:
    """A host on which all roles ran, rebooted, its service's live values applied."""
    for role, settings in ROLES.items():
        assert not promise(host.machine(), role, settings).failures
    host.boot()
    apply_all(host.machine(), live_only=True)
    return host


def failed(host: FakeHost) -> dict[str, Finding]:
    return {finding.id: finding for finding in audit(host.machine()) if finding.failed}


def test_a_tuned_host_passes(tuned: FakeHost) -> None:
    findings = audit(tuned.machine())
    assert not failed(tuned)
    assert exit_code(findings) is ExitCode.OK
    assert len(findings) == sum(map(len, ROLES.values()))
    assert summary(findings) == f"{len(findings)} settings: {len(findings)} ok, 0 drift"


def grub_entry(host: FakeHost, old: str, new: str) -> None:
    host.put("/boot/grub/grub.cfg", host.get("/boot/grub/grub.cfg").replace(old, new, 1))


def add_word(host: FakeHost, word: str, file: str = "zzz-other.cfg") -> None:
    """Somebody's drop-in that sorts after ours: the word comes last."""
    host.put(
        f"/etc/default/grub.d/{file}",
        f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {word}"\n',
    )
    host.update_grub()
    host.boot()
    apply_all(host.machine(), live_only=True)


def unknown(host: FakeHost) -> None:
    host.unknown_parameters = {"skew_tick"}
    host.boot()
    apply_all(host.machine(), live_only=True)


def disable(host: FakeHost) -> None:
    host.units["quietcore-host.service"]["enabled"] = False


def start_balancer(host: FakeHost) -> None:
    host.units["irqbalance.service"] = {"enabled": True, "active": True}


def sysctl_override(host: FakeHost) -> None:
    host.put("/etc/sysctl.d/zzz-tuned.conf", "vm.swappiness = 10\n")
    host.put("/proc/sys/vm/swappiness", "10\n")


def other_entry(host: FakeHost) -> None:
    """A boot from another entry: ours is configured, but not in effect."""
    host.boot(
        "/boot/vmlinuz root=UUID=1 ro quiet isolcpus=managed_irq,domain,3-5 nohz_full=3-5 rcu_nocbs=3-5 irqaffinity=0-2"
    )
    apply_all(host.machine(), live_only=True)


def move(host: FakeHost) -> None:
    host.machine().write_value("/proc/irq/24/smp_affinity_list", "4")


def moved_but_idle(host: FakeHost) -> None:
    host.put("/proc/irq/8/smp_affinity_list", "4\n")


BREAKS: list[tuple[str, Callable[[FakeHost], object], str, Verdict, str]] = [
    (
        "value changed",
        lambda h: h.put("/proc/sys/vm/swappiness", "30\n"),
        "sysctl.swappiness",
        Verdict.DRIFT,
        "by hand",
    ),
    (
        "other sysctl file",
        sysctl_override,
        "sysctl.swappiness",
        Verdict.OVERRIDDEN,
        "/etc/sysctl.d/zzz-tuned.conf",
    ),
    (
        "sysctl file gone",
        lambda h: h.put("/etc/sysctl.d/zz-quietcore.conf", "net.ipv4.tcp_rmem = 4096 131072 134217728\n"),
        "sysctl.swappiness",
        Verdict.MISSING,
        "zz-quietcore.conf",
    ),
    (
        "key gone",
        lambda h: h.drop("/proc/sys/vm/swappiness"),
        "sysctl.swappiness",
        Verdict.UNSUPPORTED,
        "does not exist",
    ),
    (
        "fewer pages",
        lambda h: h.put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "60\n"),
        "pages.reserved",
        Verdict.DRIFT,
        "4 are missing",
    ),
    (
        "more pages",
        lambda h: h.put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "70\n"),
        "pages.reserved",
        Verdict.DRIFT,
        "reserved more",
    ),
    (
        "THP",
        lambda h: h.put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        "pages.transparent",
        Verdict.DRIFT,
        "was changed",
    ),
    (
        "workqueues",
        lambda h: h.put("/sys/devices/virtual/workqueue/cpumask", "3f\n"),
        "boot.workqueue",
        Verdict.DRIFT,
        "was changed",
    ),
    (
        "isolated",
        lambda h: h.put("/sys/devices/system/cpu/isolated", "3-4\n"),
        "boot.isolcpus",
        Verdict.DRIFT,
        "/sys/devices/system/cpu/isolated shows something else",
    ),
    (
        "no NO_HZ_FULL",
        lambda h: h.drop("/sys/devices/system/cpu/nohz_full"),
        "boot.nohz_full",
        Verdict.UNSUPPORTED,
        "built without it",
    ),
    (
        "default affinity",
        lambda h: h.put("/proc/irq/default_smp_affinity", "3f\n"),
        "boot.irqaffinity",
        Verdict.DRIFT,
        "default_smp_affinity shows something else",
    ),
    (
        "later duplicate",
        lambda h: add_word(h, "skew_tick=0"),
        "boot.skew_tick",
        Verdict.OVERRIDDEN,
        "later skew_tick=0",
    ),
    (
        "earlier duplicate",
        lambda h: add_word(h, "skew_tick=0", "60-other.cfg"),
        "boot.skew_tick",
        Verdict.DRIFT,
        "more than once",
    ),
    ("unknown parameter", unknown, "boot.skew_tick", Verdict.UNSUPPORTED, "unknown parameter"),
    ("another entry", other_entry, "boot.skew_tick", Verdict.DRIFT, "came up without it"),
    (
        "menu edited",
        lambda h: grub_entry(h, " skew_tick=1", ""),
        "boot.skew_tick",
        Verdict.MISSING,
        "older than",
    ),
    ("balancer", start_balancer, "irq.balancer", Verdict.DRIFT, "enabled or disabled by someone else"),
    ("unit disabled", disable, "host.unit", Verdict.DRIFT, "enabled or disabled by someone else"),
    (
        "file edited",
        lambda h: h.put("/etc/systemd/system/quietcore-host.service", "[Unit]\n"),
        "host.file",
        Verdict.DRIFT,
        "edited",
    ),
    (
        "file mode",
        lambda h: (h.root / "etc/systemd/system/quietcore-host.service").chmod(0o600),
        "host.file",
        Verdict.DRIFT,
        "edited",
    ),
    ("interrupt moved", move, "irq.all", Verdict.DRIFT, "moved after they were set"),
    ("interrupt about to move", moved_but_idle, "irq.all", Verdict.DRIFT, "moved after they were set"),
]


@pytest.mark.parametrize(
    ("breaks", "name", "verdict", "cause"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS]
)
def test_what_is_broken_is_found_alone_and_with_its_cause(
    tuned: FakeHost, breaks: Callable[[FakeHost], object], name: str, verdict: Verdict, cause: str
) -> None:
    breaks(tuned)
    found = failed(tuned)
    assert set(found) == {name}
    finding = found[name]
    assert finding.verdict is verdict
    assert cause in finding.cause
    assert finding.remedy
    assert finding.why
    assert exit_code(audit(tuned.machine())) is ExitCode.FOUND


UNREADABLE = [
    (
        "/proc/cmdline",
        {"boot.isolcpus", "boot.nohz_full", "boot.rcu_nocbs", "boot.irqaffinity", "boot.skew_tick"},
    ),
    ("/dev/kmsg", {"boot.skew_tick"}),
    ("/sys/devices/system/cpu/isolated", {"boot.isolcpus"}),
    ("/sys/devices/system/cpu/nohz_full", {"boot.nohz_full"}),
    ("/proc/irq/default_smp_affinity", {"boot.irqaffinity"}),
    ("/sys/devices/virtual/workqueue/cpumask", {"boot.workqueue"}),
    ("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", {"pages.reserved"}),
    ("/sys/kernel/mm/transparent_hugepage/enabled", {"pages.transparent"}),
    ("/proc/sys/vm/swappiness", {"sysctl.swappiness"}),
    ("/proc/interrupts", {"irq.all", "irq.network"}),
    ("/proc/irq/24/smp_affinity_list", {"irq.all", "irq.network"}),
    ("/proc/irq/24/effective_affinity_list", {"irq.all", "irq.network"}),
    ("/etc/systemd/system/quietcore-host.service", {"host.file"}),
]


@pytest.mark.parametrize(("path", "names"), UNREADABLE)
def test_what_cannot_be_read_never_passes(tuned: FakeHost, path: str, names: set[str]) -> None:
    tuned.unreadable(path)
    found = failed(tuned)
    assert set(found) == names
    for finding in found.values():
        assert finding.verdict is Verdict.MISSING
        assert not finding.readable
        assert finding.cause
    assert exit_code(audit(tuned.machine())) is ExitCode.UNKNOWN


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/sys/devices/virtual/workqueue/cpumask", {"boot.workqueue"}),
        ("/proc/irq/default_smp_affinity", {"boot.irqaffinity"}),
        ("/sys/devices/system/cpu/isolated", {"boot.isolcpus"}),
        ("/proc/interrupts", {"irq.all", "irq.network"}),
        ("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", {"pages.reserved"}),
    ],
)
def test_rubbish_never_passes(tuned: FakeHost, path: str, names: set[str]) -> None:
    tuned.put(path, "what is this?\n 24: nothing\n")
    assert set(failed(tuned)) == names


def test_a_log_that_lost_its_beginning_proves_nothing(tuned: FakeHost) -> None:
    tuned.put("/dev/kmsg", "eth0: link is up\n")
    assert set(failed(tuned)) == {"boot.skew_tick"}


def test_nohz_full_proves_rcu_nocbs_where_the_log_does_not(tuned: FakeHost) -> None:
    tuned.put("/dev/kmsg", "Linux version 6.1.0\n")
    assert not failed(tuned)
    tuned.put("/sys/devices/system/cpu/nohz_full", "3\n")
    assert failed(tuned)["boot.rcu_nocbs"].found == "offloaded: none"


def test_boot_parameters_wait_for_the_reboot_and_only_for_one(host: FakeHost) -> None:
    outcome = promise(host.machine(), "boot_params", ROLES["boot_params"])
    assert outcome.reboot_required
    assert not outcome.failures
    pending = {finding.id for finding in audit(host.machine()) if finding.verdict is Verdict.PENDING}
    assert pending == {
        "boot.fallback",
        "boot.isolcpus",
        "boot.nohz_full",
        "boot.rcu_nocbs",
        "boot.irqaffinity",
        "boot.skew_tick",
    }
    assert exit_code(audit(host.machine())) is ExitCode.FOUND
    host.boot()
    again = promise(host.machine(), "boot_params", ROLES["boot_params"])
    assert not again.changed
    assert not again.reboot_required
    assert not failed(host)


def test_unsupported_fails_only_where_it_is_required(host: FakeHost) -> None:
    assert promise(host.machine(), "cpu_power", POWER).failures
    assert failed(host)["power.governor"].verdict is Verdict.UNSUPPORTED
    outcome = promise(host.machine(), "cpu_power", [{**POWER[0], "required": False}])
    assert not outcome.failures
    findings = audit(host.machine())
    assert findings[0].verdict is Verdict.UNSUPPORTED
    assert exit_code(findings) is ExitCode.OK


def test_governors_drift_by_cpu(host: FakeHost) -> None:
    for cpu in range(6):
        folder = f"/sys/devices/system/cpu/cpu{cpu}/cpufreq"
        host.put(f"{folder}/scaling_governor", "powersave\n")
        host.put(f"{folder}/scaling_available_governors", "performance powersave\n")
    outcome = promise(host.machine(), "cpu_power", POWER)
    assert [change.target.split("/")[5] for change in outcome.changes[1:]] == ["cpu3", "cpu4", "cpu5"]
    assert host.get("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") == "powersave"
    host.put("/sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "powersave\n")
    assert failed(host)["power.governor"].found == "performance on 3,5, powersave on 4"


def test_interrupts_that_cannot_be_moved_are_told_and_do_not_fail(tuned: FakeHost) -> None:
    move(tuned)
    tuned.immovable.add(24)
    finding = next(item for item in audit(tuned.machine()) if item.id == "irq.all")
    assert finding.verdict is Verdict.OK
    assert "1 cannot be moved, the kernel manages them: 24 (virtio0-req.0) on 4" in finding.cause


def test_an_interrupt_that_moves_with_its_next_arrival_is_told_and_does_not_fail(tuned: FakeHost) -> None:
    tuned.put("/proc/irq/8/effective_affinity_list", "4\n")
    finding = next(item for item in audit(tuned.machine()) if item.id == "irq.all")
    assert finding.verdict is Verdict.OK
    assert "1 will move with their next interrupt: 8 (rtc0) on 4" in finding.cause


def test_a_copy_cannot_tell_whether_an_interrupt_moves(tuned: FakeHost) -> None:
    from quietcore.host.machine import Machine

    move(tuned)
    finding = next(item for item in audit(Machine(tuned.root)) if item.id == "irq.all")
    assert finding.verdict is Verdict.DRIFT
    assert "only told by the live kernel" in finding.cause


def test_nothing_promised_is_no_pass(host: FakeHost) -> None:
    with pytest.raises(QuietcoreError, match="nothing was promised") as caught:
        audit(host.machine())
    assert caught.value.code is ExitCode.UNKNOWN


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not JSON"),
        ("[]", "not a desired state"),
        ('{"version": 2, "settings": []}', "not a desired state of this version"),
        ('{"version": 1, "settings": [{"id": 1}]}', "wrong type: .*sysctl.json: setting 1: id; found int"),
        ('{"version": 1, "settings": [{"colour": "red"}]}', "unknown key: .*colour"),
        ('{"version": 1, "settings": [{"id": "a"}]}', "a key is missing"),
    ],
)
def test_a_promise_that_cannot_be_understood_is_an_error(tuned: FakeHost, text: str, what: str) -> None:
    tuned.put(desired_path("sysctl"), text)
    with pytest.raises(QuietcoreError, match=what):
        audit(tuned.machine())


def test_an_unknown_kind_never_passes(tuned: FakeHost) -> None:
    tuned.put(
        desired_path("other"),
        '{"version": 1, "settings": [{"id": "x", "kind": "magic", "name": "n", "wanted": "w", "why": "y"}]}',
    )
    assert set(failed(tuned)) == {"x"}


def test_a_module_parameter_is_proven_by_its_module(host: FakeHost) -> None:
    wanted = [setting("boot.nvme", "kernel_parameter", "nvme.use_threaded", "1")]
    promise(host.machine(), "boot_params", wanted)
    host.boot()
    assert failed(host)["boot.nvme"].verdict is Verdict.UNSUPPORTED
    host.put("/sys/module/nvme/parameters/use_threaded", "N\n")
    assert failed(host)["boot.nvme"].verdict is Verdict.DRIFT
    host.put("/sys/module/nvme/parameters/use_threaded", "Y\n")
    assert not failed(host)
