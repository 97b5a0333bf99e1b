"""What the machine is made of: CPUs, physical cores, packages, memory nodes, and where its network card sits.

Read from sysfs below any root, from `lscpu -J`, or from a description saved earlier.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .cpulist import format_cpu_list, parse_cpu_list

_CPU_ROOT = "sys/devices/system/cpu"
_NODE_ROOT = "sys/devices/system/node"


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

    def online(self) -> tuple[Cpu, ...]:
        """Return the CPUs that run."""
        return tuple(cpu for cpu in self.cpus if cpu.online)

    def cores(self) -> dict[int, tuple[Cpu, ...]]:
        """Return the running CPUs of each physical core, by the core's number."""
        cores: dict[int, list[Cpu]] = {}
        for cpu in self.online():
            cores.setdefault(cpu.core, []).append(cpu)
        return {core: tuple(cpus) for core, cpus in sorted(cores.items())}

    def nodes(self) -> tuple[int, ...]:
        """Return the numbers of the memory nodes that have CPUs running."""
        return tuple(sorted({cpu.node for cpu in self.online()}))

    def siblings(self, number: int) -> frozenset[int]:
        """Return the running CPUs that share a physical core with this one, itself included."""
        for cpus in self.cores().values():
            numbers = frozenset(cpu.number for cpu in cpus)
            if number in numbers:
                return numbers
        return frozenset()

    def distance(self, node: int, other: int) -> int:
        """Return how far two nodes are apart: 10 within a node, 20 where the firmware does not say."""
        try:
            return self.distances[node][other]
        except IndexError:
            return 10 if node == other else 20

    def to_json(self) -> dict[str, Any]:
        """Return a description that `from_json` reads back."""
        return {
            "cpus": [asdict(cpu) for cpu in self.cpus],
            "memory_kib": self.memory_kib,
            "interface": self.interface,
            "interface_node": self.interface_node,
            "distances": [list(row) for row in self.distances],
        }


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, default: int) -> int:
    text = _text(path)
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def read_topology(root: Path | str = "/", interface: str = "") -> Topology:
    """Read the topology from sysfs and procfs below `root`.

    `interface` names the network card that market data arrives on; empty: the one of the default route.
    Raises QuietcoreError (could not tell) where there is no readable description of the CPUs.
    """
    base = Path(root)
    cpu_root = base / _CPU_ROOT
    present_text = _text(cpu_root / "present") or _text(cpu_root / "possible")
    online_text = _text(cpu_root / "online")
    if not present_text or not online_text:
        raise QuietcoreError(
            "the machine's CPUs cannot be read",
            where=str(cpu_root),
            expected="the files present and online",
            remedy="run on Linux, or give a saved description",
            code=ExitCode.UNKNOWN,
        )
    present, online = parse_cpu_list(present_text), parse_cpu_list(online_text)
    node_of: dict[int, int] = {}
    distances: dict[int, tuple[int, ...]] = {}
    for folder in sorted((base / _NODE_ROOT).glob("node[0-9]*")):
        node = int(folder.name[4:])
        for number in parse_cpu_list(_text(folder / "cpulist") or ""):
            node_of[number] = node
        distances[node] = tuple(int(word) for word in (_text(folder / "distance") or "").split())
    efficient = parse_cpu_list(_text(base / "sys/devices/cpu_atom/cpus") or "")
    cpus: list[Cpu] = []
    for number in sorted(present | online):
        folder = cpu_root / f"cpu{number}" / "topology"
        siblings_text = _text(folder / "core_cpus_list") or _text(folder / "thread_siblings_list")
        siblings = parse_cpu_list(siblings_text) if siblings_text else frozenset({number})
        if number in online and siblings_text is None:
            raise QuietcoreError(
                "the siblings of a running CPU cannot be read",
                where=str(folder / "core_cpus_list"),
                remedy="give a saved description with --lscpu",
                code=ExitCode.UNKNOWN,
            )
        cpus.append(
            Cpu(
                number=number,
                core=min(siblings | {number}),
                package=_number(folder / "physical_package_id", 0),
                node=node_of.get(number, 0),
                online=number in online,
                efficient=number in efficient,
            )
        )
    name = interface or _default_interface(base)
    return Topology(
        cpus=tuple(cpus),
        memory_kib=_memory_kib(base),
        interface=name,
        interface_node=_interface_node(base, name, required=bool(interface)),
        distances=tuple(distances.get(node, ()) for node in range(max(distances, default=-1) + 1)),
    )


