from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietcore.errors import QuietcoreError
from quietcore.host.hardware import shortfalls
from quietcore.host.plan import ISOLATED, PLACED, SETS, CorePlan, Wishes, plan_cores, wishes_from
from quietcore.host.topology import Cpu, Topology


def machine(cores: int, threads: int = 1, nodes: int = 1, adjacent: bool = False, card: int = -1) -> Topology:
    """`adjacent`: siblings are 0 and 1; otherwise 0 and `cores`."""
    cpus = []
    for core in range(cores):
        for thread in range(threads):
            number = core * threads + thread if adjacent else core + thread * cores
            first = core * threads if adjacent else core
            node = core * nodes // cores
            cpus.append(Cpu(number, first, node, node))
    return Topology(tuple(sorted(cpus, key=lambda cpu: cpu.number)), interface="eth0", interface_node=card)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    cores = draw(st.integers(1, 64))
    threads = draw(st.sampled_from([1, 2, 4]))
    nodes = draw(st.sampled_from([node for node in (1, 2, 4, 8) if node <= cores]))
    made = machine(cores, threads, nodes, draw(st.booleans()), draw(st.integers(-1, nodes - 1)))
    off = draw(st.sets(st.integers(1, cores * threads), max_size=cores))
    slow = draw(st.sets(st.integers(0, cores * threads), max_size=cores))
    cpus = tuple(
        Cpu(cpu.number, cpu.core, cpu.package, cpu.node, cpu.number not in off, cpu.core in slow)
        for cpu in made.cpus
    )
    return Topology(cpus, interface="eth0", interface_node=made.interface_node)


WISHES = st.builds(
    Wishes,
    cores=st.dictionaries(st.sampled_from(PLACED), st.integers(1, 5)),
    housekeeping_cores=st.integers(1, 5),
    siblings_off=st.frozensets(st.sampled_from(ISOLATED)),
)


def check(plan: CorePlan) -> None:
    online = {cpu.number for cpu in plan.topology.online()}
    assert set(plan.sets) == set(SETS)
    used: set[int] = set()
    for name in SETS:
        cpus = set(plan.sets[name])
        assert cpus, f"{name} is empty"
        assert cpus <= online
        if name in plan.shared:
            assert plan.sets[name] == plan.sets["housekeeping"]
            assert any(name in warning for warning in plan.warnings)
        else:
            assert not cpus & used, f"{name} overlaps"
            used |= cpus
        for cpu in cpus:
            rest = plan.topology.siblings(cpu) - cpus
            assert rest <= set(plan.siblings_off), f"{name} has a part of a core"
            assert not rest or cpu == min(plan.topology.siblings(cpu))
    assert used | set(plan.siblings_off) == online
    assert not used & set(plan.siblings_off)
    assert (0 if 0 in online else min(online)) in plan.sets["housekeeping"]
    own = {cpu for name in ISOLATED if name not in plan.shared for cpu in plan.sets[name]}
    assert set(plan.isolated) == own | set(plan.siblings_off)
    assert not own & set(plan.sets["housekeeping"])


@given(topologies(), WISHES)
def test_every_plan_keeps_the_rules(topology: Topology, wishes: Wishes) -> None:
    plan = plan_cores(topology, wishes)
    check(plan)
    assert plan == plan_cores(topology, wishes), "the same machine gives the same plan"


@given(topologies(), WISHES)
def test_a_machine_with_room_gives_what_was_asked_for_without_overlap(
    topology: Topology, wishes: Wishes
) -> None:
    plan = plan_cores(topology, wishes)
    asked = {name: wishes.cores.get(name, 1) for name in PLACED}
    if len(topology.cores()) >= sum(asked.values()) + wishes.housekeeping_cores:
        assert not plan.shared
        for name, count in asked.items():
            assert len({topology.siblings(cpu) for cpu in plan.sets[name]}) == count


@given(topologies(), WISHES)
def test_no_core_that_is_nearer_to_the_network_card_is_left_unused(
    topology: Topology, wishes: Wishes
) -> None:
    even = tuple(replace(cpu, efficient=False) for cpu in topology.cpus)
    card = topology.interface_node
    topology = replace(topology, cpus=even)
    if card not in topology.nodes():
        return
    plan = plan_cores(topology, wishes)
    node = {cpu.number: cpu.node for cpu in topology.cpus}
    boot = topology.siblings(0 if topology.siblings(0) else min(cpu.number for cpu in topology.online()))
    unused = [topology.distance(card, node[cpu]) for cpu in plan.sets["housekeeping"] if cpu not in boot]
    placed = {name: plan.sets[name] for name in PLACED if name not in plan.shared}
    far = {name: max(topology.distance(card, node[cpu]) for cpu in cpus) for name, cpus in placed.items()}
    assert all(distance <= min(unused, default=99) for distance in far.values())
    # The feed comes first of all.
    if placed:
        assert "feed" in placed
        assert min(topology.distance(card, node[cpu]) for cpu in placed["feed"]) <= min(far.values())


@given(topologies(), st.frozensets(st.sampled_from(ISOLATED)))
def test_siblings_go_off_line_only_where_that_is_wished_for(
    topology: Topology, alone: frozenset[str]
) -> None:
    plain = plan_cores(topology)
    assert not plain.siblings_off
    plan = plan_cores(topology, Wishes(siblings_off=alone))
    assert plan.isolated == plain.isolated
    gone = {cpu for name in alone if name not in plain.shared for cpu in plain.sets[name]}
    assert set(plan.siblings_off) == gone - {min(topology.siblings(cpu)) for cpu in gone}


