"""sysfs and procfs of machines that are known: CPUs, cores, nodes, and the cards below the default route.

Formats: drivers/base/{cpu,node,topology}.c, net/core/dev.c (`lower_*`), and the files sysfs-devices-system-cpu and
sysfs-class-net in Documentation/ABI/testing. Cases: CPU 0 off line, gaps between CPUs and between nodes, nodes without
CPUs or without memory, packages numbered -1, hybrid processors with low-power cores, up to four threads a core, VLANs
over bonds over cards, taps of virtual machines, virtual functions below a paravirtual card.
"""

from __future__ import annotations

import fnmatch
import random
from typing import Any

from tests.readers.campaign import Damage, Reader
from tests.readers.models.cpu_list import printed

from quietcore.errors import QuietcoreError
from quietcore.host.topology import Topology, read_topology

CPUS, NODES, NET = "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/class/net"
Files = dict[str, str]


class Texts:
    """Files by path; implements the project's `Tree`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._folders: dict[str, set[str]] = {}
        for path in files:
            folder, _, name = path.rpartition("/")
            while folder and name not in (names := self._folders.setdefault(folder, set())):
                names.add(name)
                folder, _, name = folder.rpartition("/")

    def text(self, path: str) -> str | None:
        found = self._files.get(path)
        return None if found is None else found.strip()

    def names(self, folder: str, pattern: str = "*") -> list[str]:
        names = self._folders.get(folder, set())
        return sorted(names if pattern == "*" else fnmatch.filter(names, pattern))

    def shown(self, path: str) -> str:
        return path


def cpus(chance: random.Random, files: Files) -> dict[int, Any]:
    """Write CPUs and nodes; return (core, package, node, grade) of each running CPU, None of one that is off."""
    threads, cores = chance.choice((1, 2, 2, 4)), chance.randrange(1, 5)
    node_numbers = sorted(chance.sample((0, 1, 2, 8, 17), chance.choice((0, 1, 1, 2))))
    start, step = chance.choice((0, 0, 0, 4)), chance.choice((1, 1, 1, 2))
    adjacent, numbered = chance.random() < 0.5, chance.random() < 0.8
    places = [(core, thread) for core in range(cores) for thread in range(threads)]
    if not adjacent:
        places.sort(key=lambda place: (place[1], place[0]))
    numbers = {place: start + index * step for index, place in enumerate(places)}
    online = {number for number in numbers.values() if chance.random() < 0.85} or {start}
    hybrid = chance.random() < 0.3
    grade_of = {core: chance.choice((0, 1, 2)) if hybrid and core else 0 for core in range(cores)}
    node_of = {core: chance.choice(node_numbers) if node_numbers else 0 for core in range(cores)}
    package_of = {core: core % chance.choice((1, 2)) for core in range(cores)}
    files[f"{CPUS}/present"] = files[f"{CPUS}/possible"] = printed(frozenset(numbers.values())) + "\n"
    files[f"{CPUS}/online"] = printed(frozenset(online)) + "\n"
    truth: dict[int, Any] = {}
    old = chance.random() < 0.2  # before 5.2
    for (core, _), number in numbers.items():
        if number not in online:
            truth[number] = None
            continue
        siblings = frozenset(numbers[core, thread] for thread in range(threads)) & online
        folder = f"{CPUS}/cpu{number}/topology"
        files[f"{folder}/{'thread_siblings_list' if old else 'core_cpus_list'}"] = printed(siblings) + "\n"
        files[f"{folder}/physical_package_id"] = f"{package_of[core] if numbered else -1}\n"
        files[f"{folder}/core_id"] = f"{core if numbered else -1}\n"
        truth[number] = (min(siblings), package_of[core] if numbered else 0, node_of[core], grade_of[core])
    if any(grade_of.values()):
        for name, grades in (("cpu_atom", (1, 2)), ("cpu_lowpower", (2,))):
            listed = frozenset(
                n for (core, _), n in numbers.items() if grade_of[core] in grades and n in online
            )
            if listed:
                files[f"/sys/devices/{name}/cpus"] = printed(listed) + "\n"
    for node in node_numbers:
        members = frozenset(n for (core, _), n in numbers.items() if node_of[core] == node and n in online)
        files[f"{NODES}/node{node}/cpulist"] = printed(members) + "\n"
    return truth


def memory(chance: random.Random, files: Files) -> tuple[dict[int, int], dict[tuple[int, int], int]]:
    """Write the nodes' memory and distances; return both."""
    nodes = sorted(int(path.split("/")[5][4:]) for path in files if path.startswith(NODES))
    kib = {node: chance.choice((0, 1 << 20, 190_000_000)) for node in nodes}
    distances = {
        (one, two): 10 if one == two else chance.choice((11, 20, 32, 254)) for one in nodes for two in nodes
    }
    for node in nodes:
        files[f"{NODES}/node{node}/meminfo"] = (
            f"\nNode {node} MemTotal:       {kib[node]:8} kB\nNode {node} MemFree:        0 kB\n"
        )
        files[f"{NODES}/node{node}/distance"] = (
            " ".join(str(distances[node, other]) for other in nodes) + "\n"
        )
    files["/proc/meminfo"] = (
        f"MemTotal:       {sum(kib.values()) or 4096:8} kB\nMemFree:              12 kB\n"
    )
    return {node: size for node, size in kib.items() if size}, distances


