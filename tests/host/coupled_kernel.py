"""A kernel in memory whose values depend on each other, as those of real ones do; written from the kernel's sources.

Every walk gets a dialect of its own: what one driver refuses another bounds, what one forgets another keeps.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import random
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quietcore.host.cpulist import format_cpu_list, format_cpu_mask, parse_cpu_list
from quietcore.host.machine import AbsentError, Machine
from quietcore.host.topology import Topology

CPU = "/sys/devices/system/cpu"
PAGES = "hugepages/hugepages-2048kB/nr_hugepages"
NODE = "/sys/devices/system/node/node"
CPUS, LEVELS, NOMINAL, ROOM = 4, 8, 6, 100
GOVERNORS = ("performance", "powersave", "schedutil")
PREFERENCES = ("balance_performance", "performance", "power")
PAIRS = {"dirty_bytes": "dirty_ratio", "dirty_background_bytes": "dirty_background_ratio"}
WATCHDOGS = ("watchdog", "nmi_watchdog", "soft_watchdog")
FORWARDING = tuple(f"/proc/sys/net/ipv4/conf/{name}/forwarding" for name in ("all", "default", "eth0"))


@dataclass(frozen=True)
class Dialect:
    """How this kernel and its drivers behave where they may choose."""

    shared_policies: bool
    refuses_min_over_max: bool
    preference_busy: bool
    governor_resets_preference: bool
    governor_resets_frequencies: bool
    turbo_gives_back: bool
    offline_forgets: bool
    channels_reset_times: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Dialect:
        return cls(*(rng.random() < 0.5 for _ in range(8)))


@dataclass
class Policy:
    """What a frequency driver knows of one or two CPUs."""

    governor: str
    preference: str
    least: int
    most: int


@dataclass
class State:
    """Everything that a write may change."""

    policies: list[Policy]
    online: list[bool]
    latency: list[str]
    no_turbo: bool
    values: dict[str, str]
    nodes: list[int]
    interrupts: dict[int, frozenset[int]]
    channels: int
    ring: int
    equal: int
    usecs: int
    adaptive: str
    configured: bool = field(default=False, compare=False)  # no tool shows it, and none sets it back


def draw_state(rng: random.Random) -> State:
    """Return a state that a kernel could be in."""
    no_turbo = rng.random() < 0.3
    top = NOMINAL if no_turbo else LEVELS
    policies = []
    for _ in range(CPUS):
        governor = rng.choice(GOVERNORS)
        preference = "performance" if governor == "performance" else rng.choice(PREFERENCES)
        least, most = sorted((rng.randint(1, top), rng.randint(1, top)))
        policies.append(Policy(governor, preference, least, most))
    period = rng.choice((500_000, 1_000_000, 2_000_000))
    values = {
        "/proc/sys/kernel/sched_rt_period_us": str(period),
        "/proc/sys/kernel/sched_rt_runtime_us": str(rng.randrange(100_000, period + 1, 50_000)),
        "/proc/sys/kernel/rounds": str(4 * rng.randint(1, 9)),
        "/proc/sys/vm/swappiness": str(rng.randint(0, 100)),
        "/sys/kernel/mm/transparent_hugepage/enabled": rng.choice(("always", "madvise", "never")),
    }
    values["/proc/sys/vm/min_free_kbytes"] = _min_free(values)
    for size, ratio in PAIRS.items():
        in_bytes = rng.random() < 0.5
        values[f"/proc/sys/vm/{size}"] = str(8192 * rng.randint(1, 99)) if in_bytes else "0"
        values[f"/proc/sys/vm/{ratio}"] = "0" if in_bytes else str(rng.randint(1, 60))
    soft, nmi = rng.random() < 0.5, rng.random() < 0.5
    for name, on in zip(WATCHDOGS, (soft or nmi, nmi, soft), strict=True):
        values[f"/proc/sys/kernel/{name}"] = str(int(on))
    forward = rng.choice("01")
    values["/proc/sys/net/ipv4/ip_forward"] = values[FORWARDING[0]] = forward
    values[FORWARDING[1]], values[FORWARDING[2]] = rng.choice("01"), rng.choice("01")
    channels = rng.choice((2, 4, 8))
    everyone = frozenset(range(CPUS))
    return State(
        policies=policies,
        online=[True] * CPUS,
        latency=[rng.choice(("0", "5", "n/a")) for _ in range(CPUS)],
        no_turbo=no_turbo,
        values=values,
        nodes=[rng.randint(0, 40), rng.randint(0, 40)],
        interrupts={
            number: rng.choice((everyone, frozenset({rng.randrange(CPUS)}), frozenset({0, 2})))
            for number in (24, 25, 26)
        },
        channels=channels,
        ring=rng.choice((256, 512, 1024)),
        equal=channels,
        usecs=rng.choice((8, 50)),
        adaptive=rng.choice(("on", "off")),
    )


def _min_free(values: dict[str, str]) -> str:
    return "45056" if values["/sys/kernel/mm/transparent_hugepage/enabled"] == "never" else "67584"


class CoupledKernel:
    """Answers reads and writes of its state. `refusing` are paths that refuse every write, with their error."""

    def __init__(self, dialect: Dialect, state: State) -> None:
        self.dialect = dialect
        self.refusing: dict[str, int] = {}
        self.boot(state)

    def boot(self, state: State) -> None:
        """Start with this state."""
        self.state = state
        if self.dialect.shared_policies:
            state.policies[1], state.policies[3] = state.policies[0], state.policies[2]

    def read(self, path: str) -> str | None:
        """Return what a file shows, None where it is not there."""
        state = self.state
        if path in state.values:
            return state.values[path]
        if path == "/sys/kernel/mm/" + PAGES:
            return str(sum(state.nodes))
        if path.startswith(NODE) and path.endswith(PAGES):
            return str(state.nodes[int(path[len(NODE)])])
        if path == f"{CPU}/intel_pstate/no_turbo":
            return str(int(state.no_turbo))
        if path.startswith(f"{CPU}/cpu") and path[len(f"{CPU}/cpu")].isdecimal():
            cpu, _, name = path.removeprefix(f"{CPU}/cpu").partition("/")
            return self._read_cpu(int(cpu), name)
        if path == "/proc/interrupts":
            head = "".join(f"  CPU{cpu}" for cpu in range(CPUS) if state.online[cpu])
            rows = [
                f"{n}:" + "  0" * sum(state.online) + f"  PCI-MSI  1-edge  eth0-{n}" for n in state.interrupts
            ]
            return "\n".join([head, *rows, ""])
        if path.startswith("/proc/irq/"):
            cpus = state.interrupts.get(int(path.split("/")[3]))
            if cpus is None:
                return None
            return format_cpu_mask(cpus) if path.endswith("/smp_affinity") else format_cpu_list(cpus)
        return {"/proc/sys/kernel/random/boot_id": "boot", "/proc/sys/kernel/osrelease": "6.1.0"}.get(path)

    def _read_cpu(self, cpu: int, name: str) -> str | None:
        state = self.state
        if name == "online":
            return str(int(state.online[cpu])) if cpu else None
        if name == "power/pm_qos_resume_latency_us":
            return state.latency[cpu]
        if not state.online[cpu]:
            return None
        policy = state.policies[cpu]
        together = [cpu - cpu % 2, cpu - cpu % 2 + 1] if self.dialect.shared_policies else [cpu]
        return {
            "cpufreq/scaling_governor": policy.governor,
            "cpufreq/energy_performance_preference": policy.preference,
            "cpufreq/scaling_min_freq": str(policy.least),
            "cpufreq/scaling_max_freq": str(policy.most),
            "cpufreq/scaling_available_governors": " ".join(GOVERNORS),
            "cpufreq/energy_performance_available_preferences": " ".join(PREFERENCES),
            "cpufreq/related_cpus": " ".join(map(str, together)),
        }.get(name)

    def paths(self) -> list[str]:
        """Return every path that may be found by a pattern."""
        return [
            *self.state.values,
            *(f"{CPU}/cpu{cpu}/cpufreq/scaling_{end}_freq" for cpu in range(CPUS) for end in ("min", "max")),
            *(f"{NODE}{node}/{PAGES}" for node in (0, 1)),
        ]

    def write(self, path: str, value: str) -> None:
        """Take a value, another one for it, or refuse; and change what else that changes."""
        if path in self.refusing:
            raise OSError(self.refusing[path], os.strerror(self.refusing[path]))
        if self.read(path) is None:
            raise OSError(errno.ENOENT, "No such file or directory")
        state, name = self.state, path.rpartition("/")[2]
        if path.startswith("/proc/irq/"):
            cpus = parse_cpu_list(value) if name == "smp_affinity_list" else _mask(value)
            if not any(state.online[cpu] for cpu in cpus):
                raise OSError(errno.EINVAL, "Invalid argument")
            state.interrupts[int(path.split("/")[3])] = cpus
        elif path.startswith(f"{CPU}/cpu"):
            cpu, _, name = path.removeprefix(f"{CPU}/cpu").partition("/")
            self._write_cpu(int(cpu), name, value)
        elif name == "no_turbo":
            self._write_turbo(value == "1")
        elif name == "nr_hugepages":
            self._write_pages(path, int(value))
        else:
            self._write_value(path, name, value)

    def _write_cpu(self, cpu: int, name: str, value: str) -> None:
        state, policy, dialect = self.state, self.state.policies[cpu], self.dialect
        if name == "online":
            self._switch(cpu, value == "1")
        elif name == "power/pm_qos_resume_latency_us":
            state.latency[cpu] = value
        elif name == "cpufreq/scaling_governor":
            was, policy.governor = policy.governor, value
            if value == "performance":
                policy.preference = "performance"
            elif was == "performance" and dialect.governor_resets_preference:
                policy.preference = "balance_performance"
            if was != value and dialect.governor_resets_frequencies:
                policy.least, policy.most = 1, NOMINAL if state.no_turbo else LEVELS
        elif name == "cpufreq/energy_performance_preference":
            if policy.governor == "performance" and value != "performance" and dialect.preference_busy:
                raise OSError(errno.EBUSY, "Device or resource busy")
            policy.preference = value
        elif name == "cpufreq/scaling_min_freq":
            level = min(int(value), NOMINAL if state.no_turbo else LEVELS)
            if level > policy.most and dialect.refuses_min_over_max:
                raise OSError(errno.EINVAL, "Invalid argument")
            policy.least, policy.most = level, max(level, policy.most)
        else:
            level = min(int(value), NOMINAL if state.no_turbo else LEVELS)
            if level < policy.least and dialect.refuses_min_over_max:
                raise OSError(errno.EINVAL, "Invalid argument")
            policy.most, policy.least = level, min(level, policy.least)

    def _switch(self, cpu: int, online: bool) -> None:
        state = self.state
        if online == state.online[cpu]:
            return
        state.online[cpu] = online
        alone = not self.dialect.shared_policies or not state.online[cpu ^ 1]
        if online and alone and self.dialect.offline_forgets:
            policy = state.policies[cpu]
            policy.governor, policy.preference = "schedutil", "balance_performance"
            policy.least, policy.most = 1, NOMINAL if state.no_turbo else LEVELS
        if not online:
            rest = frozenset(number for number in range(CPUS) if state.online[number])
            for number, cpus in state.interrupts.items():
                if not cpus & rest:
                    state.interrupts[number] = rest

    def _write_turbo(self, off: bool) -> None:
        was, self.state.no_turbo = self.state.no_turbo, off
        for policy in self.state.policies:
            if off:
                policy.least, policy.most = min(policy.least, NOMINAL), min(policy.most, NOMINAL)
            elif was and self.dialect.turbo_gives_back:
                policy.most = LEVELS

    def _write_pages(self, path: str, count: int) -> None:
        nodes = self.state.nodes
        if path.startswith(NODE):
            nodes[int(path[len(NODE)])] = min(count, ROOM)
            return
        # The kernel takes them from, and puts them on, one node after the other.
        while sum(nodes) < min(count, 2 * ROOM):
            nodes[0 if nodes[0] <= nodes[1] else 1] += 1
        while sum(nodes) > count:
            nodes[0 if nodes[0] >= nodes[1] else 1] -= 1

    def _write_value(self, path: str, name: str, value: str) -> None:
        values = self.state.values
        if name in PAIRS and value == "0":
            raise OSError(errno.EINVAL, "Invalid argument")
        if name == "sched_rt_runtime_us" and int(value) > int(values["/proc/sys/kernel/sched_rt_period_us"]):
            raise OSError(errno.EINVAL, "Invalid argument")
        if name == "sched_rt_period_us" and int(value) < int(values["/proc/sys/kernel/sched_rt_runtime_us"]):
            raise OSError(errno.EINVAL, "Invalid argument")
        values[path] = str(-(-int(value) // 4) * 4) if name == "rounds" else value
        for pair in (PAIRS, {ratio: size for size, ratio in PAIRS.items()}):
            if name in pair:
                values[f"/proc/sys/vm/{pair[name]}"] = "0"
        if name == "watchdog":
            values.update({f"/proc/sys/kernel/{other}": value for other in WATCHDOGS})
        elif name in WATCHDOGS:
            on = [values[f"/proc/sys/kernel/{other}"] == "1" for other in WATCHDOGS[1:]]
            values["/proc/sys/kernel/watchdog"] = str(int(any(on)))
        elif name == "enabled":
            values["/proc/sys/vm/min_free_kbytes"] = _min_free(values)
        elif path in ("/proc/sys/net/ipv4/ip_forward", FORWARDING[0]):
            values.update(dict.fromkeys(("/proc/sys/net/ipv4/ip_forward", *FORWARDING), value))

    def ethtool(self, words: Sequence[str], step: Callable[[str], None]) -> subprocess.CompletedProcess[str]:
        """Answer as ethtool does for a card whose channels, table and times depend on each other."""
        state, option, rest = self.state, words[1], words[3:]
        maxima = "Pre-set maximums:\n{}\nCurrent hardware settings:\n{}\n"
        shown = {
            "-g": maxima.format("RX: 4096", f"RX: {state.ring}"),
            "-l": maxima.format("Combined: 8", f"Combined: {state.channels}"),
            "-c": f"Adaptive RX: {state.adaptive}  TX: off\nrx-usecs: {state.usecs}\n",
            "-k": "generic-receive-offload: on [fixed]\n",
            "-x": f"table for eth0 with {state.channels} RX ring(s):\n 0: "
            + " ".join(str(index % state.equal) for index in range(8)),
        }
        if option in shown:
            return subprocess.CompletedProcess(words, 0, shown[option], "")
        step(f"ethtool {option}")
        given = dict(zip(rest[::2], rest[1::2], strict=False))
        if option == "-L":
            wanted = int(given["combined"])
            if state.configured and state.equal > wanted:
                return subprocess.CompletedProcess(words, 1, "", "too low for existing indirection table")
            state.channels = wanted
            if not state.configured:
                state.equal = wanted
            if self.dialect.channels_reset_times:
                state.usecs, state.adaptive = 20, "on"
        elif option == "-X":
            wanted = int(given.get("equal", state.channels))
            if wanted > state.channels:
                return subprocess.CompletedProcess(words, 1, "", "Invalid argument")
            state.equal, state.configured = wanted, "equal" in given
        elif option == "-G":
            state.ring = 1 << (int(given["rx"]) - 1).bit_length()
        else:
            state.usecs = int(given.get("rx-usecs", state.usecs))
            state.adaptive = given.get("adaptive-rx", state.adaptive)
        return subprocess.CompletedProcess(words, 0, "", "")


def _mask(text: str) -> frozenset[int]:
    return frozenset(bit for bit in range(CPUS) if int(text, 16) >> bit & 1)


class CoupledMachine(Machine):
    """The kernel in memory, and a folder for the files. `step` is called before each write of any kind."""

    def __init__(
        self, root: Path, kernel: CoupledKernel, topology: Topology, step: Callable[[str], None]
    ) -> None:
        super().__init__(root, run=self._program, live=True)
        self._kernel, self.step = kernel, step
        self.topology = topology

    def _program(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if words[0] == "ethtool":
            return self._kernel.ethtool(words, self.step)
        return subprocess.CompletedProcess(words, 0, "", "")

    def exists(self, path: str) -> bool:
        """Tell whether the kernel, or the folder, has it."""
        if path.startswith(("/proc/", "/sys/")):
            return self._kernel.read(path) is not None
        return super().exists(path)

    def glob(self, pattern: str) -> list[str]:
        """Return the kernel's paths of a pattern, each component for itself."""
        return sorted(
            path
            for path in self._kernel.paths()
            if path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
        )

    def read_raw(self, path: str) -> str:
        """Read from the kernel, or from the folder."""
        if not path.startswith(("/proc/", "/sys/")):
            return super().read_raw(path)
        found = self._kernel.read(path)
        if found is None:
            raise AbsentError(f"{path} does not exist")
        return found

    def write_value(self, path: str, value: str) -> None:
        """Write to the kernel."""
        self.step(path)
        self._kernel.write(path, value)

    def replace_file(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file."""
        self.step(path)
        super().replace_file(path, content, mode)

    def remove_file(self, path: str) -> None:
        """Remove a file."""
        if super().exists(path):
            self.step(path)
        super().remove_file(path)
