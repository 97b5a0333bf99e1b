"""CPU sets in the kernel's two spellings: lists (`0,3-5`) and hexadecimal masks (`ffff,00000038`).

A list, as lib/bitmap-str.c reads and prints one:

    list   = [item {"," item}] ["\\n"]           no item: no CPU; people may put spaces around items, and empty ones
    item   = number ["-" number [":" used "/" group]]
    number = decimal digits                      below 65,536; ranges ascend, 1 <= used <= group

`0-31:2/4` is the first two of each four of 0 to 31. The kernel's words `all` and `N` (the last CPU) are refused:
which CPU they mean is not in the text. A mask has words of up to eight hexadecimal digits, all but the first of eight.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import QuietcoreError
from .unreadable import NotUnderstoodError

_MAX_CPU = 1 << 16
_ITEM = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+)/([0-9]+))?)?")
_MASK = re.compile(r"[0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})*")
# What the kernel prints for a set that was never made (`%pbl` of NULL), as nohz_full without that parameter.
_NO_SET = "(null)"


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as `0,3-5` or `0-6:2/4`.

    Raises QuietcoreError where the text is no such list.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        item = part.strip()
        if not item:
            continue
        match = _ITEM.fullmatch(item)
        if match is None:
            raise QuietcoreError("not a list of CPUs", found=repr(text), expected="a list such as 0,3-5")
        low = int(match[1])
        high = low if match[2] is None else int(match[2])
        used, group = (1, 1) if match[3] is None else (int(match[3]), int(match[4]))
        if high < low or high >= _MAX_CPU or not 1 <= used <= group:
            raise QuietcoreError(
                "not a list of CPUs", found=repr(text), expected="ascending ranges such as 3-5"
            )
        if used == group:
            cpus.update(range(low, high + 1))
        else:
            cpus.update(cpu for cpu in range(low, high + 1) if (cpu - low) % group < used)
    return frozenset(cpus)


def kernel_cpu_list(text: str, where: str) -> frozenset[int]:
    """Return the CPUs of a list that the kernel printed in a file; `(null)`, a set that was never made, has none.

    Raises NotUnderstoodError: nothing is known then, not even that there are none.
    """
    stripped = text.strip()
    if stripped in ("", _NO_SET):
        return frozenset()
    if not all(map(_ITEM.fullmatch, stripped.split(","))):
        raise NotUnderstoodError(
            "not a list of CPUs", where=where, found=text, expected="a list such as 0,3-5"
        )
    try:
        return parse_cpu_list(stripped)
    except QuietcoreError as error:
        raise NotUnderstoodError(error.what, where=where, found=text, expected=error.expected) from None


def format_cpu_list(cpus: Iterable[int]) -> str:
    """Return the shortest list, the way the kernel prints one (`0,3-5`; no CPUs: an empty text)."""
    parts: list[str] = []
    start: int | None = None
    previous = -2
    for cpu in [*sorted(set(cpus)), -1]:
        if cpu != previous + 1 or cpu == -1:
            if start is not None:
                parts.append(str(start) if start == previous else f"{start}-{previous}")
            start = cpu
        previous = cpu
    return ",".join(parts)


def parse_cpu_mask(text: str) -> frozenset[int]:
    """Return the CPUs of a mask such as `3f` or `ffff,00000038` (32 bits between commas).

    Raises QuietcoreError where the text is no such mask.
    """
    stripped = text.strip()
    if _MASK.fullmatch(stripped) is None:
        raise QuietcoreError(
            "not a CPU mask", found=repr(text), expected="hexadecimal words such as ff,0000000f"
        )
    value = int(stripped.replace(",", ""), 16)
    return frozenset(bit for bit in range(value.bit_length()) if value >> bit & 1)


def kernel_cpu_mask(text: str, where: str) -> frozenset[int]:
    """Return the CPUs of a mask that the kernel printed in a file. Raises NotUnderstoodError."""
    try:
        return parse_cpu_mask(text)
    except QuietcoreError as error:
        raise NotUnderstoodError(error.what, where=where, found=text, expected=error.expected) from None


def format_cpu_mask(cpus: Iterable[int]) -> str:
    """Return the mask that the kernel accepts, 32 bits between commas."""
    value = sum(1 << cpu for cpu in set(cpus))
    words = [f"{value & 0xFFFFFFFF:08x}"]
    while value := value >> 32:
        words.insert(0, f"{value & 0xFFFFFFFF:08x}")
    words[0] = words[0].lstrip("0") or "0"
    return ",".join(words)
