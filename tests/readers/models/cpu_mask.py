"""CPU masks as the kernel prints them: hexadecimal words of 32 bits, the highest first, the later ones with 8 digits.

Format: bitmap_string() in lib/vsprintf.c (`%*pb`), as in /proc/irq/default_smp_affinity.
"""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader

from quietcore.errors import QuietcoreError
from quietcore.host.cpulist import parse_cpu_mask


def render(chance: random.Random) -> tuple[str, frozenset[int]]:
    """Return a mask of a machine of any size, and its CPUs."""
    size = chance.choice((1, 4, 8, 31, 32, 33, 64, 96, 250))
    truth = frozenset(cpu for cpu in range(size) if chance.random() < chance.choice((0.0, 0.1, 0.9)))
    words: list[str] = []
    for low in range(0, size, 32):
        word = sum(1 << cpu - low for cpu in truth if low <= cpu < low + 32)
        width = min(size - low, 32)
        words.insert(0, f"{word:0{(width + 3) // 4}x}")
    return ",".join(words) + chance.choice(("", "\n")), truth


def without_word(text: str) -> frozenset[int]:
    """Read the lowest word alone."""
    return parse_cpu_mask(text.strip().rpartition(",")[2])


def one_too_many(text: str) -> frozenset[int]:
    """Count CPUs from 1."""
    return frozenset(cpu + 1 for cpu in parse_cpu_mask(text))


READERS = [
    Reader(
        "CPU mask",
        render,
        parse_cpu_mask,
        {
            "a letter that is no digit": Damage(
                lambda chance, text: text.strip() + chance.choice("gxz_-+ ") + "0", QuietcoreError
            ),
            "an empty word": Damage(lambda chance, text: text.strip() + ",", QuietcoreError),
            "nothing": Damage(lambda chance, text: chance.choice(("", "\n", " ")), QuietcoreError),
            "a word too long": Damage(lambda chance, text: "f" * chance.randint(9, 20), QuietcoreError),
            "a short word that is not the first": Damage(
                lambda chance, text: f"{text.strip()},{'f' * chance.randint(1, 7)}", QuietcoreError
            ),
        },
        {"the lowest word alone": without_word, "one too many": one_too_many},
    )
]