def network(chance: random.Random, files: Files) -> tuple[str, dict[str, int]]:
    """Write interfaces and a default route; return the route's interface and the cards below it with their nodes."""
    cards = {f"eth{number}": chance.choice((-1, 0, 0, 1, 8)) for number in range(chance.randrange(1, 4))}
    for name, node in cards.items():
        files[f"{NET}/{name}/mtu"] = "1500\n"
        above = "../" if chance.random() < 0.3 else ""  # virtio: the function above has the node
        files[f"{NET}/{name}/device/uevent"] = "DRIVER=x\n"
        files[f"{NET}/{name}/device/{above}numa_node"] = f"{node}\n"
    files[f"{NET}/lo/mtu"] = "65536\n"

    def stack(name: str, *lower: str) -> str:
        files[f"{NET}/{name}/mtu"] = "1500\n"
        for below in lower:
            files[f"{NET}/{name}/lower_{below}/mtu"] = "1500\n"
        return name

    kind = chance.randrange(8)
    top, found = "eth0", {"eth0": cards["eth0"]}
    if kind == 1:
        top, found = stack("bond0", *cards), dict(cards)
        files[f"{NET}/bonding_masters"] = "bond0\n"
    elif kind == 2:
        top, found = stack("br0", stack("bond0.100", stack("bond0", *cards)), stack("tap7")), dict(cards)
    elif kind == 3:
        top = stack("eth0.7", "eth0")
    elif kind == 4:
        stack("eth0", list(cards)[-1])  # a virtual function carries what the paravirtual card shows
        last = list(cards)[-1]
        found = {last: cards[last]}
        if last == "eth0":
            del files[f"{NET}/eth0/lower_eth0/mtu"]
    elif kind == 5:
        top = stack("wg0")
        found = {"wg0": -1}
    elif kind == 6:
        return "", {}
    row = f"{top}\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0"
    files["/proc/net/route"] = f"{'Iface	Destination	Gateway':<127}\n{row:<127}\n"
    return top, found


def render(chance: random.Random) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    truth: dict[str, Any] = {"cpus": cpus(chance, files)}
    truth["memory"], truth["distances"] = memory(chance, files)
    truth["interface"], truth["cards"] = network(chance, files)
    count: dict[int, int] = {}
    for node in truth["cards"].values():
        if node >= 0:
            count[node] = count.get(node, 0) + 1
    truth["node"] = sorted(count, key=lambda node: (-count[node], node))[0] if count else -1
    return files, truth


