"""What the machine is made of: CPUs, physical cores, packages, memory nodes, and where its network card sits."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .cpulist import format_cpu_list, kernel_cpu_list
from .network_stack import Card, cards_below, interfaces
from .texts.memory import read_total_kib
from .texts.mounts import read_mounts
from .texts.routes import default_interface_4, default_interface_6
from .tree import FolderTree, Tree
from .unreadable import NotUnderstoodError

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
    low_power: bool = False  # one of those outside the other cores' cache and clock domain: the slowest

    @property
    def grade(self) -> int:
        """Return how slow its kind of core is: 0 performance, 1 efficiency, 2 low-power efficiency."""
        return 2 if self.low_power else int(self.efficient)


@dataclass(frozen=True)
class Topology:
    """The machine as the core planner sees it."""

    cpus: tuple[Cpu, ...]
    memory_kib: int = 0  # 0: not known
    interface: str = ""  # the network interface whose node is meant; empty: none found
    interface_node: int = -1  # of its cards, of most of them where they differ; -1: not known
    distances: tuple[tuple[int, ...], ...] = ()  # by node and node; 0, or a row too short: not known
    node_memory_kib: tuple[int, ...] = ()  # by node; 0: not known
    rotating_disk: str = ""  # the disk below / where it is a rotating one
    cards: tuple[Card, ...] = ()  # the network cards that the interface stands on

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
        row = self.distances[node] if node < len(self.distances) else ()
        return (row[other] if other < len(row) else 0) or (10 if node == other else 20)

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
            "cards": [asdict(card) for card in self.cards],
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

    `interface` names the network card, or what stands on cards (a bond, a bridge, a VLAN), that market data arrives on;
    empty: the one of the default route.

    What is accepted, from drivers/base/{cpu,node,topology}.c: `present` and `online` are CPU lists; each running CPU
    has `topology/core_cpus_list` (before 5.2 `thread_siblings_list`), the running CPUs of its core, itself among them
    and the same for all of them; `physical_package_id` is a number, -1 where the firmware has none. A CPU that is off
    line has no `topology`, and no node. Where there are nodes each running CPU is in the `cpulist` of one; their
    numbers may have gaps, `distance` has an entry for each node that is there, in their order, and a node may have no
    CPU or no memory. `cpu_atom/cpus`, `cpu_lowpower/cpus` and `cpu_capacity` are there on hybrid processors only.

    Raises QuietcoreError (could not tell) where there is no readable description of the CPUs, NotUnderstoodError where
    it is of another form.
    """
    tree: Tree = FolderTree(source) if isinstance(source, (Path, str)) else source
    present = _listed(tree, f"{_CPUS}/present") or _listed(tree, f"{_CPUS}/possible")
    online = _listed(tree, f"{_CPUS}/online")
    if not present or not online:
        raise QuietcoreError(
            "the machine's CPUs cannot be read",
            where=tree.shown(_CPUS),
            expected="the files present and online",
            remedy="run on Linux, or give a saved description",
            code=ExitCode.UNKNOWN,
        )
    nodes = {int(name[4:]): f"{_NODES}/{name}" for name in tree.names(_NODES, "node[0-9]*")}
    members = {node: _listed(tree, f"{folder}/cpulist") for node, folder in nodes.items()}
    rows = range(max(nodes, default=-1) + 1)
    name = interface or _default_interface(tree)
    cards = _cards(tree, name, required=bool(interface))
    return Topology(
        cpus=_cpus(tree, present | online, online, members),
        memory_kib=_memory_kib(tree, "/proc/meminfo"),
        interface=name,
        interface_node=_common_node(cards),
        distances=tuple(_distances(tree, nodes, node) for node in rows),
        node_memory_kib=tuple(
            _memory_kib(tree, f"{nodes[node]}/meminfo") if node in nodes else 0 for node in rows
        ),
        rotating_disk=_rotating_disk(tree),
        cards=cards,
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
    tree: Tree, numbers: frozenset[int], online: frozenset[int], members: dict[int, frozenset[int]]
) -> tuple[Cpu, ...]:
    low_power = _listed(tree, "/sys/devices/cpu_lowpower/cpus")
    efficient = _efficient(tree, numbers) | low_power
    node_of = {number: node for node, cpus in members.items() for number in cpus}
    siblings_of = {number: _siblings(tree, number) for number in sorted(online)}
    for number, siblings in siblings_of.items():
        other = next((cpu for cpu in siblings & online if siblings_of[cpu] != siblings), None)
        if other is not None:
            raise NotUnderstoodError(
                "two CPUs of one core tell of different cores",
                where=tree.shown(f"{_CPUS}/cpu{number}/topology"),
                found=f"CPU {number}: {format_cpu_list(siblings)}; CPU {other}: {format_cpu_list(siblings_of[other])}",
                expected="the same siblings; a CPU that came or went meanwhile is settled when read again",
            )
        if members and number not in node_of:
            raise NotUnderstoodError(
                "a running CPU in no memory node",
                where=tree.shown(_NODES),
                found=f"CPU {number}",
                expected="each in one node's cpulist",
            )
    cpus: list[Cpu] = []
    for number in sorted(numbers):
        package = tree.text(f"{_CPUS}/cpu{number}/topology/physical_package_id") if number in online else None
        cpus.append(
            Cpu(
                number=number,
                core=min(siblings_of.get(number, {number})),
                # Firmware that does not number its packages shows -1.
                package=max(0, _number(tree, package, number)),
                node=node_of.get(number, 0),
                online=number in online,
                efficient=number in efficient,
                low_power=number in low_power,
            )
        )
    return tuple(cpus)


