"""Every live setting of the tuned host, broken by plain shell one at a time: the audit reports just it, and why.

QUIETCORE_ROLE chooses the settings of one role, on a host that has only this role.
"""

import json
import os
from typing import Any, NamedTuple

import pytest
from tests.virtual_host.conftest import Sh
from tests.virtual_host.promises import Promise, promised, roles_on

pytestmark = pytest.mark.side_effect

ROLE = os.environ.get("QUIETCORE_ROLE", "")
# Roles of which an emulated host has nothing that plain shell could break while it runs.
NOTHING_TO_BREAK = {
    "cpu_power": "a virtual machine has no cpufreq: its settings are broken in a copied tree",
    "measure": "it promises no setting",
    "monitoring": "its files are broken as all files are",
    "network": "the card of a virtual machine offers nothing to set",
    "release": "it promises no setting: what it unpacks is named by its content",
}

AUDIT = "/usr/local/sbin/quietcore audit"
APPLY = "/usr/local/sbin/quietcore apply"
DROP_IN = "/etc/default/grub.d/zz-quietcore.cfg"
MOUNT = "/run/hugepages/quietcore"
MOUNT_UNIT = "run-hugepages-quietcore.mount"
RECHECK = "quietcore-interrupts"
SYSCTL = "/etc/sysctl.d/zz-quietcore.conf"


class Mutation(NamedTuple):
    """How to break a setting, what the audit must say of it, and how to mend it."""

    setting: str
    verdict: str
    cause: str
    shell: str
    mend: str = APPLY


