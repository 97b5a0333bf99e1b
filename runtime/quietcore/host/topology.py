"""What the machine is made of: CPUs, physical cores, packages, memory nodes, and where its network card sits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .cpulist import format_cpu_list, parse_cpu_list
from .tree import FolderTree, Tree

_CPUS = "/sys/devices/system/cpu"
_NODES = "/sys/devices/system/node"
# A core with less than this part of the fastest core's capacity is an efficiency core; favoured cores of one
# kind differ by a few percent only.
_EFFICIENT_CAPACITY = 0.75


@dataclass(frozen=True)
class Cpu:
    """One logical CPU. `core` is the lowest-numbered CPU of the same physical core, online or not."""

    number: int
    core: int
    package: int = 0
    node: int = 0
    online: bool = True
    efficient: bool = False  # an efficiency core of a hybrid processor


@dataclass(frozen=True)
class Topology:
    """The machine as the core planner sees it."""

    cpus: tuple[Cpu, ...]
    memory_kib: int = 0  # 0: not known
    interface: str = ""  # the network interface whose node is meant; empty: none found
    interface_node: int = -1  # -1: not known
    distances: tuple[tuple[int, ...], ...] = ()  # between nodes, as the firmware states them
    node_memory_kib: tuple[int, ...] = ()  # by node; 0: not known
    rotating_disk: str = ""  # the disk below / where it is a rotating one

    def online(self) -> tuple[Cpu, ...]:
        """Return the CPUs that run."""
        return self._online

    def cores(self) -> dict[int, tuple[Cpu, ...]]:
        """Return the running CPUs of each physical core, by the core's number."""
        return dict(self._cores)

    def nodes(self) -> tuple[int, ...]:
        """Return the numbers of the memory nodes that have CPUs running."""
        return tuple(sorted({cpu.node for cpu in self.online()}))

    def siblings(self, number: int) -> frozenset[int]:
        """Return the running CPUs that share a physical core with this one, itself included."""
        return self._siblings.get(number, frozenset())

    def distance(self, node: int, other: int) -> int:
        """Return how far two nodes are apart: 10 within a node, 20 where the firmware does not say."""
        try:
            return self.distances[node][other]
        except IndexError:
            return 10 if node == other else 20

    def memory_of(self, node: int) -> int:
        """Return a memory node's size in KiB, 0 where it is not known."""
        return self.node_memory_kib[node] if node < len(self.node_memory_kib) else 0

    def to_json(self) -> dict[str, Any]:
        """Return a description that `descriptions.from_json` reads back."""
        return {
            "cpus": [asdict(cpu) for cpu in self.cpus],
            "memory_kib": self.memory_kib,
            "interface": self.interface,
            "interface_node": self.interface_node,
            "distances": [list(row) for row in self.distances],
            "node_memory_kib": list(self.node_memory_kib),
            "rotating_disk": self.rotating_disk,
        }

    @cached_property
    def _online(self) -> tuple[Cpu, ...]:
        return tuple(cpu for cpu in self.cpus if cpu.online)

    @cached_property
    def _cores(self) -> dict[int, tuple[Cpu, ...]]:
        cores: dict[int, list[Cpu]] = {}
        for cpu in self._online:
            cores.setdefault(cpu.core, []).append(cpu)
        return {core: tuple(cpus) for core, cpus in sorted(cores.items())}

    @cached_property
    def _siblings(self) -> dict[int, frozenset[int]]:
        groups = [frozenset(cpu.number for cpu in cpus) for cpus in self._cores.values()]
        return {number: group for group in groups for number in group}


def read_topology(source: Path | str | Tree = "/", interface: str = "") -> Topology:
    """Read the topology from sysfs and procfs, below a root or in a listing.

    `interface` names the network card that market data arrives on; empty: the one of the default route.
    Raises QuietcoreError (could not tell) where there is no readable description of the CPUs.
    """
    tree: Tree = FolderTree(source) if isinstance(source, (Path, str)) else source
    present_text = tree.text(f"{_CPUS}/present") or tree.text(f"{_CPUS}/possible")
    online_text = tree.text(f"{_CPUS}/online")
    if not present_text or not online_text:
        raise QuietcoreError(
            "the machine's CPUs cannot be read",
            where=tree.shown(_CPUS),
            expected="the files present and online",
            remedy="run on Linux, or give a saved description",
            code=ExitCode.UNKNOWN,
        )
    online = parse_cpu_list(online_text)
    nodes = {int(name[4:]): f"{_NODES}/{name}" for name in tree.names(_NODES, "node[0-9]*")}
    node_of = {
        number: node
        for node, folder in nodes.items()
        for number in parse_cpu_list(tree.text(f"{folder}/cpulist") or "")
    }
    rows = range(max(nodes, default=-1) + 1)
    name = interface or _default_interface(tree)
    return Topology(
        cpus=_cpus(tree, parse_cpu_list(present_text) | online, online, node_of),
        memory_kib=_memory_kib(tree.text("/proc/meminfo")),
        interface=name,
        interface_node=_interface_node(tree, name, required=bool(interface)),
        distances=tuple(
            tuple(int(word) for word in (tree.text(f"{nodes.get(node)}/distance") or "").split())
            for node in rows
        ),
        node_memory_kib=tuple(_memory_kib(tree.text(f"{nodes.get(node)}/meminfo")) for node in rows),
        rotating_disk=_rotating_disk(tree),
    )


