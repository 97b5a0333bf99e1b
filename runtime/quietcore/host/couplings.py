"""What a write to one target changes in another one, so that the other's original is kept before that write.

Known of the kernel, each with its source. What is not listed here is still looked at again after a run: a setting that
another write has disturbed is written once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .kinds.interrupts import read_interrupts
from .machine import AbsentError, Machine, UnreadableError
from .network_card import PARTS
from .targets import counterpart, read_target
from .threads import read_threads

_CPUS = "/sys/devices/system/cpu"
_POLICY = (
    "cpufreq/scaling_governor",
    "cpufreq/energy_performance_preference",
    "cpufreq/scaling_min_freq",
    "cpufreq/scaling_max_freq",
)
_IPV6 = "/proc/sys/net/ipv6/conf"
_IPV4_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/*/forwarding")
_WATCHDOGS = tuple(f"/proc/sys/kernel/{name}" for name in ("watchdog", "nmi_watchdog", "soft_watchdog"))
_FREQUENCIES = (f"{_CPUS}/cpu*/cpufreq/scaling_min_freq", f"{_CPUS}/cpu*/cpufreq/scaling_max_freq")
# (pattern of what is written, patterns of what that may change)
_DISTURBS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # net/ipv4/devinet.c, inet_forward_change: one switch for all is written to each.
    ("/proc/sys/net/ipv4/ip_forward", _IPV4_FORWARDING),
    ("/proc/sys/net/ipv4/conf/all/forwarding", _IPV4_FORWARDING),
    # net/ipv6/addrconf.c, addrconf_fixup_forwarding and addrconf_disable_ipv6.
    (f"{_IPV6}/all/forwarding", (f"{_IPV6}/*/forwarding",)),
    (f"{_IPV6}/all/disable_ipv6", (f"{_IPV6}/*/disable_ipv6",)),
    # kernel/watchdog.c: three views of the same bits.
    *((path, _WATCHDOGS) for path in _WATCHDOGS),
    # mm/khugepaged.c, set_recommended_min_free_kbytes.
    ("/sys/kernel/mm/transparent_hugepage/enabled", ("/proc/sys/vm/min_free_kbytes",)),
    # A limit on all frequencies moves those of each policy (drivers/cpufreq).
    (f"{_CPUS}/intel_pstate/no_turbo", _FREQUENCIES),
    (f"{_CPUS}/intel_pstate/max_perf_pct", _FREQUENCIES),
    (f"{_CPUS}/intel_pstate/min_perf_pct", _FREQUENCIES),
    (f"{_CPUS}/cpufreq/boost", _FREQUENCIES),
)


def disturbed(machine: Machine, target: str) -> list[str]:
    """Return the other targets that a write to this one may change, threads aside. Raises UnreadableError."""
    kind, _, address = target.partition(":")
    if kind == "network":
        interface, _, part = address.partition(":")
        # Drivers start their queues again with other tables and times when these are changed.
        others = PARTS if part in ("channels", "ring") else ()
        return [f"network:{interface}:{other}" for other in others if other != part]
    if kind == "partition":  # kernel 6.12 takes its CPUs out of the unbound workqueues
        return ["value:/sys/devices/virtual/workqueue/cpumask"]
    if kind != "value":
        return []
    found = [f"value:{path}" for path in _paths(machine, address) if path != address]
    return list(dict.fromkeys([*found, *_interrupts_of_a_cpu(machine, address)]))


def originals(machine: Machine, target: str) -> Iterator[tuple[str, Any]]:
    """Yield (target, what it holds) of everything that a write to this target may change.

    Raises UnreadableError where one of them cannot be read: nobody could put it back.
    """
    for other in disturbed(machine, target):
        try:
            value = read_target(machine, other)
        except UnreadableError:
            if other.startswith("network:"):
                continue  # what ethtool does not show of a card, it could not set either
            raise
        if value is not None:
            yield other, value
    yield from _threads_of_a_cpu(machine, target)


def _paths(machine: Machine, path: str) -> Iterator[str]:
    other = counterpart(path)
    if other is not None:
        yield other
    for pattern, others in _DISTURBS:
        if path == pattern:
            for item in others:
                yield from machine.glob(item)
    if "/hugepages/hugepages-" in path and path.startswith("/sys/kernel/mm/"):
        # The kernel spreads the machine's number over the nodes as it likes: what each had is the original.
        size = path.split("/")[-2]
        yield from machine.glob(f"/sys/devices/system/node/node[0-9]*/hugepages/{size}/nr_hugepages")
    cpu, _, name = path.removeprefix(f"{_CPUS}/cpu").partition("/")
    if path.startswith(f"{_CPUS}/cpu") and cpu.isdecimal():
        yield from _of_a_cpu(machine, cpu, name)


def _of_a_cpu(machine: Machine, cpu: str, name: str) -> Iterator[str]:
    if name == "online":
        yield from (f"{_CPUS}/cpu{cpu}/{other}" for other in (*_POLICY, "power/pm_qos_resume_latency_us"))
    if name not in _POLICY:
        return
    # CPUs of one frequency policy have the same files: what one is told, all of them show.
    try:
        together = machine.read(f"{_CPUS}/cpu{cpu}/cpufreq/related_cpus").split()
    except (AbsentError, UnreadableError):
        together = [cpu]
    for other in together:
        yield from (f"{_CPUS}/cpu{other}/{item}" for item in _POLICY)


def _cpu_of_switch(target: str) -> str:
    """Return the CPU whose switch `online` a target is, else an empty text."""
    words = target.partition(":")[2].split("/")
    is_switch = words[:5] == _CPUS.split("/") and words[6:] == ["online"] and words[5][:3] == "cpu"
    return words[5][3:] if is_switch else ""


def _interrupts_of_a_cpu(machine: Machine, path: str) -> list[str]:
    """Return the interrupts that may arrive on this CPU only: taken off line, it loses them to all others."""
    cpu = _cpu_of_switch(f"value:{path}")
    try:
        interrupts = read_interrupts(machine) if cpu.isdecimal() else []
    except AbsentError:
        return []
    return [f"irq:{item.number}:{item.name}" for item in interrupts if item.allowed == {int(cpu)}]


def _threads_of_a_cpu(machine: Machine, target: str) -> Iterator[tuple[str, Any]]:
    """Yield the masks of threads that may run on this CPU only: the kernel gives them all CPUs when it goes."""
    cpu = _cpu_of_switch(target)
    if not cpu.isdecimal():
        return
    try:
        alone = [item for item in read_threads(machine) if item.allowed == {int(cpu)} and not item.bound]
    except AbsentError:
        return
    except OSError as error:
        raise UnreadableError(f"/proc: {error.strerror}") from error
    if alone:
        yield f"threads:cpu{cpu}:{machine.boot_id[:8]}:{alone[0].key}", {item.key: cpu for item in alone}
