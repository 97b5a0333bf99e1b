"""What is known of each setting beyond how it is read and written: the least kernel, and where it is documented.

How a setting is applied and read is its kind's to say (`kinds`); this adds what only a reader needs. The tables of
roles/README.md are made of both.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

_KERNEL = "https://docs.kernel.org/"
_PARAMETERS = _KERNEL + "admin-guide/kernel-parameters.html"
_VM = _KERNEL + "admin-guide/sysctl/vm.html"
_NET = _KERNEL + "admin-guide/sysctl/net.html"
_SCHEDULER = _KERNEL + "admin-guide/sysctl/kernel.html"
_TCP = _KERNEL + "networking/ip-sysctl.html"
_PAGES = _KERNEL + "admin-guide/mm/hugetlbpage.html"
_CPUFREQ = _KERNEL + "admin-guide/pm/cpufreq.html"
_SYSTEMD = "https://www.freedesktop.org/software/systemd/man/latest/"
_UNIT = _SYSTEMD + "systemd.unit.html"
_CGROUPS = _KERNEL + "admin-guide/cgroup-v2.html"


@dataclass(frozen=True)
class Fact:
    """The least kernel that has the settings of a kind whose name matches a pattern, and its documentation.

    `kernel` is `any` for what is older than every kernel still maintained.
    """

    kind: str
    names: str
    kernel: str
    source: str


FACTS: tuple[Fact, ...] = (
    Fact("kernel_parameter", "isolcpus", "5.6 (managed_irq)", _PARAMETERS),
    Fact("kernel_parameter", "nohz_full", "3.10", _KERNEL + "timers/no_hz.html"),
    Fact("kernel_parameter", "hugepages", "any; 5.16 by node", _PAGES),
    Fact("kernel_parameter", "hugepagesz", "any", _PAGES),
    Fact("kernel_parameter", "*", "any", _PARAMETERS),
    Fact("value", "/sys/devices/virtual/workqueue/cpumask", "4.2", _KERNEL + "core-api/workqueue.html"),
    Fact("value", "/sys/kernel/mm/transparent_hugepage/*", "any", _KERNEL + "admin-guide/mm/transhuge.html"),
    Fact("value", "*", "any", _KERNEL + "admin-guide/abi.html"),
    Fact("per_cpu", "online", "any", _KERNEL + "core-api/cpu_hotplug.html"),
    Fact("per_cpu", "cpufreq/scaling_governor", "any", _CPUFREQ),
    Fact(
        "per_cpu",
        "cpufreq/energy_performance_preference",
        "4.10 (Intel), 6.3 (AMD)",
        _KERNEL + "admin-guide/pm/intel_pstate.html",
    ),
    Fact("per_cpu", "*", "any", _KERNEL + "admin-guide/abi.html"),
    Fact("idle_latency", "*", "4.15", _KERNEL + "admin-guide/pm/cpuidle.html"),
    Fact("turbo", "*", "any", _CPUFREQ),
    Fact("sysctl", "kernel.*", "any", _SCHEDULER),
    Fact("sysctl", "net.core.busy_*", "3.11", _NET),
    Fact("sysctl", "net.core.*", "any", _NET),
    Fact("sysctl", "net.*", "any", _TCP),
    Fact("sysctl", "vm.*", "any", _VM),
    Fact("sysctl", "*", "any", _KERNEL + "admin-guide/sysctl/index.html"),
    Fact("huge_pages", "*", "any", _PAGES),
    Fact("mount", "*", "any", _PAGES),
    Fact("interrupts", "*", "4.13 (effective affinity)", _KERNEL + "core-api/irq/irq-affinity.html"),
    Fact("environment", "irqbalance.service", "irqbalance 1.8", "irqbalance(1)"),
    Fact("watchdog", "*", "any", _SYSTEMD + "systemd-system.conf.html"),
    Fact("boot_trial", "*", "GRUB 2", "grub-reboot(8)"),
    Fact("unit", "*", "systemd", _UNIT),
    Fact("isolation", "boot", "any", _PARAMETERS),
    Fact("isolation", "partition", "6.1", _CGROUPS),
    Fact("threads", "*", "any", "sched_setaffinity(2)"),
    Fact("limits", "*", "any", "limits.conf(5)"),
    Fact("processes", "*", "any", "systemd.exec(5)"),
    Fact("fair_server", "*", "6.12", _KERNEL + "scheduler/sched-debug.html"),
    Fact("clocksource", "*", "any", _KERNEL + "timers/timekeeping.html"),
    Fact("network_card", "*", "any", "ethtool(8)"),
    Fact("network_link", "*", "systemd 251", "systemd.link(5)"),
    Fact("drop_in", "*", "any", ""),
    Fact("needrestart", "*", "any", "needrestart(1)"),
    Fact("apt_option", "*", "any", "apt.conf(5)"),
    Fact("timers", "*", "systemd", "systemd-system.conf(5)"),
    Fact("unnamed", "*", "any", "logrotate(8)"),
    Fact("file", "*", "any", ""),
)


def fact_of(kind: str, name: str) -> Fact | None:
    """Return what is known of a setting, None where nothing is: then it does not belong into a role yet."""
    for fact in FACTS:
        if fact.kind == kind and fnmatch.fnmatchcase(name, fact.names):
            return fact
    return None


@dataclass(frozen=True)
class Altered:
    """A common recommendation that is not followed as it stands: what is done instead, and why."""

    recommended: str
    instead: str
    reason: str


ALTERED: tuple[Altered, ...] = (
    Altered(
        "SCHED_FIFO 99 for the pipeline",
        "a low priority, or none",
        "99 belongs to the kernel's migration and watchdog threads; a thread alone on its core gains nothing by it",
    ),
    Altered(
        "CPU 0 isolated, or all CPUs",
        "refused; the core of CPU 0 is always housekeeping",
        "the boot CPU keeps time, takes interrupts that cannot be moved, and is never in nohz_full",
    ),
    Altered(
        "half a core isolated (one of two siblings)",
        "refused; whole cores, or the sibling off line (`core_plan_siblings_off`)",
        "whatever runs on the other sibling shares ports and caches with the isolated one",
    ),
    Altered(
        "fixed CPU numbers, the same for all hosts",
        "planned from each host's own topology",
        "siblings are numbered differently from machine to machine, and the network card sits on some node",
    ),
    Altered(
        "`isolcpus=2-5`",
        "`isolcpus=managed_irq,domain,LIST`",
        "naming any flag replaces the default, and without managed_irq drivers' own interrupts stay",
    ),
    Altered(
        "`/dev/cpu_dma_latency` held open at 0",
        "`cpu_power_latency_us` on the planned CPUs",
        "it holds for every CPU, and only while a process keeps it open",
    ),
    Altered(
        "irqbalance removed",
        "stopped and disabled, or kept with a ban list (`irq_affinity_irqbalance`)",
        "a package that was removed is not there to come back with undo",
    ),
    Altered(
        "every interrupt written to one mask once, at boot",
        "each one read back, those that cannot be moved told, later ones caught",
        "managed interrupts refuse, drivers start new ones where they like",
    ),
    Altered(
        "`net.ipv4.tcp_timestamps = 0`",
        "followed, and said to be a choice",
        "it costs PAWS and round-trip sampling; `sysctl_extra` takes it out",
    ),
    Altered(
        "`vm.dirty_ratio` with `vm.dirty_bytes`",
        "bytes only; both are refused",
        "the kernel keeps the one that was written last, and sets the other to 0",
    ),
    Altered(
        "transparent huge pages `always`",
        "`never`; `madvise` and `always` by choice",
        "khugepaged and the faults it causes stop whom they please",
    ),
    Altered(
        "`vm.swappiness = 0` as a protection from swapping",
        "followed, beside locked memory",
        "0 still swaps when memory runs out; only mlock keeps the pipeline in memory",
    ),
    Altered(
        "the whole `GRUB_CMDLINE_LINUX` replaced",
        "a drop-in of our own that appends",
        "a cloud image's console arguments, and everybody else's, would be lost",
    ),
)
