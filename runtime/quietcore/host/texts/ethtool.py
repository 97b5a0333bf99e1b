"""What ethtool prints of a card: rings, channels, coalescing, offloads, receive-side scaling, permanent address.

The forms, from ethtool's netlink/{rings,channels,coalesce,features}.c, rxclass.c and ethtool.c, versions 4.16 to 6.x:

    -g, -l  title ":" NL "Pre-set maximums:" NL {entry} "Current hardware settings:" NL {entry}
    -c      title ":" NL "Adaptive RX: " state "  TX: " state NL {entry}
    -k      title ":" NL {feature ": " ("on" | "off") [" [fixed]" | " [requested on]" | …]}
    -x      title "with " number " RX ring(s)" … ":" NL {index ":" queue {queue}} | "Operation not supported", then
            anything about the hash
    -P      "Permanent address: " (six hexadecimal bytes | "not set")
    entry   name ":" (number | "n/a" | "on" | "off" | words of other entries)
    state   "on" | "off" | "n/a"

`n/a` is what the driver does not have: it is left out. A section without any of its entries, a value of another form,
or rows of the table that do not follow each other are refused. The address of a card that has none is twelve zeros or
`not set`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..unreadable import NotUnderstoodError

_ADDRESS = re.compile(r"Permanent address: (?:((?:[0-9a-f]{2}:){5}[0-9a-f]{2})|not set)\s*")
_TABLE = re.compile(r"RX flow hash indirection table for \S+ with ([0-9]+) RX ring\(s\).*:")
_ROW = re.compile(r"\s*([0-9]+):((?:\s+[0-9]+)+)\s*")
_ADAPTIVE = re.compile(r"Adaptive RX: (on|off|n/a)  TX: (on|off|n/a)\s*")
_FEATURE = re.compile(r"\s*([a-z0-9-]+): (on|off)((?: \[[a-z ]+\])?)\s*")
NO_ADDRESS = "00:00:00:00:00:00"


@dataclass(frozen=True)
class Bounded:
    """Numbers by ethtool's names: what is set now, and the most that can be."""

    most: Mapping[str, int]
    current: Mapping[str, int]


def read_bounded(text: str, names: Mapping[str, str], where: str) -> Bounded:
    """Return rings (`-g`) or channels (`-l`), the entries in `names` by the words there. Raises NotUnderstoodError."""
    sections: list[dict[str, int]] = []
    seen: list[set[str]] = []
    titles = ("Pre-set maximums:", "Current hardware settings:")
    for line in _body(text, where):
        if len(sections) < 2 and line.strip() == titles[len(sections)]:
            sections.append({})
            seen.append(set())
            continue
        key, value = _entry(line, where)
        if not sections:
            raise NotUnderstoodError("an entry before its title", where=where, found=line, expected=titles[0])
        if key not in names:
            continue
        if key in seen[-1]:
            raise NotUnderstoodError("an entry twice", where=where, found=line, expected="each once")
        seen[-1].add(key)
        number = _number(value, line, where)
        if number is not None:
            sections[-1][names[key]] = number
    missing = set(names) - seen[0] - seen[1] if len(sections) == 2 else set(names)
    if missing or seen[0] != seen[1]:
        raise NotUnderstoodError(
            "not both settings and maximums",
            where=where,
            found=text[-60:],
            expected=f"{', '.join(names)} in each",
        )
    return Bounded(*sections)


def read_coalesce(text: str, names: Mapping[str, str], where: str) -> dict[str, str]:
    """Return how interrupts are held back, by the words in `names` and `adaptive-rx`, `adaptive-tx`."""
    found: dict[str, str] = {}
    lines = _body(text, where)
    adaptive = _ADAPTIVE.fullmatch(lines[0]) if lines else None
    if adaptive is None:
        raise NotUnderstoodError(
            "no line of adaptive coalescing", where=where, found=text[:60], expected="Adaptive RX: …  TX: …"
        )
    found.update(
        (word, state)
        for word, state in (("adaptive-rx", adaptive[1]), ("adaptive-tx", adaptive[2]))
        if state != "n/a"
    )
    seen: set[str] = set()
    for line in lines[1:]:
        key, value = _entry(line, where)
        if key in seen:
            raise NotUnderstoodError("an entry twice", where=where, found=line, expected="each once")
        seen.add(key)
        if key in names:
            number = _number(value, line, where)
            if number is not None:
                found[names[key]] = str(number)
    if set(names) - seen:
        raise NotUnderstoodError("cut off", where=where, found=text[-60:], expected=", ".join(names))
    return found


def read_features(text: str, names: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the offloads that can be switched, on or off, by the words in `names`; fixed ones are left out."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    lines = _body(text, where)
    for line in lines:
        match = _FEATURE.fullmatch(line)
        if match is None or match[1] in seen:
            raise NotUnderstoodError(
                "not an offload", where=where, found=line, expected="NAME: on or off, each once"
            )
        seen.add(match[1])
        if match[1] in names and "[fixed]" not in match[3]:
            found[names[match[1]]] = match[2]
    if set(names) - seen:
        raise NotUnderstoodError("cut off", where=where, found=text[-60:], expected=", ".join(names))
    return found


def read_indirection(text: str, where: str) -> tuple[int, list[int]]:
    """Return the number of receive queues and the queue of each entry of the table, none where the card has no table.

    Raises NotUnderstoodError.
    """
    title, _, rest = text.partition("\n")
    rings = _TABLE.fullmatch(title.strip())
    entries: list[int] = []
    for line in rest.split("\n"):
        row = _ROW.fullmatch(line)
        if row is None:
            break
        if int(row[1]) != len(entries):
            raise NotUnderstoodError(
                "a gap in the table", where=where, found=line, expected=f"entry {len(entries)}"
            )
        entries += map(int, row[2].split())
    if rings is not None and rest.startswith("Operation not supported\n"):
        return int(rings[1]), []
    if rings is None or not entries or max(entries) >= int(rings[1]):
        raise NotUnderstoodError(
            "not a table of queues",
            where=where,
            found=text[:60],
            expected="… with N RX ring(s), then its entries",
        )
    return int(rings[1]), entries


def read_permanent_address(text: str, where: str) -> str:
    """Return the address that the card was made with, NO_ADDRESS where it has none. Raises NotUnderstoodError."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise NotUnderstoodError("not an address", where=where, found=text, expected="Permanent address: …")
    return match[1] or NO_ADDRESS


def _body(text: str, where: str) -> list[str]:
    """Return the lines behind the title. Raises NotUnderstoodError."""
    title, newline, rest = text.partition("\n")
    if not title.rstrip().endswith(":") or not newline or not rest.endswith("\n"):
        raise NotUnderstoodError(
            "no title, or cut off", where=where, found=text[:60], expected="… for INTERFACE:"
        )
    return [line for line in rest.split("\n") if line.strip()]


def _entry(line: str, where: str) -> tuple[str, str]:
    key, colon, value = line.strip().partition(":")
    if not colon or not key:
        raise NotUnderstoodError("not an entry", where=where, found=line, expected="NAME: VALUE")
    return key, value.strip()


def _number(value: str, line: str, where: str) -> int | None:
    if value == "n/a":
        return None
    if not value.isdecimal():
        raise NotUnderstoodError("not a number", where=where, found=line, expected="a number, or n/a")
    return int(value)
