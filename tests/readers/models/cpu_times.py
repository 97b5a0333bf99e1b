"""/proc/stat of machines whose times are known. Format: show_stat() in fs/proc/stat.c."""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader
from tests.readers.models.counter_tables import some_columns

from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.unreadable import NotUnderstoodError

Truth = dict[int, tuple[int, ...]]


def render(chance: random.Random) -> tuple[str, Truth]:
    cpus = some_columns(chance)
    fields = chance.choice((8, 9, 10, 10, 10))  # steal came with 2.6.11, guest and guest_nice later
    truth = {
        cpu: tuple(chance.randrange(1 << chance.choice((4, 20, 40))) for _ in range(fields)) for cpu in cpus
    }
    whole = [sum(column) for column in zip(*truth.values(), strict=True)]
    lines = ["cpu  " + " ".join(map(str, whole))]
    lines += [f"cpu{cpu} " + " ".join(map(str, times)) for cpu, times in truth.items()]
    lines += [
        "intr 375165" + " 0" * chance.randrange(40),
        "ctxt 990",
        "btime 1700000000",
        "processes 9",
        "procs_running 1",
    ]
    lines += ["procs_blocked 0", "softirq 10 1 2 3 4 0 0 0 0 0 0"]
    return "\n".join(lines) + "\n", {cpu: times[:8] for cpu, times in truth.items()}


def read(text: str) -> Truth:
    return {cpu: tuple(times) for cpu, times in read_cpu_times(text).items()}


def numbered_in_order(text: str) -> Truth:
    return dict(enumerate(read(text).values()))


def change_cpu_line(chance: random.Random, text: str, kind: str) -> str:
    lines = text.split("\n")
    rows = [
        index for index, line in enumerate(lines) if line.startswith("cpu") and not line.startswith("cpu ")
    ]
    row = chance.choice(rows)
    words = lines[row].split()
    if kind == "short":
        lines[row] = " ".join(words[: chance.randrange(1, 8)])
    elif kind == "word":
        words[chance.randrange(1, 9)] = chance.choice(("-1", "x", "1.5"))
        lines[row] = " ".join(words)
    elif kind == "twice":
        lines.insert(row, lines[row])
    else:
        lines = [line for line in lines if not line.startswith("cpu")]
    return "\n".join(lines)


READERS = [
    Reader(
        "/proc/stat",
        render,
        read,
        {
            "too few times": Damage(lambda c, text: change_cpu_line(c, text, "short"), NotUnderstoodError),
            "a time that is none": Damage(
                lambda c, text: change_cpu_line(c, text, "word"), NotUnderstoodError
            ),
            "a CPU twice": Damage(lambda c, text: change_cpu_line(c, text, "twice"), NotUnderstoodError),
            "no CPU": Damage(lambda c, text: change_cpu_line(c, text, "none"), NotUnderstoodError),
            "cut off": Damage(
                lambda c, text: text[: c.randrange(1, len(text) - 1)].rstrip("\n"), NotUnderstoodError
            ),
        },
        {"CPUs numbered in their order": numbered_in_order},
    )
]
