"""Every promised setting broken in a copy of a tuned host, one at a time: the audit reports just it, and why.

The copy is unpacked without the auditor's library; what a boot or hardware decides can be broken nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.host.copied_tree import FOLDER, Copy, unpack
from tests.host.role_settings import rendered
from tests.host.test_plan import machine

from quietcore.host.audit import audit
from quietcore.host.findings import Finding, Verdict
from quietcore.host.machine import Machine
from quietcore.host.plan import Wishes, plan_cores

C = "/sys/devices/system/cpu"
U = "/etc/systemd/system"
ROLES = ("boot_params", "cpu_power", "host_state", "huge_pages", "irq_affinity", "sysctl")
GIVEN = {
    "__huge_pages_group_entry": {"gid": 998},
    "huge_pages_nodes": {0: 64, 1: 512},
    "cpu_power_turbo": "off",
}
# Whether a timer waits, and how long the hardware watchdog does, is known to systemd alone.
UNTOLD = {"irq_affinity.recheck", "boot_params.deadline", "boot_params.watchdog"}
# The copied host has no GRUB tools, so it is told that nothing could be tried there: broken on the virtual host.
ELSEWHERE = {"boot_params.fallback"}


def tuned(root: Path, given: dict[str, Any]) -> Copy:
    """Unpack the host, and give it the promises that the roles make of it."""
    unpack(FOLDER / "two-sockets-tuned.tree", root)
    copy = Copy(root)
    topology = replace(
        machine(8, 2, nodes=2, card=1), memory_kib=65803012, node_memory_kib=(32891412, 32911600)
    )
    plan = plan_cores(topology, Wishes(siblings_off=frozenset({"feed", "strategy"})))
    content = json.dumps(plan.to_json(), indent=2, sort_keys=True) + "\n"
    file = {
        "id": "core_plan.file",
        "kind": "file",
        "name": "/etc/quietcore/plan.json",
        "wanted": content,
        "why": "-",
    }
    promises = {"core_plan": [file], **{role: rendered(role, plan, {**GIVEN, **given}) for role in ROLES}}
    sysctl: list[str] = []
    for role, settings in promises.items():
        copy.put(
            f"/etc/quietcore/host.d/{role}.json",
            json.dumps({"version": 1, "role": role, "settings": settings}),
        )
        for setting in settings:
            if setting["kind"] == "file":
                copy.put(setting["name"], setting["wanted"])
                copy.path(setting["name"]).chmod(int(setting.get("options", {}).get("mode", "0644"), 8))
            if setting["kind"] == "sysctl":
                sysctl.append(f"{setting['name']} = {setting['wanted']}\n")
    copy.put("/etc/sysctl.d/zz-quietcore.conf", "".join(sysctl))
    copy.put("/dev/watchdog", "")
    confirm = "quietcore-boot-confirm.service"
    copy.path(f"{U}/multi-user.target.wants/{confirm}").symlink_to(f"{U}/{confirm}")
    copy.path(f"/sys/fs/cgroup/system.slice/{confirm}").mkdir()
    return Copy(root)


def banned(root: Path) -> Copy:
    """The same host with irqbalance running, banned from the isolated CPUs."""
    copy = tuned(root, {"irq_affinity_irqbalance": "banned"})
    link = copy.path(f"{U}/multi-user.target.wants/irqbalance.service")
    link.symlink_to("/usr/lib/systemd/system/irqbalance.service")
    copy.put("/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs", "633\n")
    copy.put("/proc/633/environ", "LANG=C\0IRQBALANCE_BANNED_CPULIST=5-7,13-15\0IRQBALANCE_BANNED_CPUS=\0")
    return Copy(root)


def findings(copy: Copy) -> dict[str, Finding]:
    return {finding.id: finding for finding in audit(Machine(copy.root))}


def failed(copy: Copy) -> set[str]:
    return {name for name, finding in findings(copy).items() if finding.failed} - UNTOLD


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return tuned(tmp_path_factory.mktemp("host"), {})


@pytest.fixture(scope="module")
def with_irqbalance(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return banned(tmp_path_factory.mktemp("banned"))


Break = Callable[[Copy], None]


def written(path: str, text: str) -> Break:
    return lambda copy: copy.put(path, text + "\n")


def edited(path: str, old: str, new: str) -> Break:
    return lambda copy: copy.edit(path, old, new)


def disk_interrupt_moved(copy: Copy) -> None:
    copy.put("/proc/irq/27/smp_affinity_list", "5\n")
    copy.put("/proc/irq/27/effective_affinity_list", "5\n")


# setting → (how it is broken, words of the cause, the file that its effective value is read from)
MUTATIONS: dict[str, tuple[Break, str, str]] = {
    "boot_params.isolcpus": (
        edited("/proc/cmdline", "isolcpus=managed_irq,domain,5-7,13-15 ", ""),
        "came up without it",
        f"{C}/isolated",
    ),
    "boot_params.nohz_full": (
        written(f"{C}/nohz_full", "5-6"),
        "nohz_full shows something else",
        f"{C}/nohz_full",
    ),
    "boot_params.rcu_nocbs": (
        edited("/dev/kmsg", "CPUs: 5-7,13-15.", "CPUs: 5-6."),
        "the kernel's log",
        "/proc/cmdline",
    ),
    "boot_params.irqaffinity": (
        written("/proc/irq/default_smp_affinity", "ffff"),
        "default_smp_affinity shows something else",
        "/proc/irq/default_smp_affinity",
    ),
    "boot_params.workqueue": (
        written("/sys/devices/virtual/workqueue/cpumask", "ffff"),
        "was changed",
        "/sys/devices/virtual/workqueue/cpumask",
    ),
    "boot_params.confirm": (
        lambda copy: copy.drop(f"{U}/multi-user.target.wants/quietcore-boot-confirm.service"),
        "disabled by someone else",
        "",
    ),
    **{
        f"boot_params.{name}": (edited(f"{U}/{file}", old, "Mine"), "edited", f"{U}/{file}")
        for name, file, old in (
            ("confirm_service", "quietcore-boot-confirm.service", "Description"),
            ("deadline_timer", "quietcore-boot-deadline.timer", "Description"),
            ("leave_service", "quietcore-boot-leave.service", "Description"),
            ("emergency", "emergency.target.d/zz-quietcore.conf", "Wants"),
            ("rescue", "rescue.target.d/zz-quietcore.conf", "Wants"),
        )
    },
    "host_state.gate_file": (
        edited(f"{U}/quietcore-gate.service", "Description", "Mine"),
        "edited",
        f"{U}/quietcore-gate.service",
    ),
    "core_plan.file": (
        edited("/etc/quietcore/plan.json", '"version": 1', '"version":  1'),
        "edited",
        "/etc/quietcore/plan.json",
    ),
    "cpu_power.running": (written(f"{C}/cpu6/online", "0"), "taken off line", f"{C}/cpu6/online"),
    "cpu_power.governor": (
        written(f"{C}/cpu15/cpufreq/scaling_governor", "powersave"),
        "another power daemon",
        f"{C}/cpu15/cpufreq/scaling_governor",
    ),
    "cpu_power.energy_preference": (
        written(f"{C}/cpu7/cpufreq/energy_performance_preference", "balance_power"),
        "another power daemon",
        f"{C}/cpu7/cpufreq/energy_performance_preference",
    ),
    "cpu_power.latency": (
        written(f"{C}/cpu5/power/pm_qos_resume_latency_us", "0"),
        "changed after it was set",
        f"{C}/cpu5/power/pm_qos_resume_latency_us",
    ),
    "cpu_power.turbo": (
        written(f"{C}/intel_pstate/no_turbo", "0"),
        "no_turbo was changed",
        f"{C}/intel_pstate/no_turbo",
    ),
    "cpu_power.siblings_off": (written(f"{C}/cpu13/online", "1"), "brought back", f"{C}/cpu13/online"),
    "host_state.command": (
        lambda copy: copy.chmod("/usr/local/sbin/quietcore", 0o644),
        "edited",
        "/usr/local/sbin/quietcore",
    ),
    "host_state.service_file": (
        edited(f"{U}/quietcore-host.service", "quietcore audit", "true"),
        "edited",
        f"{U}/quietcore-host.service",
    ),
    "host_state.service": (
        lambda copy: copy.drop(f"{U}/multi-user.target.wants/quietcore-host.service"),
        "disabled by someone else",
        "",
    ),
    "huge_pages.boot_size": (
        lambda copy: copy.put(
            "/proc/cmdline", copy.path("/proc/cmdline").read_text().replace(" hugepagesz=2M", "")
        ),
        "this boot came up without it",
        "/proc/cmdline",
    ),
    "huge_pages.boot": (
        lambda copy: copy.put(
            "/proc/cmdline",
            copy.path("/proc/cmdline").read_text().replace(" ro ", " ro hugepagesz=2M hugepages=8 "),
        ),
        "an earlier hugepages=8",
        "/proc/cmdline",
    ),
    "huge_pages.reserved": (
        written("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "500"),
        "12 on node 1 are missing",
        "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
    ),
    "huge_pages.transparent": (
        written("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
        "was changed",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ),
    "huge_pages.mount_unit": (
        edited(f"{U}/run-hugepages-quietcore.mount", "mode=1770", "mode=1777"),
        "edited",
        f"{U}/run-hugepages-quietcore.mount",
    ),
    "huge_pages.mount_state": (
        lambda copy: copy.drop(f"{U}/multi-user.target.wants/run-hugepages-quietcore.mount"),
        "disabled by someone else",
        "",
    ),
    "huge_pages.mount": (
        edited("/proc/mounts", "gid=998,mode=1770", "mode=1777"),
        "other options",
        "/proc/mounts",
    ),
    "irq_affinity.irqbalance": (
        lambda copy: copy.link(
            f"{U}/multi-user.target.wants/irqbalance.service", "/usr/lib/systemd/system/irqbalance.service"
        ),
        "enabled or disabled by someone else",
        "",
    ),
    "irq_affinity.all": (
        disk_interrupt_moved,
        "moved after they were set",
        "/proc/irq/27/effective_affinity_list",
    ),
    "irq_affinity.network": (
        written("/proc/irq/41/smp_affinity_list", "3"),
        "new since then",
        "/proc/irq/41/smp_affinity_list",
    ),
    "irq_affinity.recheck_service": (
        edited(f"{U}/quietcore-interrupts.service", "--role irq_affinity", "--check"),
        "edited",
        f"{U}/quietcore-interrupts.service",
    ),
    "irq_affinity.recheck_timer": (lambda copy: copy.drop(f"{U}/quietcore-interrupts.timer"), "removed", ""),
}
BANNED: dict[str, tuple[Break, str, str]] = {
    "irq_affinity.ban": (
        written("/proc/633/environ", "LANG=C\0IRQBALANCE_BANNED_CPULIST=1\0IRQBALANCE_BANNED_CPUS=\0"),
        "started before its files",
        "/proc/633/environ",
    ),
    "irq_affinity.ban_list": (
        edited("/etc/quietcore/irqbalance.env", "=5-7,13-15", "=1"),
        "edited",
        "/etc/quietcore/irqbalance.env",
    ),
    "irq_affinity.ban_drop_in": (
        lambda copy: copy.drop(f"{U}/irqbalance.service.d/zz-quietcore.conf"),
        "removed",
        "",
    ),
    "irq_affinity.irqbalance": (
        lambda copy: copy.drop(f"{U}/multi-user.target.wants/irqbalance.service"),
        "disabled by someone else",
        "",
    ),
}
# A key's sysctl file is broken alike for every key.
PAIRED = {"vm.dirty_bytes", "vm.dirty_background_bytes"}


def sysctl_mutations(copy: Copy) -> Iterator[tuple[str, tuple[Break, str, str]]]:
    for role in ROLES:
        value = json.loads(copy.path(f"/etc/quietcore/host.d/{role}.json").read_text())
        for setting in value["settings"]:
            if setting["kind"] == "sysctl":
                path = "/proc/sys/" + setting["name"].replace(".", "/")
                other = " ".join(str(int(word) + 1) for word in copy.path(path).read_text().split())
                yield setting["id"], (written(path, other), "changed by hand", path)


def all_mutations(copy: Copy, own: dict[str, tuple[Break, str, str]]) -> dict[str, tuple[Break, str, str]]:
    return {**own, **dict(sysctl_mutations(copy))}


def test_the_copied_host_is_as_promised(host: Copy, with_irqbalance: Copy) -> None:
    for copy in (host, with_irqbalance):
        assert not failed(copy)
        assert {name for name, finding in findings(copy).items() if not finding.readable} == UNTOLD
        verdicts = {f.verdict for name, f in findings(copy).items() if name not in ELSEWHERE}
        assert verdicts == {Verdict.OK, Verdict.MISSING}


def test_every_setting_that_is_broken_is_found_alone_with_its_cause(
    host: Copy, with_irqbalance: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    promised = set(findings(host)) | set(findings(with_irqbalance))
    wrong: list[str] = []
    mutated: set[str] = set()
    for copy, mutations in ((host, all_mutations(host, MUTATIONS)), (with_irqbalance, BANNED)):
        for name, (breaks, cause, _) in mutations.items():
            breaks(copy)
            found = findings(copy)
            told = {item for item, finding in found.items() if finding.failed} - UNTOLD
            if told != {name} or cause not in found[name].cause or not found[name].remedy:
                wrong.append(f"{name}: {sorted(told)}: {found[name].cause}; {found[name].remedy}")
            copy.mend()
            mutated.add(name)
    with capsys.disabled():
        print(
            f"\nsettings {len(promised)}, mutated in a copy {len(mutated)}, detected {len(mutated) - len(wrong)}, "
            f"only told by a live host: {', '.join(sorted(promised - mutated))}"
        )
    assert wrong == []
    assert promised - mutated == UNTOLD | ELSEWHERE
    assert not failed(host)
    assert not failed(with_irqbalance)


def test_nothing_that_cannot_be_read_passes(host: Copy, with_irqbalance: Copy) -> None:
    for copy, mutations in ((host, all_mutations(host, MUTATIONS)), (with_irqbalance, BANNED)):
        for name, (_, _, path) in mutations.items():
            if path:
                copy.hide(path)
                finding = findings(copy)[name]
                copy.mend()
                assert finding.failed, name
                assert not finding.readable, name
                assert finding.verdict is Verdict.MISSING, name


def test_a_state_that_the_idle_driver_leaves_too_deep_or_not_at_all(host: Copy) -> None:
    host.put(f"{C}/cpu6/cpuidle/state1/latency", "3\n")
    assert findings(host)["cpu_power.latency"].found.endswith("down to C1 on 5,7,15; down to POLL on 6")
    for number in (0, 1):
        host.put(f"{C}/cpu6/cpuidle/state{number}/disable", "1\n")
    assert failed(host) == {"cpu_power.latency"}
    host.mend()


def test_hardware_that_is_gone_is_unsupported_not_ok(host: Copy) -> None:
    for number in (5, 6, 7, 15):
        host.drop(f"{C}/cpu{number}/cpufreq/scaling_governor")
    finding = findings(host)["cpu_power.governor"]
    host.mend()
    assert finding.verdict is Verdict.UNSUPPORTED
