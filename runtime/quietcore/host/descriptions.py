"""Descriptions of machines saved to a file: our own JSON, `lscpu -J`, or a listing of sysfs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import QuietcoreError
from .network_stack import Card
from .texts.lscpu import Row, read_json, read_parsable, read_summary, read_table
from .topology import Cpu, Topology, read_topology
from .tree import LISTING_COMMAND, ListedTree
from .unreadable import NotUnderstoodError

_LIMIT = 32 << 20  # bytes; a listing of 4,096 CPUs has about 1 MiB
_Read = TypeVar("_Read")
_TABLE = "lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE"


def load_description(path: Path, interface: str = "") -> Topology:
    """Read a saved description: our own JSON (or a plan file), either form of `lscpu -J`, or a listing.

    The texts of lscpu are read as `texts.lscpu` says, those of a listing as `read_topology` says.
    Only a listing knows network cards: `interface` chooses one of it. Raises QuietcoreError.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise QuietcoreError("cannot be read", where=str(path), found=error.strerror) from error
    if len(text) > _LIMIT:
        raise QuietcoreError("too large for a description", where=str(path), expected="at most 32 MiB")
    if text.startswith("/"):
        return read_topology(ListedTree(text, str(path)), interface)
    if interface:
        raise QuietcoreError(
            "this description does not know network cards",
            where="--interface",
            found=interface,
            remedy=f'give --interface-node, or save a listing: bash -c "{LISTING_COMMAND}"',
        )
    if text.startswith("#"):
        return _from_rows(_refused_as_given(read_parsable, text, str(path)), str(path))
    try:
        value = read_json(text)
    except (ValueError, RecursionError) as error:
        raise QuietcoreError(
            "neither JSON nor a listing",
            where=str(path),
            found=str(error),
            expected=f"the output of {_TABLE}, of `quietcore plan --json`, or lines /sys/PATH:CONTENT",
        ) from None
    own = isinstance(value, Mapping) and ("topology" in value or "memory_kib" in value)
    return from_json(value, str(path)) if own else from_lscpu(value, str(path))


def from_json(value: Any, where: str = "saved topology") -> Topology:
    """Read back `Topology.to_json`, also as found inside a plan file. Raises QuietcoreError."""
    if isinstance(value, Mapping) and isinstance(value.get("topology"), Mapping):
        value = value["topology"]
    try:
        topology = Topology(
            cpus=tuple(_own_cpu(cpu) for cpu in value["cpus"]),
            memory_kib=int(value.get("memory_kib", 0)),
            interface=str(value.get("interface", "")),
            interface_node=int(value.get("interface_node", -1)),
            distances=tuple(tuple(map(int, row)) for row in value.get("distances", ())),
            node_memory_kib=tuple(map(int, value.get("node_memory_kib", ()))),
            rotating_disk=str(value.get("rotating_disk", "")),
            cards=tuple(Card(str(card["name"]), int(card["node"])) for card in value.get("cards", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QuietcoreError(
            "not a saved topology",
            where=where,
            found=str(error),
            remedy="make one with `quietcore plan --json`",
        ) from None
    return _checked(topology, where)


def _own_cpu(value: Any) -> Cpu:
    """Return a CPU of our own JSON. Raises TypeError."""
    for field in fields(Cpu):
        wanted = bool if field.name in ("online", "efficient", "low_power") else int
        if field.name in value and type(value[field.name]) is not wanted:
            raise TypeError(f"{field.name}: {value[field.name]!r} is no {wanted.__name__}")
    return Cpu(**value)


def from_lscpu(value: Any, where: str = "lscpu") -> Topology:
    """Read `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE`, or plain `lscpu -J` of a machine without SMT.

    Raises QuietcoreError, also where the summary cannot tell which CPUs are siblings.
    """
    if isinstance(value, Mapping) and isinstance(value.get("cpus"), list):
        return _from_rows(_refused_as_given(read_table, value["cpus"], where), where)
    if isinstance(value, Mapping) and isinstance(value.get("lscpu"), list):
        return _from_summary(value["lscpu"], where)
    raise QuietcoreError("not the output of lscpu", where=where, expected=_TABLE)


def _refused_as_given(read: Callable[[Any, str], _Read], value: Any, where: str) -> _Read:
    """Return what a reader makes of a file that was given to us: what it refuses is wrong usage."""
    try:
        return read(value, where)
    except NotUnderstoodError as error:
        raise QuietcoreError(
            error.what, where=where, found=error.found, expected=error.expected, remedy=f"save `{_TABLE}`"
        ) from None


def _from_rows(rows: list[Row], where: str) -> Topology:
    first: dict[tuple[int, ...], int] = {}
    cpus: list[Cpu] = []
    for row in rows:
        number = row["cpu"]
        if not row["online"]:  # lscpu knows no core of a CPU that is off
            cpus.append(Cpu(number, number, online=False))
            continue
        # Cores may be numbered in each socket, and sockets in each book or drawer (s390), from 0.
        place = tuple(row.get(name, 0) for name in ("drawer", "book", "socket", "core"))
        cpus.append(Cpu(number, first.setdefault(place, number), row.get("socket", 0), row.get("node", 0)))
    return _checked(Topology(_without_smt_efficient(cpus)), where)


def _without_smt_efficient(cpus: list[Cpu]) -> tuple[Cpu, ...]:
    """Return the CPUs, those alone on their core marked as efficiency cores where others have siblings.

    lscpu does not tell them; on hybrid processors they are the ones without SMT. Where a CPU is off line, one alone
    may have a sibling there, so nothing is concluded.
    """
    threads = Counter(cpu.core for cpu in cpus)
    if not all(cpu.online for cpu in cpus) or len(set(threads.values())) < 2:
        return tuple(cpus)
    return tuple(replace(cpu, efficient=threads[cpu.core] == 1) for cpu in cpus)


def _from_summary(rows: list[Any], where: str) -> Topology:
    threads, cpus = _refused_as_given(read_summary, rows, where)
    if threads != "1":
        raise QuietcoreError(
            "this summary does not tell which CPUs share a core",
            where=where,
            found=f"{threads or 'no line'} thread(s) per core",
            remedy=f"save `{_TABLE}` instead",
        )
    return _from_rows([{**row, "core": row["cpu"]} for row in cpus], where)


def _checked(topology: Topology, where: str) -> Topology:
    if not topology.online():
        raise QuietcoreError("no running CPU is described", where=where)
    numbers: set[int] = set()
    for cpu in topology.cpus:
        if cpu.number in numbers:
            raise QuietcoreError("a CPU is described twice", where=where, found=f"CPU {cpu.number}")
        numbers.add(cpu.number)
    if min(numbers) < 0 or any(cpu.node < 0 or cpu.package < 0 for cpu in topology.cpus):
        raise QuietcoreError("a negative number", where=where, expected="numbers of CPUs, sockets and nodes")
    return topology