def shown(topology: Topology) -> dict[str, Any]:
    known = [(one, two) for one, row in enumerate(topology.distances) for two, far in enumerate(row) if far]
    return {
        "cpus": {
            cpu.number: (cpu.core, cpu.package, cpu.node, cpu.grade) if cpu.online else None
            for cpu in topology.cpus
        },
        "memory": {node: size for node, size in enumerate(topology.node_memory_kib) if size},
        "distances": {pair: topology.distance(*pair) for pair in known},
        "interface": topology.interface,
        "cards": {card.name: card.node for card in topology.cards},
        "node": topology.interface_node,
    }


def read(files: Files) -> dict[str, Any]:
    return shown(read_topology(Texts(files)))


def dense_nodes(files: Files) -> dict[str, Any]:
    """Take the n-th distance for that to node n."""
    found = read(files)
    nodes = sorted({one for one, _ in found["distances"]})
    pairs = {(one, place): found["distances"][one, two] for one in nodes for place, two in enumerate(nodes)}
    return {**found, "distances": pairs}


def the_top_is_the_card(files: Files) -> dict[str, Any]:
    found = read(files)
    return {**found, "cards": {found["interface"]: -1} if found["interface"] else {}}


def no_low_power(files: Files) -> dict[str, Any]:
    return read({path: text for path, text in files.items() if "cpu_lowpower" not in path})


def _one(chance: random.Random, files: Files, end: str) -> str | None:
    paths = [path for path in files if path.endswith(end)]
    return chance.choice(paths) if paths else None


def spoilt(end: str, *texts: str) -> Any:
    """Return a damage: a file whose path ends so has another text."""

    def apply(chance: random.Random, files: Files) -> Files | None:
        path = _one(chance, files, end)
        return None if path is None else {**files, path: chance.choice(texts)}

    return Damage(apply, QuietcoreError)


def siblings_gone(chance: random.Random, files: Files) -> Files | None:
    path = _one(chance, files, "core_cpus_list") or _one(chance, files, "thread_siblings_list")
    return {other: text for other, text in files.items() if other != path}


def lost_sibling(chance: random.Random, files: Files) -> Files | None:
    """A CPU goes while the tree is read: one of its core still names it, another one does not."""
    path = next(
        (
            path
            for path in files
            if path.endswith("_list") and files[path].strip().count(",") + files[path].count("-")
        ),
        None,
    )
    if path is None:
        return None
    own = path.split("/")[5].removeprefix("cpu")
    return {**files, path: f"{own}\n"}


def node_gone(chance: random.Random, files: Files) -> Files | None:
    """A node's list is cut: its CPUs are in none."""
    path = next((path for path in files if path.endswith("/cpulist") and files[path].strip()), None)
    return None if path is None else {**files, path: "\n"}


READERS: list[Reader] = [
    Reader(
        "sysfs topology",
        render,
        read,
        {
            "no CPU on line": spoilt("cpu/online", "", "(null)\n"),
            "a list that is none": spoilt("cpu/online", "0-", "x", "0,,1"),
            "siblings gone": Damage(siblings_gone, QuietcoreError),
            "siblings of another CPU": spoilt("core_cpus_list", "9999\n", "x\n"),
            "siblings that disagree": Damage(lost_sibling, QuietcoreError),
            "a package that is no number": spoilt("physical_package_id", "", "x\n", "-7\n"),
            "a CPU in no node": Damage(node_gone, QuietcoreError),
            "a distance too few": spoilt("/distance", "", "10 20 30 40 50 60 70\n"),
            "a distance that is none": spoilt("/distance", "near\n"),
            "no memory told": spoilt("meminfo", "", "MemFree: 1 kB\n", "MemTotal: lots\n"),
            "a route that is none": spoilt("/proc/net/route", "Iface\tDestination\neth0\t00000000\n", "x\n"),
            "a node that is none": Damage(
                lambda c, files: (
                    {path: "x\n" if path.endswith("numa_node") else text for path, text in files.items()}
                    if "/proc/net/route" in files and "wg0" not in files["/proc/net/route"]
                    else None
                ),
                QuietcoreError,
            ),
        },
        {
            "nodes numbered from 0": dense_nodes,
            "the default route's interface is the card": the_top_is_the_card,
            "low-power cores not known": no_low_power,
        },
    )
]
