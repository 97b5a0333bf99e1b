"""The core plan: a pure function from topology and wishes to named sets of CPUs.

Rules: whole physical cores; the core of CPU 0 is always housekeeping; the feed first gets a core near the
network
card; no set is ever empty; sets overlap only where the machine is too small, and then a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import QuietcoreError
from .cpulist import format_cpu_list, parse_cpu_list
from .hardware import shortfalls
from .topology import Topology

HOUSEKEEPING = "housekeeping"
SETS = (HOUSEKEEPING, "irq", "feed", "strategy", "gateway")
PLACED = SETS[1:]
ISOLATED = ("feed", "strategy", "gateway")
# Who keeps a core of its own longest when there are too few: the end of this line gives up first.
_KEEPS = ("feed", "strategy", "irq", "gateway")
# Who is placed nearest to the network card.
_NEAREST = ("feed", "irq", "strategy", "gateway")

PURPOSE = {
    HOUSEKEEPING: "everything that is not listed below: system services, ssh, kernel threads",
    "irq": "interrupts of the network card and other movable ones",
    "feed": "feed handler: receives and publishes market data",
    "strategy": "strategy loop: reads ticks, computes signals",
    "gateway": "order gateway: sends orders, receives fills",
}


@dataclass(frozen=True)
class Wishes:
    """What the inventory asks of the plan.

    `cores` is how many physical cores a set gets (default 1 each); `cpus` names a set's CPUs outright;
    `housekeeping_cores` is how many cores at least stay for everything else; `siblings_off` names the sets that
    keep one CPU of each core, its siblings being taken off line.
    """

    cores: Mapping[str, int] = field(default_factory=dict)
    cpus: Mapping[str, frozenset[int]] = field(default_factory=dict)
    housekeeping_cores: int = 1
    siblings_off: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CorePlan:
    """Which CPUs do what. `shared` names the sets that had to join housekeeping.

    `siblings_off` are CPUs in no set, to be taken off line: those that share a core with a CPU of a set that wants
    its cores alone. They are among the isolated ones, so that they are quiet too until they are off.
    """

    sets: Mapping[str, tuple[int, ...]]
    isolated: tuple[int, ...]
    warnings: tuple[str, ...]
    shared: tuple[str, ...]
    topology: Topology
    siblings_off: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of /etc/quietcore/plan.json.

        Memory is left out: its size differs a little from boot to boot, and the plan does not depend on it.
        """
        topology = self.topology.to_json()
        del topology["memory_kib"], topology["node_memory_kib"]
        return {
            "version": 1,
            "sets": {name: list(self.sets[name]) for name in SETS},
            "isolated": list(self.isolated),
            "siblings_off": list(self.siblings_off),
            "warnings": list(self.warnings),
            "topology": topology,
        }

    def lists(self) -> dict[str, str]:
        """Return each set in the kernel's list form, with `isolated`, its complement `not_isolated`,
        `siblings_off`, and `isolated_running`, those of the isolated ones that stay on line.
        """
        isolated = set(self.isolated)
        others = [cpu.number for cpu in self.topology.cpus if cpu.number not in isolated]
        lists = {name: format_cpu_list(self.sets[name]) for name in SETS}
        return {
            **lists,
            "isolated": format_cpu_list(isolated),
            "isolated_running": format_cpu_list(isolated - set(self.siblings_off)),
            "not_isolated": format_cpu_list(others),
            "siblings_off": format_cpu_list(self.siblings_off),
        }


