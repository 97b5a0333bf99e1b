"""Huge pages on the kernel's command line: which size a number is of, and that the kernel obeys the first of each size.

Source: mm/hugetlb.c, hugepages_setup and its neighbours. `hugepagesz=` names the size of the next `hugepages=`; a bare
one is of the default size, which `default_hugepagesz=` names. A second number for a size is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from ..errors import QuietcoreError
from .machine import AbsentError, Machine, UnreadableError

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([KMGTPEkmgtpe]?)")
_DEFAULT_KIB = 2048


def size_kib(text: str) -> int | None:
    """Return a size as the kernel reads it (lib/cmdline.c, memparse), in KiB; None for what is none of whole KiB."""
    match = _SIZE.match(text)
    if match is None:
        return None
    number = match[1]
    base = 16 if number[:2] in ("0x", "0X") else 8 if number.startswith("0") and number != "0" else 10
    try:
        size = int(number, base) << _UNITS[match[2].upper()]
    except ValueError:
        return None
    return size >> 10 if size and size % 1024 == 0 else None


def default_kib(machine: Machine) -> int:
    """Return the size of the running kernel's default huge pages, 2 MiB where it does not say."""
    try:
        match = re.search(r"^Hugepagesize:\s+([0-9]+) kB$", machine.read("/proc/meminfo"), re.MULTILINE)
    except (AbsentError, UnreadableError):
        match = None
    return int(match[1]) if match else _DEFAULT_KIB


def numbers(words: Iterable[str], default: int) -> Iterator[tuple[int | None, int]]:
    """Yield size in KiB (None: not a size) and place among the words of each `hugepages=`."""
    named: int | None = default
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("default_hugepagesz", "hugepagesz") and equals:
            named = size_kib(value)
        elif name == "hugepages" and equals:
            yield named, place


def obeyed_instead(machine: Machine, words: Sequence[str], ours: str) -> str | None:
    """Return the earlier number for the same size that the kernel obeys, None where it obeys our `hugepages=…`."""
    sizes = {place: size for size, place in numbers(words, default_kib(machine))}
    place = next((place for place in reversed(sizes) if words[place] == ours), None)
    if place is None:
        return None
    first = min(one for one, size in sizes.items() if size == sizes[place])
    return words[first] if words[first] != ours else None


def refuse_same_size(
    machine: Machine, standing: Sequence[tuple[str, str]], wanted: Iterable[str], ours: Collection[str]
) -> None:
    """Refuse sizes (`2M`) for which a number stands there already: the kernel would take that one.

    `standing` are (place, word) of what is configured without us. Raises QuietcoreError.
    """
    sizes = {size_kib(text): text for text in wanted}
    others = [(where, word) for where, word in standing if word not in ours]
    for size, place in numbers([word for _, word in others], default_kib(machine)):
        if size is not None and size in sizes:
            where, word = others[place]
            raise QuietcoreError(
                f"huge pages of {sizes[size]} are configured already, and the kernel obeys the first number of a size",
                where=where,
                found=word,
                expected=f"no number of pages of {sizes[size]}",
                remedy="take it out there, or set huge_pages_at_boot: false; then run this again",
            )
