"""Keys and parameters that guides recommend and that do nothing, or harm: refused with the reason."""

from __future__ import annotations

import re

SYSCTL: tuple[tuple[str, str], ...] = (
    (r"net\.ipv4\.tcp_low_latency", "it has had no effect since kernel 4.14: remove it"),
    (
        r"kernel\.sched_(min|wakeup)_granularity_ns|kernel\.sched_latency_ns|kernel\.sched_migration_cost_ns"
        r"|kernel\.sched_tunable_scaling|kernel\.sched_nr_migrate",
        "the scheduler's knobs left sysctl in kernel 5.13 (debugfs has them)",
    ),
    (r"net\.ipv4\.tcp_tw_recycle", "it left the kernel in 4.12, and broke clients behind NAT before"),
    (r"vm\.nr_hugepages.*", "huge pages belong to the role huge_pages (huge_pages_count)"),
    (
        r"kernel\.sched_autogroup_enabled",
        "it has no effect on services, which run without a terminal session",
    ),
)

SYSCTL_VALUES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"kernel\.sched_rt_period_us",
        r"0",
        "the kernel takes no period of 0",
        "a period in microseconds, 1000000 by default",
    ),
    (
        r"kernel\.sched_rt_runtime_us",
        r"-1",
        "a spinning real-time task could then starve kernel threads of its CPU for ever",
        "950000 (the default), or less",
    ),
)

EXCLUSIVE_SYSCTL: tuple[tuple[str, str], ...] = (
    ("vm.dirty_bytes", "vm.dirty_ratio"),
    ("vm.dirty_background_bytes", "vm.dirty_background_ratio"),
)

KERNEL_PARAMETERS: tuple[tuple[str, str], ...] = (
    (
        "kthread_cpus",
        "no mainline kernel knows it: kernel threads follow isolcpus and nohz_full by themselves",
    ),
    ("kernel.sched_rt_runtime_us", "it is a sysctl key: use sysctl_settings"),
    ("elevator", "it has had no effect since kernel 5.0"),
    ("numa_balancing_migrate_deferred", "it left the kernel in 4.4"),
)

KERNEL_PARAMETER_VALUES: tuple[tuple[str, str, str, str], ...] = (
    (
        "idle",
        "poll",
        "it costs heat, turbo and the sibling thread on every CPU",
        "no idle= parameter; cpu_power_latency_us holds C-states off the planned CPUs only",
    ),
    (
        "processor.max_cstate",
        "0",
        "the driver reads it as 1",
        "processor.max_cstate=1, which says what it does",
    ),
)


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
    for pattern, reason in SYSCTL:
        if re.fullmatch(pattern, key):
            return reason, "the key left out"
    for pattern, bad, reason, valid in SYSCTL_VALUES:
        if re.fullmatch(pattern, key) and value == bad:
            return reason, valid
    return None


def kernel_parameter_refusal(name: str, value: str) -> tuple[str, str] | None:
    """Return (reason, what would be valid) where this parameter or value is refused."""
    for refused, reason in KERNEL_PARAMETERS:
        if name == refused:
            return reason, "the parameter left out"
    for refused, bad, reason, valid in KERNEL_PARAMETER_VALUES:
        if name == refused and value == bad:
            return reason, valid
    return None