MUTATIONS = [
    Mutation("sysctl.vm.swappiness", "drift", "by hand", "echo 30 > /proc/sys/vm/swappiness"),
    Mutation(
        "sysctl.net.core.rmem_max",
        "overridden",
        "/etc/sysctl.d/zzz-other.conf",
        "echo 'net.core.rmem_max = 1000000' > /etc/sysctl.d/zzz-other.conf; sysctl -q -p /etc/sysctl.d/zzz-other.conf",
        f"rm /etc/sysctl.d/zzz-other.conf; {APPLY}",
    ),
    Mutation("sysctl.vm.stat_interval", "missing", SYSCTL, f"sed -i /stat_interval/d {SYSCTL}"),
    Mutation(
        "huge_pages.transparent",
        "drift",
        "was changed",
        "echo always > /sys/kernel/mm/transparent_hugepage/enabled",
    ),
    Mutation("huge_pages.shm_group", "drift", "by hand", "echo 0 > /proc/sys/vm/hugetlb_shm_group"),
    Mutation(
        "huge_pages.mount", "drift", "over it", f"mount -t tmpfs tmpfs {MOUNT}", f"umount {MOUNT}; {APPLY}"
    ),
    Mutation("huge_pages.mount_state", "drift", "disabled", f"systemctl disable -q {MOUNT_UNIT}"),
    Mutation(
        "huge_pages.mount_unit", "drift", "edited", f"echo '# edited' >> /etc/systemd/system/{MOUNT_UNIT}"
    ),
    Mutation("sysctl.vm.dirty_bytes", "drift", "by hand", "echo 30 > /proc/sys/vm/dirty_ratio"),
    Mutation(
        "sysctl.net.ipv4.tcp_timestamps", "drift", "by hand", "echo 1 > /proc/sys/net/ipv4/tcp_timestamps"
    ),
    Mutation(
        "sysctl.kernel.sched_rt_runtime_us",
        "drift",
        "by hand",
        "echo 900000 > /proc/sys/kernel/sched_rt_runtime_us",
    ),
    Mutation("huge_pages.reserved", "drift", "are missing", "echo 60 > /proc/sys/vm/nr_hugepages"),
    Mutation(
        "boot_params.workqueue", "drift", "was changed", "echo 3f > /sys/devices/virtual/workqueue/cpumask"
    ),
    Mutation(
        "boot_params.irqaffinity",
        "drift",
        "shows something else",
        "echo 3f > /proc/irq/default_smp_affinity",
    ),
    Mutation(
        "irq_affinity.all",
        "drift",
        "moved after they were set",
        # The timer has just looked, so it does not mend this before the audit sees it.
        f"systemctl start {RECHECK}.service; "
        "echo 4 > /proc/irq/$(sed -n 's/^ *\\([0-9]*\\):.*ttyS0$/\\1/p' /proc/interrupts)/smp_affinity_list",
    ),
    Mutation("irq_affinity.recheck", "drift", "stopped", f"systemctl stop {RECHECK}.timer"),
    Mutation(
        "irq_affinity.recheck_timer",
        "drift",
        "edited",
        f"echo '# edited' >> /etc/systemd/system/{RECHECK}.timer",
    ),
    Mutation(
        "irq_affinity.recheck_service",
        "drift",
        "edited",
        f"echo '# edited' >> /etc/systemd/system/{RECHECK}.service",
    ),
    Mutation("irq_affinity.irqbalance", "drift", "started", "systemctl enable -q irqbalance 2>/dev/null"),
    Mutation("host_state.service", "drift", "disabled", "systemctl disable -q quietcore-host"),
    Mutation(
        "host_state.service_file",
        "drift",
        "edited",
        "echo '# edited' >> /etc/systemd/system/quietcore-host.service",
    ),
    Mutation("host_state.gate_file", "missing", "removed", "rm /etc/systemd/system/quietcore-gate.service"),
    Mutation(
        "boot_params.fallback",
        "missing",
        "still the old entry",
        "grub-editenv - set saved_entry=quietcore-good",
    ),
    Mutation("boot_params.confirm", "drift", "disabled", "systemctl disable -q quietcore-boot-confirm"),
    Mutation(
        "boot_params.emergency",
        "drift",
        "edited",
        "echo '# edited' >> /etc/systemd/system/emergency.target.d/zz-quietcore.conf",
    ),
    Mutation("core_plan.file", "missing", "removed", "rm /etc/quietcore/plan.json"),
    Mutation(
        "boot_params.nohz_full",
        "missing",
        DROP_IN,
        f"sed -i.kept /nohz_full=/d {DROP_IN}",
        f"mv {DROP_IN}.kept {DROP_IN}",
    ),
]
FEED_UNIT = "/etc/systemd/system/quietcore-feed@.service"
MUTATIONS += [
    Mutation("feed_handler.unit", "drift", "edited", f"echo '# mine' >> {FEED_UNIT}"),
    Mutation("feed_handler.config_sim", "drift", "edited", "echo '# mine' >> /etc/quietcore/feed.d/sim.toml"),
    Mutation("runtime.config", "drift", "edited", "chmod 0600 /etc/quietcore/runtime.toml"),
    Mutation(
        "runtime.unit", "drift", "edited", "echo '# mine' >> /etc/systemd/system/quietcore-runtime.service"
    ),
    Mutation("simulator.unit", "missing", "removed", "rm /etc/systemd/system/quietcore-sim.service"),
]
MUTATIONS += [
    Mutation(
        "isolation.user",
        "drift",
        "moved after they were set",
        "setsid taskset -c 4 sleep 900 >/dev/null 2>&1 </dev/null & sleep 0.5",
        "pkill -x sleep",
    ),
]
NEEDRESTART, UPGRADES = "/etc/needrestart", "/usr/bin/unattended-upgrade"
WITH_NEEDRESTART = (
    f"mkdir -p {NEEDRESTART}/conf.d; "
    f"echo 'foreach my $fn (sort <{NEEDRESTART}/conf.d/*.conf>) {{ eval do {{ local(@ARGV, $/) = $fn; <>}}; }} 1;' "
    f"> {NEEDRESTART}/needrestart.conf; {APPLY}"
)
# Every Debian has its timer.
TMPFILES = "/etc/systemd/system/systemd-tmpfiles-clean.service.d"
LATER = "/etc/security/limits.d/zzz-other.conf"
MUTATIONS += [
    Mutation("isolation.manager", "drift", "moved after they were set", "taskset -a -p -c 0-2 1 >/dev/null"),
    Mutation(
        "isolation.kernel",
        "drift",
        "moved after they were set",
        "taskset -p -c 0-5 $(pgrep -x kswapd0) >/dev/null",
    ),
    Mutation(
        "irq_affinity.network",
        "drift",
        "moved after they were set",
        f"systemctl start {RECHECK}.service; "
        "n=$(sed -n '/virtio.-input.0$/{s/^ *\\([0-9]*\\):.*/\\1/p;q}' /proc/interrupts); "
        "echo 1 > /proc/irq/$n/smp_affinity_list",
    ),
    Mutation(
        "real_time.limits", "overridden", LATER, f"echo '@quietcore - nofile 100' > {LATER}", f"rm {LATER}"
    ),
    *(
        Mutation(
            f"real_time.processes.{unit}",
            "pending reboot",
            "changed since by hand",
            f"prlimit --nofile=1000:65536 --pid $(systemctl show --property=MainPID --value {instance})",
            f"prlimit --nofile=65536:65536 --pid $(systemctl show --property=MainPID --value {instance})",
        )
        for unit, instance in (
            ("quietcore-feed@.service", "quietcore-feed@sim"),
            ("quietcore-runtime.service", "quietcore-runtime"),
        )
    ),
    Mutation(
        "daily_life.logrotate",
        "drift",
        "other in /etc/logrotate.d",
        "echo '/var/log/quietcore.log { daily }' > /etc/logrotate.d/other",
        "rm /etc/logrotate.d/other",
    ),
    Mutation(
        "daily_life.timers",
        "drift",
        "CPUAffinity= in their units",
        f"mkdir -p {TMPFILES}; printf '[Service]\\nCPUAffinity=4\\n' > {TMPFILES}/other.conf; systemctl daemon-reload",
        f"rm -r {TMPFILES}; systemctl daemon-reload",
    ),
    # A minimal host has no such programs: what their packages would bring is put there first.
    Mutation(
        "daily_life.needrestart_file",
        "drift",
        "edited",
        f"{WITH_NEEDRESTART}; echo '# mine' >> {NEEDRESTART}/conf.d/zz-quietcore.conf",
        f"rm -r {NEEDRESTART}; {APPLY}",
    ),
    Mutation(
        "daily_life.needrestart",
        "overridden",
        "says otherwise",
        f"{WITH_NEEDRESTART}; "
        f"echo '$nrconf{{override_rc}}{{qr(^quietcore-runtime)}} = 1;' > {NEEDRESTART}/conf.d/zzz.conf",
        f"rm -r {NEEDRESTART}; {APPLY}",
    ),
    Mutation(
        "daily_life.upgrades_file",
        "drift",
        "edited",
        f"touch {UPGRADES}; {APPLY}; echo '// mine' >> /etc/apt/apt.conf.d/zz-quietcore.conf",
        f"rm {UPGRADES}; {APPLY}",
    ),
    Mutation(
        "daily_life.automatic_reboot",
        "overridden",
        "sorts after ours",
        f"touch {UPGRADES}; {APPLY}; "
        "echo 'Unattended-Upgrade::Automatic-Reboot \"true\";' > /etc/apt/apt.conf.d/zzz-other",
        f"rm {UPGRADES} /etc/apt/apt.conf.d/zzz-other; {APPLY}",
    ),
    # Nor one that sets the clock: a service of the same name stands in, on a CPU that is neither kind's.
    *(
        Mutation(
            f"time_sync.threads.{unit}",
            "drift",
            "moved after they were set",
            f"systemd-run --quiet --unit={unit} --property=CPUAffinity=2 sleep 900",
            f"systemctl stop {unit}",
        )
        for unit in ("chrony.service", "systemd-timesyncd.service")
    ),
]
# Alone, the role isolation makes a partition, and the kernel lets nobody do to that what is done here.
GUARDED = {"isolation"}
# Of the pipeline, which a role's own host has not.
OF_THE_PIPELINE = "real_time.processes."
CHOSEN = [
    mutation
    for mutation in MUTATIONS
    if not ROLE
    or (
        mutation.setting.split(".")[0] == ROLE
        and ROLE not in GUARDED
        and not mutation.setting.startswith(OF_THE_PIPELINE)
    )
]