def plan_cores(topology: Topology, wishes: Wishes | None = None) -> CorePlan:
    """Return the plan. Raises QuietcoreError where a wish can never be met on this machine."""
    wanted = wishes or Wishes()
    _check_node(topology)
    warnings = shortfalls(topology)
    cores = {core: tuple(cpu.number for cpu in cpus) for core, cpus in topology.cores().items()}
    if not cores:
        raise QuietcoreError("no running CPU to plan with", where="topology")
    boot_core = next((core for core, cpus in cores.items() if 0 in cpus), min(cores))
    if 0 not in cores[boot_core]:
        warnings.append(f"CPU 0 is off line: CPU {cores[boot_core][0]} stands in for it")
    fixed = _fixed_sets(cores, cores[boot_core], wanted)
    taken = {cpu for cpus in fixed.values() for cpu in cpus}
    free = [core for core, cpus in cores.items() if core != boot_core and not taken & set(cpus)]
    counts, shared = _counts(free, fixed, wanted, warnings)
    placed = _place(topology, free, counts, warnings)
    sets: dict[str, tuple[int, ...]] = {name: tuple(sorted(cpus)) for name, cpus in fixed.items()}
    for name, chosen in placed.items():
        sets[name] = tuple(sorted(cpu for core in chosen for cpu in cores[core]))
    used = {cpu for cpus in sets.values() for cpu in cpus}
    housekeeping = tuple(sorted(cpu.number for cpu in topology.online() if cpu.number not in used))
    sets[HOUSEKEEPING] = housekeeping
    for name in shared:
        sets[name] = housekeeping
    isolated = tuple(sorted(cpu for name in ISOLATED if name not in shared for cpu in sets[name]))
    if not isolated:
        warnings.append("no core can be isolated on this machine: nothing here will be quiet")
    warnings += _slow(topology, {name: sets[name] for name in ISOLATED if name not in shared})
    off = _siblings_off(topology, sets, shared, wanted, warnings)
    return CorePlan(
        {name: tuple(cpu for cpu in sets[name] if cpu not in off) for name in SETS},
        isolated,
        tuple(warnings),
        tuple(shared),
        topology,
        tuple(sorted(off)),
    )