def with_siblings_off(topology: Topology, plan: Any) -> Topology:
    """Return the topology with those CPUs running that an earlier plan (its JSON) took off line.

    The kernel forgets the core of a CPU that is off, so without this each plan would differ from the last.
    What is no plan is no memory.
    """
    try:
        off = set(plan["siblings_off"])
        kept = {cpu["number"]: cpu for cpu in plan["topology"]["cpus"] if cpu["number"] in off}
        cpus = tuple(
            cpu if cpu.online or cpu.number not in kept else Cpu(**{**kept[cpu.number], "online": True})
            for cpu in topology.cpus
        )
    except (KeyError, TypeError):
        return topology
    return replace(topology, cpus=cpus)


def _cpus(
    tree: Tree, numbers: frozenset[int], online: frozenset[int], node_of: dict[int, int]
) -> tuple[Cpu, ...]:
    efficient = _efficient(tree, numbers)
    cpus: list[Cpu] = []
    for number in sorted(numbers):
        folder = f"{_CPUS}/cpu{number}/topology"
        siblings_text = tree.text(f"{folder}/core_cpus_list") or tree.text(f"{folder}/thread_siblings_list")
        if number in online and not siblings_text:
            raise QuietcoreError(
                "the siblings of a running CPU cannot be read",
                where=tree.shown(f"{folder}/core_cpus_list"),
                remedy="give a saved description with --from",
                code=ExitCode.UNKNOWN,
            )
        siblings = parse_cpu_list(siblings_text) if siblings_text else frozenset({number})
        cpus.append(
            Cpu(
                number=number,
                core=min(siblings | {number}),
                # Firmware that does not number its packages shows -1.
                package=max(0, _number(tree.text(f"{folder}/physical_package_id"), 0)),
                node=node_of.get(number, 0),
                online=number in online,
                efficient=number in efficient,
            )
        )
    return tuple(cpus)


def _efficient(tree: Tree, numbers: frozenset[int]) -> frozenset[int]:
    """Return the efficiency cores: as Intel's second set of counters names them, or by their capacity."""
    atoms = parse_cpu_list(tree.text("/sys/devices/cpu_atom/cpus") or "")
    capacity = {number: _number(tree.text(f"{_CPUS}/cpu{number}/cpu_capacity"), 0) for number in numbers}
    least = _EFFICIENT_CAPACITY * max(capacity.values(), default=0)
    return atoms | {number for number, value in capacity.items() if 0 < value < least}


def _number(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def _memory_kib(meminfo: str | None) -> int:
    """Return the total of a meminfo file; those of nodes put `Node 0` before the name."""
    for line in (meminfo or "").splitlines():
        name, _, value = line.partition(":")
        if name.split()[-1:] == ["MemTotal"]:
            return _number(value.split()[0] if value.split() else None, 0)
    return 0


def _default_interface(tree: Tree) -> str:
    for line in (tree.text("/proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == "00000000" and words[7] == "00000000":
            return words[0]
    return ""


def _interface_node(tree: Tree, name: str, required: bool) -> int:
    if not name:
        return -1
    known = tree.names("/sys/class/net")
    if name not in known:
        if required:
            raise QuietcoreError(
                "no such network interface",
                where="core_plan_interface",
                found=name,
                expected=f"one of: {', '.join(known) or 'none'}",
            )
        return -1
    # A virtio card has no node of its own: its PCI function, above it, does.
    device = f"/sys/class/net/{name}/device"
    return _number(tree.text(f"{device}/numa_node") or tree.text(f"{device}/../numa_node"), -1)


def _rotating_disk(tree: Tree) -> str:
    """Return the disk below `/` where it rotates. Hypervisors say so of any disk, so theirs do not count."""
    device = ""
    for line in (tree.text("/proc/mounts") or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[1] == "/" and words[0].startswith("/dev/"):
            device = words[0].removeprefix("/dev/")
    disks = [name for name in tree.names("/sys/block") if name.startswith(("sd", "hd", "md", "dm-", "cciss"))]
    below = [name for name in disks if device.startswith(name)]
    if not below and device.startswith("mapper/"):
        # Which of them it is only udev knows: it is told where all of them rotate.
        below = [name for name in disks if name.startswith("dm-")]
    spin = [tree.text(f"/sys/block/{name}/queue/rotational") == "1" for name in below]
    return max(below, key=len) if below and all(spin) else ""


def describe(topology: Topology) -> str:
    """Return one line: how many of what."""
    cores = topology.cores()
    threads = max((len(cpus) for cpus in cores.values()), default=0)
    packages = len({cpu.package for cpu in topology.online()})
    offline = format_cpu_list(cpu.number for cpu in topology.cpus if not cpu.online)
    parts = [
        _count(packages, "socket"),
        _count(len(topology.nodes()), "memory node"),
        _count(len(cores), "core"),
        _count(len(topology.online()), "CPU") + (f", {threads} a core" if threads > 1 else ""),
    ]
    if topology.memory_kib:
        parts.append(gibibytes(topology.memory_kib))
    if offline:
        parts.append(f"off line: {offline}")
    return " · ".join(parts)


def gibibytes(kib: int) -> str:
    """Return a size in KiB as GiB, to one place."""
    return f"{kib / (1 << 20):.1f}".removesuffix(".0") + " GiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
