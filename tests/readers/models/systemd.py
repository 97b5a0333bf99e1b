"""`systemctl show` of units whose properties are known. Format: print_property() in systemd's systemctl-show.c."""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.systemd_show import read_properties, read_time_span
from quietcore.host.unreadable import NotUnderstoodError

ASKED = ("Id", "ActiveState", "UnitFileState", "CPUAffinity")
VALUES = ("", "active", "enabled-runtime", "0 2-4", "a=b=c", "x.service y.service", "\\x2d", "[unprintable]")


def render(chance: random.Random) -> tuple[str, list[dict[str, str]]]:
    truth = [
        {"Id": f"unit{number}.service", **{name: chance.choice(VALUES) for name in ASKED[1:]}}
        for number in range(chance.randrange(5))
    ]
    blocks = ("".join(f"{name}={value}\n" for name, value in block.items()) for block in truth)
    return "\n".join(blocks), truth


def read(text: str) -> list[dict[str, str]]:
    return read_properties(text, ASKED)


def missing_is_empty(text: str) -> list[dict[str, str]]:
    return [{**dict.fromkeys(ASKED, ""), **block} for block in read_properties(text, ())]


def first_alone(text: str) -> list[dict[str, str]]:
    return read(text)[:1]


def line_gone(chance: random.Random, text: str) -> str | None:
    lines = text.split("\n")
    rows = [row for row, line in enumerate(lines) if line]
    if not rows:
        return None
    del lines[chance.choice(rows)]
    return "\n".join(lines)


UNITS = (
    ("y", 31_557_600),
    ("month", 2_629_800),
    ("w", 604_800),
    ("d", 86_400),
    ("h", 3600),
    ("min", 60),
    ("s", 1),
)


def span(chance: random.Random) -> tuple[str, float]:
    """Print seconds as format_timespan() does: the largest units first."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.choice((("0", 0.0), ("infinity", float("inf"))))
    left = seconds = chance.choice((1, 30, 90, 3601, 86_400, 700_000, 40_000_000)) + chance.randrange(60)
    words = []
    for unit, size in UNITS:
        if left >= size:
            words.append(f"{left // size}{unit}")
            left %= size
    if kind == 1:
        return f"{' '.join(words)} 250ms", seconds + 0.25
    return " ".join(words), float(seconds)


READERS: list[Reader] = [
    Reader(
        "systemctl show",
        render,
        read,
        {
            "a property that was asked for and is not told": Damage(line_gone, NotUnderstoodError),
            "a line that is none": Damage(lambda c, text: f"{text}no value\n", NotUnderstoodError),
            "a property twice": Damage(
                lambda c, text: text + text.rstrip("\n").rpartition("\n")[2] + "\n" if text else None,
                NotUnderstoodError,
            ),
        },
        {"what is missing is empty": missing_is_empty, "the first unit alone": first_alone},
    ),
    Reader(
        "a time of systemd's",
        span,
        lambda text: read_time_span(text, "RuntimeWatchdogUSec"),
        {
            "a unit that is none": Damage(lambda c, text: f"{text} 3lightyears", NotUnderstoodError),
            "no unit": Damage(lambda c, text: f"{text} 3", NotUnderstoodError),
            "nothing": Damage(lambda c, text: "", NotUnderstoodError),
        },
        {"the first part alone": lambda text: read_time_span(text.split()[0], "x")},
    ),
]
