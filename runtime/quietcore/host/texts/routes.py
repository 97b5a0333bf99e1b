"""/proc/net/route and /proc/net/ipv6_route: which interface the default route leaves by.

The forms, from net/ipv4/fib_trie.c and net/ipv6/route.c:

    route      = title line, then a line for each: interface destination gateway flags refs use metric mask mtu window
                 irtt, parted by tabs; addresses in 8 hexadecimal digits of the machine's own order, flags in
                 hexadecimal, metric in decimal; padded with spaces. `*` stands for no interface
    ipv6_route = a line for each: destination length source length nexthop metric refs use flags interface, hexadecimal

Routes that are down or that refuse (RTF_REJECT) lead nowhere. Of several defaults the least metric counts, of equal
ones the first; of a route with several next hops the kernel shows the first.
"""

from __future__ import annotations

import re

from ..unreadable import NotUnderstoodError

_UP, _REJECT = 0x0001, 0x0200
_HEX4, _HEX6 = re.compile(r"[0-9A-F]{8}"), re.compile(r"[0-9a-f]{32}")


def default_interface_4(text: str, where: str = "/proc/net/route") -> str:
    """Return the interface of IPv4's default route, empty where there is none. Raises NotUnderstoodError."""
    title, *lines = text.rstrip("\n").split("\n")
    if title.split()[:2] != ["Iface", "Destination"]:
        raise NotUnderstoodError("no title", where=where, found=title, expected="Iface, Destination, …")
    defaults: list[tuple[int, str]] = []
    for line in lines:
        words = line.split()
        if len(words) != 11 or not all(map(_HEX4.fullmatch, (words[1], words[2], words[7]))):
            raise NotUnderstoodError("not a route", where=where, found=line, expected="11 fields of a route")
        flags, metric = _number(words[3], 16, line, where), _number(words[6], 10, line, where)
        if words[1] == words[7] == "00000000" and words[0] != "*" and flags & _UP and not flags & _REJECT:
            defaults.append((metric, words[0]))
    return min(defaults, key=lambda item: item[0], default=(0, ""))[1]


def default_interface_6(text: str, where: str = "/proc/net/ipv6_route") -> str:
    """Return the interface of IPv6's default route, empty where there is none. Raises NotUnderstoodError."""
    defaults: list[tuple[int, str]] = []
    for line in text.rstrip("\n").split("\n") if text.strip() else []:
        words = line.split()
        if len(words) != 10 or not all(map(_HEX6.fullmatch, (words[0], words[2], words[4]))):
            raise NotUnderstoodError("not a route", where=where, found=line, expected="10 fields of a route")
        length, metric, flags = (_number(words[index], 16, line, where) for index in (1, 5, 8))
        if (
            length == 0
            and int(words[0], 16) == 0
            and words[9] != "lo"
            and flags & _UP
            and not flags & _REJECT
        ):
            defaults.append((metric, words[9]))
    return min(defaults, key=lambda item: item[0], default=(0, ""))[1]


def _number(word: str, base: int, line: str, where: str) -> int:
    try:
        return int(word, base)
    except ValueError:
        raise NotUnderstoodError("not a route", where=where, found=line, expected="numbers") from None
