"""Keys and parameters that guides recommend and that do nothing, or harm: refused with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """What is refused: `pattern` is matched with the key or parameter, `value` (None: any) with what it is to be.

    `label` is how guides write it, `instead` what is valid.
    """

    label: str
    pattern: str
    reason: str
    instead: str
    value: str | None = None

    def concerns(self, name: str, value: str) -> bool:
        """Tell whether this refuses that value of that name."""
        return re.fullmatch(self.pattern, name) is not None and self.value in (None, value)


_KEY_OUT = "the key left out"
_OUT = "the parameter left out"

SYSCTL: tuple[Refusal, ...] = (
    Refusal(
        "`net.ipv4.tcp_low_latency = 1`",
        r"net\.ipv4\.tcp_low_latency",
        "it has had no effect since kernel 4.14: remove it",
        _KEY_OUT,
    ),
    Refusal(
        "`kernel.sched_min_granularity_ns`, `sched_wakeup_granularity_ns`, `sched_latency_ns`, "
        "`sched_migration_cost_ns`, `sched_tunable_scaling`, `sched_nr_migrate`",
        r"kernel\.sched_((min|wakeup)_granularity_ns|latency_ns|migration_cost_ns|tunable_scaling|nr_migrate)",
        "the scheduler's knobs left sysctl in kernel 5.13 (debugfs has them)",
        _KEY_OUT,
    ),
    Refusal(
        "`net.ipv4.tcp_tw_recycle = 1`",
        r"net\.ipv4\.tcp_tw_recycle",
        "it left the kernel in 4.12, and broke clients behind NAT before",
        _KEY_OUT,
    ),
    Refusal(
        "`vm.nr_hugepages`",
        r"vm\.nr_hugepages.*",
        "huge pages belong to the role huge_pages (huge_pages_count)",
        _KEY_OUT,
    ),
    Refusal(
        "`kernel.sched_autogroup_enabled = 0`",
        r"kernel\.sched_autogroup_enabled",
        "it has no effect on services, which run without a terminal session",
        _KEY_OUT,
    ),
    Refusal(
        "`kernel.sched_rt_period_us = 0`",
        r"kernel\.sched_rt_period_us",
        "the kernel takes no period of 0",
        "a period in microseconds, 1000000 by default",
        "0",
    ),
    Refusal(
        "`kernel.sched_rt_runtime_us = -1`",
        r"kernel\.sched_rt_runtime_us",
        "a spinning real-time task could then starve kernel threads of its CPU for ever",
        "950000 (the default), or less",
        "-1",
    ),
)

EXCLUSIVE_SYSCTL: tuple[tuple[str, str], ...] = (
    ("vm.dirty_bytes", "vm.dirty_ratio"),
    ("vm.dirty_background_bytes", "vm.dirty_background_ratio"),
    ("vm.overcommit_kbytes", "vm.overcommit_ratio"),
)

# (one key and its value, others and their value): the kernel cannot hold these together, writing either undoes the
# other. kernel/watchdog.c: `watchdog` is on where one of the two is. net/ipv4/devinet.c: two names of one switch.
CONTRADICTING_SYSCTL: tuple[tuple[tuple[str, str], tuple[tuple[str, str], ...]], ...] = (
    (("kernel.watchdog", "0"), (("kernel.nmi_watchdog", "1"),)),
    (("kernel.watchdog", "0"), (("kernel.soft_watchdog", "1"),)),
    (("kernel.watchdog", "1"), (("kernel.nmi_watchdog", "0"), ("kernel.soft_watchdog", "0"))),
    (("net.ipv4.ip_forward", "0"), (("net.ipv4.conf.all.forwarding", "1"),)),
    (("net.ipv4.ip_forward", "1"), (("net.ipv4.conf.all.forwarding", "0"),)),
)

KERNEL_PARAMETERS: tuple[Refusal, ...] = (
    Refusal(
        "`kthread_cpus=`",
        "kthread_cpus",
        "no mainline kernel knows it: kernel threads follow isolcpus and nohz_full by themselves",
        _OUT,
    ),
    Refusal(
        "`kernel.sched_rt_runtime_us=` on the command line",
        r"kernel\.sched_rt_runtime_us",
        "it is a sysctl key: use sysctl_settings",
        _OUT,
    ),
    Refusal("`elevator=noop`", "elevator", "it has had no effect since kernel 5.0", _OUT),
    Refusal(
        "`numa_balancing_migrate_deferred=`",
        "numa_balancing_migrate_deferred",
        "it left the kernel in 4.4",
        _OUT,
    ),
    Refusal(
        "`idle=poll`",
        "idle",
        "it costs heat, turbo and the sibling thread on every CPU",
        "no idle= parameter; cpu_power_latency_us holds C-states off the planned CPUs only",
        "poll",
    ),
    Refusal(
        "`processor.max_cstate=0`",
        r"processor\.max_cstate",
        "the driver reads it as 1",
        "processor.max_cstate=1, which says what it does",
        "0",
    ),
)

KERNEL_PARAMETER_CHOICES: dict[str, tuple[str, ...]] = {
    "mitigations": ("auto", "auto,nosmt", "off"),
    "transparent_hugepage": ("always", "madvise", "never"),
}

# (parameter, form of its value, least kernel): an older one would take it for something else.
KERNEL_PARAMETER_LEAST: tuple[tuple[str, str, tuple[int, int]], ...] = (("hugepages", r".*:.*", (5, 16)),)


def kernel_parameter_least(name: str, value: str) -> tuple[int, int]:
    """Return the least kernel (major, minor) that understands this parameter with this value."""
    for refused, form, least in KERNEL_PARAMETER_LEAST:
        if name == refused and re.fullmatch(form, value):
            return least
    return (0, 0)


def sysctl_refusal(key: str, value: str) -> tuple[str, str] | None:
    """Return (reason, what would be valid) where this key or value is refused."""
    return _first(SYSCTL, key, value)


def kernel_parameter_refusal(name: str, value: str) -> tuple[str, str] | None:
    """Return (reason, what would be valid) where this parameter or value is refused."""
    found = _first(KERNEL_PARAMETERS, name, value)
    if found is not None:
        return found
    choices = KERNEL_PARAMETER_CHOICES.get(name)
    if choices is not None and value not in choices:
        return "the kernel takes no such value, and would boot with its default", " or ".join(choices)
    return None


def _first(refusals: tuple[Refusal, ...], name: str, value: str) -> tuple[str, str] | None:
    for refusal in refusals:
        if refusal.concerns(name, value):
            return refusal.reason, refusal.instead
    return None


# Threaded interrupts run at 50 by default; migration and watchdog threads at 99.
PRIORITY_BELOW = 50


def priority_refusal(value: str) -> tuple[str, str] | None:
    """Return (reason, what would be valid) where this real-time priority is refused."""
    if value.isdecimal() and 0 < int(value) < PRIORITY_BELOW:
        return None
    reason = "not a real-time priority"
    if value.isdecimal() and int(value) >= PRIORITY_BELOW:
        reason = (
            f"real-time priority {value} is refused: at {PRIORITY_BELOW} and above it stops the kernel's own threads "
            "(interrupts run at 50, migration and watchdogs at 99)"
        )
    return (
        reason,
        f"1 to {PRIORITY_BELOW - 1}; a lone thread on an isolated CPU gains nothing from a high one",
    )