def test_the_siblings_of_other_sets_stay() -> None:
    with pytest.raises(QuietcoreError, match="core_plan_siblings_off; found irq; expected any of feed"):
        plan_cores(machine(6, 2), Wishes(siblings_off=frozenset({"irq"})))


def test_hardware_below_the_minimum_is_said() -> None:
    topology = replace(machine(3), memory_kib=4 << 20, rotating_disk="sda")
    said = [warning for warning in plan_cores(topology).warnings if warning.startswith("below the minimum")]
    assert [word in warning for word, warning in zip(("3 physical", "8 GiB", "sda"), said, strict=True)] == [
        True
    ] * 3
    assert not shortfalls(replace(machine(4), memory_kib=int(7.6 * (1 << 20))))
    assert not shortfalls(machine(4))


def test_the_throw_away_host() -> None:
    plan = plan_cores(machine(6))
    assert {name: list(plan.sets[name]) for name in SETS} == {
        "housekeeping": [0, 1],
        "irq": [2],
        "feed": [3],
        "strategy": [4],
        "gateway": [5],
    }
    assert plan.isolated == (3, 4, 5)
    assert not plan.warnings
    assert plan.lists()["not_isolated"] == "0-2"


@pytest.mark.parametrize(("adjacent", "feed"), [(False, (5, 13)), (True, (10, 11))])
def test_a_core_is_given_with_all_its_siblings(adjacent: bool, feed: tuple[int, int]) -> None:
    assert plan_cores(machine(8, 2, adjacent=adjacent)).sets["feed"] == feed


def test_the_network_cards_node_comes_first() -> None:
    plan = plan_cores(machine(16, nodes=2, card=0))
    assert {cpu // 8 for name in PLACED for cpu in plan.sets[name]} == {0}
    plan = plan_cores(machine(16, nodes=2, card=1))
    assert {cpu // 8 for name in PLACED for cpu in plan.sets[name]} == {1}
    assert not plan.warnings


def test_an_unknown_node_of_the_card_is_said() -> None:
    plan = plan_cores(machine(16, nodes=2))
    assert len({cpu // 8 for name in PLACED for cpu in plan.sets[name]}) == 1
    assert any("not known which memory node" in warning for warning in plan.warnings)


def test_a_full_node_keeps_the_feed_and_says_who_moved() -> None:
    plan = plan_cores(machine(6, nodes=3, card=1))
    assert {plan.sets["irq"], plan.sets["feed"]} == {(2,), (3,)}
    assert any("strategy" in warning and "another node" in warning for warning in plan.warnings)


def test_efficiency_cores_carry_interrupts_not_the_pipeline() -> None:
    cpus = tuple(Cpu(number, number, efficient=number >= 5) for number in range(10))
    plan = plan_cores(Topology(cpus))
    assert plan.isolated == (2, 3, 4)
    assert plan.sets["irq"] == (9,)


@pytest.mark.parametrize(
    ("cores", "shared", "isolated"),
    [
        (1, ["irq", "feed", "strategy", "gateway"], ()),
        (2, ["irq", "strategy", "gateway"], (1,)),
        (3, ["irq", "gateway"], (1, 2)),
        (4, ["gateway"], (2, 3)),
        (5, [], (2, 3, 4)),
    ],
)
def test_small_machines(cores: int, shared: list[str], isolated: tuple[int, ...]) -> None:
    plan = plan_cores(machine(cores))
    assert list(plan.shared) == shared
    assert plan.isolated == isolated
    assert len(plan.warnings) == len(shared) + (not isolated) + (cores < 4)


@pytest.mark.parametrize(
    ("cpus", "what", "valid"),
    [
        ("0", "CPU 0", "1-3,5-7"),
        ("4", "CPU 0", "1-3,5-7"),
        ("0-7", "no CPU for the system", "1-3,5-7"),
        ("9", "does not exist or is off line", "1-3,5-7"),
        ("1", "only a part of the physical core 1,5", "1,5"),
    ],
)
def test_a_set_that_cannot_be_isolated_is_refused(cpus: str, what: str, valid: str) -> None:
    with pytest.raises(QuietcoreError) as caught:
        plan_cores(machine(4, 2), wishes_from({"feed_cpus": cpus}))
    message = str(caught.value)
    for part in (what, "core_plan_feed_cpus", f"found {cpus}", valid):
        assert part in message


def test_wishes_that_are_none_are_refused() -> None:
    for values, where in (
        ({"feed_cpus": "3,"}, None),
        ({"feed_cpus": "x"}, "core_plan_feed_cpus"),
        ({"feed_cores": 0}, "core_plan_feed_cores"),
        ({"housekeeping_cores": 0}, "core_plan_housekeeping_cores"),
        ({"feed_cpus": "3", "strategy_cpus": "3"}, "core_plan_strategy_cpus"),
    ):
        if where is None:
            plan_cores(machine(6), wishes_from(values))
            continue
        with pytest.raises(QuietcoreError, match=where):
            plan_cores(machine(6), wishes_from(values))


def test_named_cpus_are_taken_and_the_rest_is_planned_around_them() -> None:
    plan = plan_cores(machine(8), wishes_from({"feed_cpus": "2", "gateway_cpus": "3"}))
    assert plan.sets["feed"] == (2,)
    assert plan.sets["gateway"] == (3,)
    check(plan)


def test_more_cores_are_asked_for_than_there_are() -> None:
    plan = plan_cores(machine(6), wishes_from({"feed_cores": 3, "housekeeping_cores": 2}))
    check(plan)
    assert plan.sets["feed"] == (3,) or len(plan.sets["feed"]) < 3
    assert any("feed gets" in warning for warning in plan.warnings)
