"""Promises as the roles make them, for the fake host."""

from __future__ import annotations

from typing import Any

Setting = dict[str, Any]


def setting(name: str, kind: str, address: str, wanted: object, **more: Any) -> Setting:
    return {"id": name, "kind": kind, "name": address, "wanted": wanted, "why": "for the test", **more}


BOOT = [
    setting("boot.isolcpus", "kernel_parameter", "isolcpus", "managed_irq,domain,3-5"),
    setting("boot.nohz_full", "kernel_parameter", "nohz_full", "3-5"),
    setting("boot.rcu_nocbs", "kernel_parameter", "rcu_nocbs", "3-5"),
    setting("boot.irqaffinity", "kernel_parameter", "irqaffinity", "0-2"),
    setting("boot.skew_tick", "kernel_parameter", "skew_tick", 1),
    setting("boot.fallback", "boot_trial", "grub", "one-shot", options={"minutes": 5, "units": []}),
    setting(
        "boot.workqueue",
        "value",
        "/sys/devices/virtual/workqueue/cpumask",
        "0-2",
        options={"format": "cpu_mask"},
    ),
]
PAGES = [
    setting("pages.reserved", "huge_pages", "2048", 64),
    setting("pages.transparent", "value", "/sys/kernel/mm/transparent_hugepage/enabled", "never"),
]
SYSCTL = [
    setting("sysctl.swappiness", "sysctl", "vm.swappiness", "0"),
    setting("sysctl.tcp_rmem", "sysctl", "net.ipv4.tcp_rmem", "4096 131072 134217728"),
]
INTERRUPTS = [
    setting("irq.balancer", "unit", "irqbalance.service", "off"),
    setting("irq.network", "interrupts", "network", "2"),
    setting("irq.all", "interrupts", "all", "0-2"),
]
POWER = [
    setting("power.governor", "per_cpu", "cpufreq/scaling_governor", "performance", options={"cpus": "3-5"})
]
HOST = [
    setting("host.file", "file", "/etc/systemd/system/quietcore-host.service", "[Service]\n"),
    setting("host.unit", "unit", "quietcore-host.service", "enabled"),
]
ROLES: dict[str, list[Setting]] = {
    "boot_params": BOOT,
    "host_state": HOST,
    "huge_pages": PAGES,
    "irq_affinity": INTERRUPTS,
    "sysctl": SYSCTL,
}
