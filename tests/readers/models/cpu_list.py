"""CPU lists as the kernel prints them (`%*pbl`), and as people write them with the grammar of its boot parameters.

Formats: bitmap_list_string() in lib/vsprintf.c; bitmap_parselist() in lib/bitmap-str.c; "cpu lists" in
Documentation/admin-guide/kernel-parameters.rst.
"""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader

from quietcore.errors import QuietcoreError
from quietcore.host.cpulist import kernel_cpu_list, parse_cpu_list
from quietcore.host.unreadable import NotUnderstoodError


def some_cpus(chance: random.Random, most: int = 200) -> frozenset[int]:
    size, density = chance.choice((1, 2, 8, 64, most)), chance.choice((0.0, 0.1, 0.5, 0.95))
    return frozenset(cpu for cpu in range(size) if chance.random() < density)


def printed(cpus: frozenset[int]) -> str:
    """Print a list as the kernel does: ascending, neighbours as a range, two neighbours too."""
    parts: list[str] = []
    for cpu in sorted(cpus):
        if cpu - 1 in cpus:
            continue
        last = cpu
        while last + 1 in cpus:
            last += 1
        parts.append(str(cpu) if last == cpu else f"{cpu}-{last}")
    return ",".join(parts)


def of_kernel(chance: random.Random) -> tuple[str, frozenset[int]]:
    cpus = some_cpus(chance)
    text = printed(cpus) if cpus or chance.random() < 0.5 else "(null)"
    return text + chance.choice(("", "\n")), cpus


def of_people(chance: random.Random) -> tuple[str, frozenset[int]]:
    """Return items in any order, overlapping, some with strides, and the CPUs counted one by one."""
    cpus: set[int] = set()
    items: list[str] = []
    for _ in range(chance.randrange(6)):
        low = chance.randrange(100)
        high = low + chance.choice((0, 1, 7, 40))
        kind = chance.choice(("single", "range", "stride", "empty"))
        if kind == "empty":
            items.append("")
        elif kind == "single":
            items.append(str(low))
            cpus.add(low)
        elif kind == "range":
            items.append(f"{low}-{high}")
            cpus.update(range(low, high + 1))
        else:
            group = chance.randint(1, 9)
            used = chance.randint(1, group)
            items.append(f"{low}-{high}:{used}/{group}")
            start = low
            while start <= high:
                cpus.update(cpu for cpu in range(start, start + used) if cpu <= high)
                start += group
    return chance.choice((",", ", ", " ,")).join(items), frozenset(cpus)


def _broken(chance: random.Random, text: str) -> str:
    return f"{text.strip()},{chance.choice(('x', '-3', '4-', '5-3', '1..2', '0x1', '1 2', '99999999', '+1'))}"


def first_item(text: str) -> frozenset[int]:
    return kernel_cpu_list(text.strip().partition(",")[0], "x")


def without_strides(text: str) -> frozenset[int]:
    items = [item.partition(":")[0] for item in text.split(",")]
    return parse_cpu_list(",".join(items))


def unreadable_is_none(text: str) -> frozenset[int]:
    try:
        return kernel_cpu_list(text, "x")
    except QuietcoreError:
        return frozenset()


READERS = [
    Reader(
        "CPU list of the kernel",
        of_kernel,
        lambda text: kernel_cpu_list(text, "/sys/devices/system/cpu/online"),
        {
            "an item that is none": Damage(
                lambda chance, text: None if "null" in text or not text.strip() else _broken(chance, text),
                NotUnderstoodError,
            ),
            "cut off behind a comma": Damage(
                lambda chance, text: text[: text.rindex(",") + 1] if "," in text else None, NotUnderstoodError
            ),
            "cut off in a range": Damage(
                lambda chance, text: text[: text.rindex("-") + 1] if "-" in text else None, NotUnderstoodError
            ),
        },
        {"the first item alone": first_item, "what cannot be read is no CPU": unreadable_is_none},
    ),
    Reader(
        "CPU list of people",
        of_people,
        parse_cpu_list,
        {
            "an item that is none": Damage(_broken, QuietcoreError),
            "a stride that is none": Damage(
                lambda chance, text: f"{text},0-9:{chance.choice(('0/2', '3/2', '1', '1/', '/2', '-1/2'))}",
                QuietcoreError,
            ),
            "a word that needs the machine": Damage(
                lambda chance, text: f"{text},{chance.choice(('all', '1-N', 'N'))}", QuietcoreError
            ),
        },
        {"strides left out": without_strides},
    ),
]