def _siblings(tree: Tree, number: int) -> frozenset[int]:
    """Return the CPUs of a running CPU's core. Raises QuietcoreError."""
    path = f"{_CPUS}/cpu{number}/topology/core_cpus_list"
    siblings = _listed(tree, path) or _listed(tree, path.replace("core_cpus_list", "thread_siblings_list"))
    if not siblings:
        raise QuietcoreError(
            "the siblings of a running CPU cannot be read",
            where=tree.shown(path),
            remedy="give a saved description with --from",
            code=ExitCode.UNKNOWN,
        )
    if number not in siblings:
        raise NotUnderstoodError(
            "a CPU that is not of its own core",
            where=tree.shown(path),
            found=format_cpu_list(siblings),
            expected=f"CPU {number} among them",
        )
    return siblings


def _efficient(tree: Tree, numbers: frozenset[int]) -> frozenset[int]:
    """Return the efficiency cores: as Intel's second set of counters names them, or by their capacity."""
    capacity = {}
    for number in numbers:
        text = tree.text(f"{_CPUS}/cpu{number}/cpu_capacity")
        if text is not None:
            capacity[number] = _decimal(text, tree.shown(f"{_CPUS}/cpu{number}/cpu_capacity"))
    least = _EFFICIENT_CAPACITY * max(capacity.values(), default=0)
    slow = {number for number, value in capacity.items() if 0 < value < least}
    return _listed(tree, "/sys/devices/cpu_atom/cpus") | slow


def _listed(tree: Tree, path: str) -> frozenset[int]:
    """Return the CPUs of a list in sysfs, none where there is no such file. Raises NotUnderstoodError."""
    text = tree.text(path)
    return frozenset() if text is None else kernel_cpu_list(text, tree.shown(path))


def _decimal(text: str, where: str) -> int:
    if not text.isdecimal():
        raise NotUnderstoodError("not a number", where=where, found=text, expected="digits")
    return int(text)


def _number(tree: Tree, package: str | None, cpu: int) -> int:
    """Return a package's number; architectures without packages have no file."""
    if package is None:
        return 0
    where = tree.shown(f"{_CPUS}/cpu{cpu}/topology/physical_package_id")
    return -1 if package == "-1" else _decimal(package, where)


def _distances(tree: Tree, nodes: dict[int, str], node: int) -> tuple[int, ...]:
    """Return the distances from a node by the other one's number, 0 to one that is not there."""
    text = tree.text(f"{nodes[node]}/distance") if node in nodes else None
    if text is None:
        return ()
    where, words = tree.shown(f"{nodes[node]}/distance"), text.split()
    if len(words) != len(nodes):
        raise NotUnderstoodError(
            "not a distance to each node", where=where, found=text, expected=f"{len(nodes)} numbers"
        )
    to = dict(zip(sorted(nodes), (_decimal(word, where) for word in words), strict=True))
    return tuple(to.get(other, 0) for other in range(max(nodes) + 1))


def _memory_kib(tree: Tree, path: str) -> int:
    """Return the total of a meminfo file, 0 where there is none."""
    text = tree.text(path)
    return 0 if text is None else read_total_kib(text, tree.shown(path))


def _default_interface(tree: Tree) -> str:
    """Return the interface that the default route leaves by: IPv4's, or IPv6's where there is none."""
    text = tree.text("/proc/net/route")
    found = "" if not text else default_interface_4(text, tree.shown("/proc/net/route"))
    text = None if found else tree.text("/proc/net/ipv6_route")
    return found if not text else default_interface_6(text, tree.shown("/proc/net/ipv6_route"))


def _cards(tree: Tree, name: str, required: bool) -> tuple[Card, ...]:
    """Return the cards that carry an interface; itself, of no known node, where none is to be seen below it."""
    if not name:
        return ()
    known = interfaces(tree)
    if name not in known:
        if required:
            raise QuietcoreError(
                "no such network interface",
                where="core_plan_interface",
                found=name,
                expected=f"one of: {', '.join(known) or 'none'}",
                remedy="give the name that `ip link` shows first: an alternative name is not looked for",
            )
        return ()
    return cards_below(tree, name) or (Card(name),)


def _common_node(cards: tuple[Card, ...]) -> int:
    """Return the node of most of the cards, the lowest of equals; -1 where none is known."""
    count = Counter(card.node for card in cards if card.node >= 0)
    return min(count, key=lambda node: (-count[node], node), default=-1)


def _rotating_disk(tree: Tree) -> str:
    """Return the disk below `/` where it rotates. Hypervisors say so of any disk, so theirs do not count."""
    device = ""
    text = tree.text("/proc/mounts")
    for mount in read_mounts(text, tree.shown("/proc/mounts")) if text else ():
        if mount.point == "/":  # the last one is what is seen
            device = mount.source.removeprefix("/dev/") if mount.source.startswith("/dev/") else ""
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