def _memory_kib(base: Path) -> int:
    for line in (_text(base / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return 0


def _default_interface(base: Path) -> str:
    for line in (_text(base / "proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == "00000000" and words[7] == "00000000":
            return words[0]
    return ""


def _interface_node(base: Path, name: str, required: bool) -> int:
    if not name:
        return -1
    folder = base / "sys/class/net" / name
    if not folder.exists():
        if required:
            known = ", ".join(sorted(path.name for path in (base / "sys/class/net").glob("*"))) or "none"
            raise QuietcoreError(
                "no such network interface",
                where="core_plan_interface",
                found=name,
                expected=f"one of: {known}",
            )
        return -1
    return _number(folder / "device" / "numa_node", -1)


def from_json(value: Any, where: str = "saved topology") -> Topology:
    """Read back `Topology.to_json`, also as found inside a plan file. Raises QuietcoreError."""
    if isinstance(value, Mapping) and isinstance(value.get("topology"), Mapping):
        value = value["topology"]
    try:
        return Topology(
            cpus=tuple(Cpu(**cpu) for cpu in value["cpus"]),
            memory_kib=int(value.get("memory_kib", 0)),
            interface=str(value.get("interface", "")),
            interface_node=int(value.get("interface_node", -1)),
            distances=tuple(tuple(map(int, row)) for row in value.get("distances", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QuietcoreError(
            "not a saved topology",
            where=where,
            found=str(error),
            remedy="make one with `quietcore plan --json`",
        ) from None


def from_lscpu(value: Any, where: str = "lscpu") -> Topology:
    """Read `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE`, or plain `lscpu -J` of a machine without SMT.

    Raises QuietcoreError, also where the summary cannot tell which CPUs are siblings.
    """
    if isinstance(value, Mapping) and isinstance(value.get("cpus"), list):
        return _from_lscpu_table(value["cpus"], where)
    if isinstance(value, Mapping) and isinstance(value.get("lscpu"), list):
        return _from_lscpu_summary(value["lscpu"], where)
    raise QuietcoreError(
        "not the output of lscpu", where=where, expected="lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE"
    )


def _from_lscpu_table(rows: list[Any], where: str) -> Topology:
    first: dict[tuple[int, int], int] = {}
    cpus: list[Cpu] = []
    for row in rows:
        try:
            number = int(row["cpu"])
            online = row.get("online") in (True, "yes", "true", None)
            if online:
                package, node = int(row.get("socket") or 0), int(row.get("node") or 0)
                core = first.setdefault((package, int(row["core"])), number)
                cpus.append(Cpu(number, core, package, node))
            else:  # lscpu prints no core for a CPU that is off
                cpus.append(Cpu(number, number, online=False))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise QuietcoreError(
                "a row of lscpu without cpu or core",
                where=where,
                found=row,
                remedy="lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE",
            ) from None
    return _checked(Topology(tuple(cpus)), where)


def _from_lscpu_summary(rows: list[Any], where: str) -> Topology:
    fields: dict[str, str] = {}

    def collect(items: list[Any]) -> None:
        for item in items:
            fields[str(item.get("field", "")).rstrip(":")] = str(item.get("data", ""))
            collect(item.get("children") or [])

    collect(rows)
    if fields.get("Thread(s) per core") != "1":
        raise QuietcoreError(
            "this summary does not tell which CPUs share a core",
            where=where,
            found=f"{fields.get('Thread(s) per core', 'no line')} thread(s) per core",
            remedy="save `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE` instead",
        )
    online = sorted(parse_cpu_list(fields.get("On-line CPU(s) list", "")))
    node_of = {
        number: int(name.split()[1][4:])
        for name, text in fields.items()
        if name.startswith("NUMA node") and name.endswith("CPU(s)") and name.split()[1][4:].isdecimal()
        for number in parse_cpu_list(text)
    }
    cpus = [Cpu(number, number, node=node_of.get(number, 0)) for number in online]
    return _checked(Topology(tuple(cpus)), where)


def _checked(topology: Topology, where: str) -> Topology:
    if not topology.online():
        raise QuietcoreError("no running CPU is described", where=where)
    return topology


def load_description(path: Path, interface_node: int | None = None) -> Topology:
    """Read a saved description: our own JSON (or a plan file), or either form of `lscpu -J`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QuietcoreError("cannot be read", where=str(path), found=error.strerror) from error
    except ValueError as error:
        raise QuietcoreError("not JSON", where=str(path), found=str(error)) from error
    own = isinstance(value, Mapping) and ("topology" in value or "memory_kib" in value)
    topology = _checked(from_json(value, str(path)), str(path)) if own else from_lscpu(value, str(path))
    return topology if interface_node is None else replace(topology, interface_node=interface_node)


def describe(topology: Topology) -> str:
    """Return one line: how many of what."""
    cores = topology.cores()
    threads = max((len(cpus) for cpus in cores.values()), default=0)
    packages = len({cpu.package for cpu in topology.online()})
    offline = format_cpu_list(cpu.number for cpu in topology.cpus if not cpu.online)
    return (
        f"{len(topology.online())} CPUs on {len(cores)} cores ({threads} thread(s) a core), "
        f"{packages} package(s), {len(topology.nodes())} memory node(s)"
        + (f", off line: {offline}" if offline else "")
    )
