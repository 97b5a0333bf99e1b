"""Descriptions of machines saved to a file: our own JSON, `lscpu -J`, or a listing of sysfs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import QuietcoreError
from .cpulist import parse_cpu_list
from .topology import Cpu, Topology, read_topology
from .tree import LISTING_COMMAND, ListedTree

_LIMIT = 32 << 20  # bytes; a listing of 4,096 CPUs has about 1 MiB
_TABLE = "lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE"


def load_description(path: Path, interface: str = "") -> Topology:
    """Read a saved description: our own JSON (or a plan file), either form of `lscpu -J`, or a listing.

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
    try:
        value = json.loads(text)
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
        wanted = bool if field.name in ("online", "efficient") else int
        if field.name in value and type(value[field.name]) is not wanted:
            raise TypeError(f"{field.name}: {value[field.name]!r} is no {wanted.__name__}")
    return Cpu(**value)


def from_lscpu(value: Any, where: str = "lscpu") -> Topology:
    """Read `lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE`, or plain `lscpu -J` of a machine without SMT.

    Raises QuietcoreError, also where the summary cannot tell which CPUs are siblings.
    """
    if isinstance(value, Mapping) and isinstance(value.get("cpus"), list):
        return _from_table(value["cpus"], where)
    if isinstance(value, Mapping) and isinstance(value.get("lscpu"), list):
        return _from_summary(value["lscpu"], where)
    raise QuietcoreError("not the output of lscpu", where=where, expected=_TABLE)


def _from_table(rows: list[Any], where: str) -> Topology:
    first: dict[tuple[int, int], int] = {}
    cpus: list[Cpu] = []
    for row in rows:
        try:
            number = int(row["cpu"])
            online = row.get("online") in (True, "yes", "true", None)
            if online:
                package, node = _index(row.get("socket")), _index(row.get("node"))
                core = first.setdefault((package, int(row["core"])), number)
                cpus.append(Cpu(number, core, package, node))
            else:  # lscpu prints no core for a CPU that is off
                cpus.append(Cpu(number, number, online=False))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise QuietcoreError(
                "a row of lscpu without cpu or core", where=where, found=row, remedy=_TABLE
            ) from None
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


def _index(value: Any) -> int:
    """Return a number of lscpu's table; a machine without sockets or nodes shows nothing, or a dash."""
    return 0 if value in (None, "", "-") else int(value)


def _from_summary(rows: list[Any], where: str) -> Topology:
    fields_of: dict[str, str] = {}

    def collect(items: Any) -> None:
        for item in items if isinstance(items, list) else ():
            if isinstance(item, Mapping):
                fields_of[str(item.get("field", "")).rstrip(":")] = str(item.get("data", ""))
                collect(item.get("children"))

    collect(rows)
    if fields_of.get("Thread(s) per core") != "1":
        raise QuietcoreError(
            "this summary does not tell which CPUs share a core",
            where=where,
            found=f"{fields_of.get('Thread(s) per core', 'no line')} thread(s) per core",
            remedy=f"save `{_TABLE}` instead",
        )
    online = sorted(parse_cpu_list(fields_of.get("On-line CPU(s) list", "")))
    node_of = {
        number: int(name.split()[1][4:])
        for name, text in fields_of.items()
        if name.startswith("NUMA node") and name.endswith("CPU(s)") and name.split()[1][4:].isdecimal()
        for number in parse_cpu_list(text)
    }
    off = sorted(parse_cpu_list(fields_of.get("Off-line CPU(s) list", "")))
    cpus = [Cpu(number, number, node=node_of.get(number, 0)) for number in online]
    return _checked(Topology((*cpus, *(Cpu(number, number, online=False) for number in off))), where)


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
