"""CPU sets in the kernel's two spellings: lists (`0,3-5`) and hexadecimal masks (`ffff,00000038`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import QuietcoreError

_MAX_CPU = 1 << 16
_MASK = re.compile(r"[0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})*")


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as `0,3-5`; strides (`0-6:2/4`) are refused.

    Raises QuietcoreError where the text is no such list.
    """
    cpus: set[int] = set()
    for part in text.strip().split(","):
        piece = part.strip()
        if not piece:
            continue
        first, dash, last = piece.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise QuietcoreError("not a list of CPUs", found=repr(text), expected="a list such as 0,3-5")
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high >= _MAX_CPU:
            raise QuietcoreError(
                "not a list of CPUs", found=repr(text), expected="ascending ranges such as 3-5"
            )
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


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
    """Return the CPUs of a mask such as `3f` or `ffff,00000038`.

    Grammar: hexadecimal words between commas, of up to 8 digits the first and of 8 each further one, of which a word
    is 32 CPUs and the last holds CPU 0. Raises QuietcoreError for anything else, an empty text among it.
    """
    if not _MASK.fullmatch(text.strip()):
        raise QuietcoreError(
            "not a CPU mask",
            found=repr(text),
            expected="hexadecimal words, the second and later ones of 8 digits",
        )
    value = int(text.strip().replace(",", ""), 16)
    return frozenset(bit for bit in range(value.bit_length()) if value >> bit & 1)


def format_cpu_mask(cpus: Iterable[int]) -> str:
    """Return the mask that the kernel accepts, 32 bits between commas."""
    value = sum(1 << cpu for cpu in set(cpus))
    words = [f"{value & 0xFFFFFFFF:08x}"]
    while value := value >> 32:
        words.insert(0, f"{value & 0xFFFFFFFF:08x}")
    words[0] = words[0].lstrip("0") or "0"
    return ",".join(words)