def failures(sh: Sh) -> tuple[int, list[dict[str, str]]]:
    """The audit's exit code and the lines that fail."""
    # The exit code is in the output, because the fixture takes any other than 0 for a failure of the command.
    text, _, code = sh(f"code=0; {AUDIT} --failed --json || code=$?; echo exit $code").rpartition("exit ")
    return int(code), json.loads(text)["findings"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", CHOSEN, ids=lambda mutation: mutation.setting)
def test_a_broken_setting_is_found_alone_with_its_cause(mutation: Mutation, sh: Sh) -> None:
    sh(mutation.shell)
    try:
        code, found = failures(sh)
    finally:
        sh(mutation.mend)
    assert code == 1
    assert [line["id"] for line in found] == [mutation.setting]
    assert found[0]["verdict"] == mutation.verdict
    assert mutation.cause in found[0]["cause"]
    assert found[0]["remedy"]


def by_kind(promise: Promise) -> tuple[str, str, str] | None:
    """Return how any setting of this kind is broken, the verdict to expect, and how it is mended; None: not alike."""
    name, kind = promise["name"], promise["kind"]
    if kind == "file":
        return f"cp -p {name} /root/kept; echo '# mine' >> {name}", "drift", f"mv /root/kept {name}"
    if kind == "sysctl":
        path = "/proc/sys/" + name.replace(".", "/")
        wanted = " ".join(str(promise["wanted"]).split())
        other = " ".join(str(int(word) + 1) for word in wanted.split())
        return f"echo {other} > {path}", "drift", f"echo {wanted} > {path}"
    if kind == "unit" and promise["wanted"] == "enabled":
        return f"systemctl disable -q {name}", "drift", f"systemctl enable -q {name}"
    return None


@pytest.mark.timeout(900)
def test_files_keys_and_units_broken_one_at_a_time_are_each_found_alone(
    sh: Sh, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = {mutation.setting for mutation in MUTATIONS}
    promises = [promise for role in roles_on(sh) if ROLE in ("", role) for promise in promised(role, sh)]
    fine = {line["id"] for line in json.loads(sh(f"{AUDIT} --json"))["findings"] if line["verdict"] == "ok"}
    broken: set[str] = set()
    wrong: list[str] = []
    for promise in promises:
        way = None if promise["id"] in by_hand or promise["id"] not in fine else by_kind(promise)
        if way is None:
            continue
        breaks, verdict, mends = way
        # One login for all three: the host is emulated.
        text = sh(f"{breaks}; code=0; {AUDIT} --failed --json || code=$?; {mends}; echo exit $code")
        told, _, code = text.rpartition("exit ")
        findings = json.loads(told)["findings"]
        seen = [(line["id"], line["verdict"], bool(line["cause"]), bool(line["remedy"])) for line in findings]
        if int(code) != 1 or seen != [(promise["id"], verdict, True, True)]:
            wrong.append(f"{promise['id']}: {seen}")
        broken.add(promise["id"])
    with capsys.disabled():
        print(
            f"\nsettings {len(promises)}, broken alike {len(broken)}, detected {len(broken) - len(wrong)}, "
            f"broken by hand {len(CHOSEN)}, other {len(promises) - len(broken) - len(CHOSEN)}"
        )
    assert wrong == []


def test_the_kernel_lets_nothing_else_into_a_partition(plan: dict[str, Any], sh: Sh) -> None:
    if ROLE != "isolation":
        pytest.skip("only the role isolation, alone, makes a partition")
    for cpu in plan["isolated"]:
        assert sh(f"taskset -c {cpu} true 2>&1 || echo refused").strip().endswith("refused")


def test_there_is_something_to_break_for_this_role(sh: Sh) -> None:
    if ROLE in NOTHING_TO_BREAK:
        pytest.skip(f"{ROLE}: {NOTHING_TO_BREAK[ROLE]}")
    assert CHOSEN or ROLE in GUARDED, f"no mutation for {ROLE}"


@pytest.mark.timeout(300)
def test_the_host_is_whole_again_after_all_of_this(sh: Sh) -> None:
    assert failures(sh) == (0, [])