def _slow(topology: Topology, sets: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return a warning for each kind of slow core on which a part of the pipeline is."""
    grades = {cpu.number: cpu.grade for cpu in topology.online()}
    if len(set(grades.values())) < 2:
        return []  # all alike: there is no quicker one
    warnings: list[str] = []
    for grade, kind in ((1, "efficiency"), (2, "low-power efficiency")):
        names = [name for name, cpus in sets.items() if any(grades[cpu] == grade for cpu in cpus)]
        if names:
            warnings.append(f"slow cores for the pipeline: {', '.join(names)} on {kind} cores")
    return warnings


def _siblings_off(
    topology: Topology,
    sets: Mapping[str, tuple[int, ...]],
    shared: list[str],
    wishes: Wishes,
    warnings: list[str],
) -> set[int]:
    """Return the CPUs to be taken off line: all but the first of each core of the sets that want that."""
    unknown = sorted(wishes.siblings_off - set(ISOLATED))
    if unknown:
        raise QuietcoreError(
            "no set whose siblings can be taken off line",
            where="core_plan_siblings_off",
            found=", ".join(unknown),
            expected=f"any of {', '.join(ISOLATED)}",
        )
    warnings.extend(
        f"the siblings of {name} stay on line: it shares the cores of housekeeping"
        for name in shared
        if name in wishes.siblings_off
    )
    alone = [name for name in sorted(wishes.siblings_off) if name not in shared]
    return {cpu for name in alone for cpu in sets[name] if cpu != min(topology.siblings(cpu))}


def _check_node(topology: Topology) -> None:
    """Refuse a network card on a node that the machine does not have. Raises QuietcoreError."""
    described = (topology.node_memory_kib, topology.distances)  # node numbers may have gaps
    nodes = {node for values in described for node, value in enumerate(values) if value}
    nodes |= {cpu.node for cpu in topology.cpus}
    if topology.interface_node >= 0 and topology.interface_node not in nodes:
        raise QuietcoreError(
            "no such memory node",
            where=f"the node of the network card {topology.interface}".rstrip(),
            found=topology.interface_node,
            expected=f"one of: {format_cpu_list(nodes)}",
        )


def _fixed_sets(
    cores: Mapping[int, tuple[int, ...]], boot_cpus: tuple[int, ...], wishes: Wishes
) -> dict[str, frozenset[int]]:
    fixed: dict[str, frozenset[int]] = {}
    for name, cpus in wishes.cpus.items():
        variable = f"core_plan_{name}_cpus"
        if name not in PLACED:
            raise QuietcoreError("no such set can be placed", where=variable, expected=", ".join(PLACED))
        check_isolable(cores.values(), boot_cpus, cpus, variable)
        for other, others in fixed.items():
            if cpus & others:
                raise QuietcoreError(
                    "two sets overlap",
                    where=variable,
                    found=f"{format_cpu_list(cpus & others)} is in core_plan_{other}_cpus too",
                    expected="CPUs of their own",
                )
        fixed[name] = cpus
    return fixed


def check_isolable(
    cores: Iterable[tuple[int, ...]], boot_cpus: tuple[int, ...], cpus: frozenset[int], variable: str
) -> None:
    """Refuse a set of CPUs that cannot be taken away from the rest of the system.

    `cores` are the running CPUs by physical core. Raises QuietcoreError naming the variable, the value and
    what
    would be valid: none at all, unknown or off-line CPUs, the core of CPU 0 (so also all CPUs), half a core.
    """
    online = {cpu for core in cores for cpu in core}
    valid = format_cpu_list(online - set(boot_cpus)) or "none: the machine has a single core"
    found = format_cpu_list(cpus)
    expected = f"whole cores out of {valid}"
    if not cpus:
        raise QuietcoreError("an empty set of CPUs", where=variable, found="none", expected=expected)
    if cpus - online:
        raise QuietcoreError(
            f"CPU {format_cpu_list(cpus - online)} does not exist or is off line",
            where=variable,
            found=found,
            expected=expected,
        )
    if cpus >= online:
        raise QuietcoreError(
            "this would leave no CPU for the system itself", where=variable, found=found, expected=expected
        )
    if cpus & set(boot_cpus):
        raise QuietcoreError(
            "CPU 0 and its siblings always stay with the system",
            where=variable,
            found=found,
            expected=expected,
        )
    for core in cores:
        part = cpus & set(core)
        if part and part != set(core):
            raise QuietcoreError(
                f"CPU {format_cpu_list(part)} is only a part of the physical core {format_cpu_list(core)}",
                where=variable,
                found=found,
                expected=f"whole cores, for example {format_cpu_list(cpus | set(core))}",
            )


def _counts(
    free: list[int], fixed: Mapping[str, frozenset[int]], wishes: Wishes, warnings: list[str]
) -> tuple[dict[str, int], list[str]]:
    """Return how many cores each set gets, and which sets join housekeeping."""
    counts: dict[str, int] = {}
    for name in PLACED:
        count = wishes.cores.get(name, 1)
        if count < 1:
            raise QuietcoreError(
                "not a number of cores", where=f"core_plan_{name}_cores", found=count, expected="1 or more"
            )
        if name not in fixed:
            counts[name] = count
    if wishes.housekeeping_cores < 1:
        raise QuietcoreError(
            "not a number of cores",
            where="core_plan_housekeeping_cores",
            found=wishes.housekeeping_cores,
            expected="1 or more",
        )
    extra = wishes.housekeeping_cores - 1
    asked = dict(counts)
    while sum(counts.values()) + extra > len(free):
        crowded = [name for name in reversed(_KEEPS) if counts.get(name, 0) > 1]
        if crowded:
            counts[crowded[0]] -= 1
        elif extra:
            extra -= 1
        else:
            counts.pop(next(name for name in reversed(_KEEPS) if name in counts))
    if extra < wishes.housekeeping_cores - 1:
        warnings.append(
            f"too few cores: housekeeping keeps {extra + 1} of the {wishes.housekeeping_cores} asked for"
        )
    warnings.extend(
        f"too few cores: {name} gets {counts[name]} of the {asked[name]} asked for"
        for name in PLACED
        if name in counts and counts[name] < asked[name]
    )
    shared = [name for name in PLACED if name in asked and name not in counts]
    warnings.extend(f"too few cores: {name} shares those of housekeeping" for name in shared)
    return counts, shared


def _place(
    topology: Topology, free: list[int], counts: Mapping[str, int], warnings: list[str]
) -> dict[str, list[int]]:
    """Choose cores: performance cores and the network card's node first, high numbers before low ones."""
    first = {core: cpus[0] for core, cpus in topology.cores().items()}
    home = _home_node(topology, free, warnings)

    def far(core: int) -> int:
        return topology.distance(home, first[core].node)

    def rank(cores: list[int], grades: tuple[int, ...]) -> list[int]:
        return sorted(cores, key=lambda core: (grades.index(first[core].grade), far(core), -core))

    hybrid = len({core.grade for core in first.values()}) > 1
    placed: dict[str, list[int]] = {}
    remaining = list(free)
    # On a hybrid processor the pipeline takes performance cores first and interrupts efficiency cores; neither takes a
    # low-power one while there is another.
    for names, grades in (
        ((ISOLATED, (0, 1, 2)), (("irq",), (1, 0, 2))) if hybrid else ((_NEAREST, (0, 1, 2)),)
    ):
        order = [name for name in names for _ in range(counts.get(name, 0))]
        chosen = rank(remaining, grades)[: len(order)]
        remaining = [core for core in remaining if core not in chosen]
        # Cores of one class (equally near, equally fast): ascending, in the order of the sets.
        while chosen:
            grade = (first[chosen[0]].grade, far(chosen[0]))
            group = sorted(core for core in chosen if (first[core].grade, far(core)) == grade)
            for name, core in zip(sorted(order[: len(group)], key=SETS.index), group, strict=True):
                placed.setdefault(name, []).append(core)
            chosen, order = chosen[len(group) :], order[len(group) :]
    away = sorted({name for name, places in placed.items() for core in places if first[core].node != home})
    if away:
        warnings.append(f"memory node {home} has too few free cores: {', '.join(away)} on another node")
    return placed


def _home_node(topology: Topology, free: list[int], warnings: list[str]) -> int:
    """Return the memory node that the pipeline lives on: the network card's, where it is known."""
    nodes = topology.nodes()
    apart = [f"{card.name} on {card.node}" for card in topology.cards if card.node >= 0]
    if len({card.node for card in topology.cards if card.node >= 0}) > 1:
        warnings.append(f"the cards of {topology.interface} are on several memory nodes: {', '.join(apart)}")
    if topology.interface_node in nodes:
        home = topology.interface_node
        if any(topology.node_memory_kib) and not topology.memory_of(home):
            warnings.append(
                f"memory node {home} has no memory of its own: all of the pipeline's is on another node"
            )
        return home
    if len(nodes) == 1:
        return nodes[0]
    if topology.interface_node >= 0:
        card = topology.interface_node
        home = min(nodes, key=lambda node: (topology.distance(card, node), node))
        warnings.append(f"no CPU of the network card's node {card} runs: node {home}, the nearest, is taken")
        return home
    node_of = {core: cpus[0].node for core, cpus in topology.cores().items()}
    home = max(nodes, key=lambda node: (sum(node_of[core] == node for core in free), -node))
    name = f"the network card ({topology.interface})" if topology.interface else "the network card"
    warnings.append(f"it is not known which memory node {name} is on: node {home} is taken")
    return home


def wishes_from(values: Mapping[str, Any]) -> Wishes:
    """Build wishes from plain values: `<set>_cores` numbers, `<set>_cpus` lists such as `3-5` (empty: no
    wish), `siblings_off` names of sets.
    """
    cpus: dict[str, frozenset[int]] = {}
    for name in PLACED:
        text = values.get(f"{name}_cpus")
        if not text:
            continue
        try:
            cpus[name] = parse_cpu_list(str(text))
        except QuietcoreError as error:
            raise QuietcoreError(
                error.what, where=f"core_plan_{name}_cpus", found=error.found, expected=error.expected
            ) from None
    cores = {name: int(values[f"{name}_cores"]) for name in PLACED if values.get(f"{name}_cores") is not None}
    housekeeping = values.get("housekeeping_cores")
    alone = frozenset(values.get("siblings_off") or ())
    return Wishes(cores, cpus, 1 if housekeeping is None else int(housekeeping), alone)
