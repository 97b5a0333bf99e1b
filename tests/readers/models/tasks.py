"""/proc/PID/stat, status, schedstat and limits of threads that are known.

Formats: do_task_stat() and proc_pid_status() in fs/proc/array.c, proc_pid_schedstat() and proc_pid_limits() in
fs/proc/base.c. A name has up to 15 bytes (63 of a kernel thread) of anything; in status its newlines are escaped.
"""

from __future__ import annotations

import random
from dataclasses import astuple
from typing import Any

from tests.readers.campaign import Damage, Reader
from tests.readers.models.cpu_list import printed, some_cpus

from quietcore.host.texts.tasks import TaskStatus, read_limits, read_sched_stat, read_task_stat
from quietcore.host.unreadable import NotUnderstoodError

NAMES = (
    "cat",
    "a) b",
    ") S 1 2 (",
    "((",
    "Web Content",
    "x\ny",
    "kworker/u8:2-events_unbound",
    "feed:sim",
    "",
    "é)",
    "tab\tx",
)


def stat(chance: random.Random) -> tuple[str, tuple[Any, ...]]:
    tid, name, state = chance.randrange(1, 1 << 22), chance.choice(NAMES), chance.choice("RSDTtXZPI")
    fields = [chance.choice((0, -1, chance.randrange(1 << chance.choice((4, 31, 63))))) for _ in range(49)]
    for index in (5, 10, 11, 18, 35, 36, 37):  # flags, times, start, CPU, priority, policy are never negative
        fields[index] = abs(fields[index])
    fields = fields[: chance.choice((38, 41, 49, 49))]
    text = f"{tid} ({name}) {state} " + " ".join(map(str, fields)) + chance.choice(("\n", ""))
    wanted = (fields[index] for index in (5, 10, 11, 18, 35, 36, 37))
    return text, (tid, name, state, *wanted)


def read_stat(text: str) -> tuple[Any, ...]:
    return astuple(read_task_stat(text))


def first_parenthesis(text: str) -> tuple[Any, ...]:
    head, _, rest = text.partition(")")
    return read_stat(
        f"{head.replace('(', '', head.count('(') - 1)}) {rest.replace('(', '').replace(')', '')}"
    )


def status(chance: random.Random) -> tuple[str, tuple[Any, ...]]:
    cpus = some_cpus(chance) or frozenset({chance.randrange(64)})
    name = chance.choice(NAMES).replace("\n", "\\n")
    given_up, taken = chance.randrange(1 << 33), chance.randrange(99)
    lines = [
        f"Name:\t{name}",
        "Umask:\t0022",
        "State:\tS (sleeping)",
        f"Pid:\t{chance.randrange(1, 9999)}",
        "Groups:\t ",
    ]
    lines += [
        "Uid:\t0\t0\t0\t0",
        "VmPeak:\t    3060 kB",
        "Seccomp:\t0",
        "Speculation_Store_Bypass:\tthread vulnerable",
    ]
    lines = lines[: chance.choice((1, 5, 9))]
    lines += ["Cpus_allowed:\tff,ffffffff", f"Cpus_allowed_list:\t{printed(cpus)}", "Mems_allowed_list:\t0"]
    lines += [f"voluntary_ctxt_switches:\t{given_up}", f"nonvoluntary_ctxt_switches:\t{taken}"]
    return "\n".join(lines) + "\n", (cpus, given_up, taken)


def read_status(text: str) -> tuple[Any, ...]:
    found = TaskStatus(text)
    return found.allowed, found.given_up, found.taken


def everywhere(text: str) -> tuple[Any, ...]:
    """Take a thread without CPUs for one that may run anywhere."""
    try:
        return read_status(text)
    except NotUnderstoodError:
        return frozenset(range(200)), 0, 0


def without_line(chance: random.Random, text: str) -> str:
    key = chance.choice(
        ("Cpus_allowed_list", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches", "Name")
    )
    return "\n".join(line for line in text.split("\n") if line.partition(":")[0] != key)


def schedstat(chance: random.Random) -> tuple[str, tuple[int, ...]]:
    truth = tuple(chance.randrange(1 << chance.choice((1, 30, 60))) for _ in range(3))
    return " ".join(map(str, truth)) + "\n", truth


LIMITS = (
    ("Max cpu time", "seconds"), ("Max file size", "bytes"), ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"), ("Max nice priority", ""), ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
)  # fmt: skip


def limits(chance: random.Random) -> tuple[str, dict[str, tuple[str, str]]]:
    def value() -> str:
        return (
            "unlimited" if chance.random() < 0.3 else str(chance.randrange(1 << chance.choice((1, 20, 64))))
        )

    text = f"{'Limit':25} {'Soft Limit':20} {'Hard Limit':20} {'Units':10}\n"
    truth = {}
    for name, unit in LIMITS:
        truth[name] = (value(), value())
        text += f"{name:25} {truth[name][0]:20} {truth[name][1]:20} {unit:10}\n"
    return text, truth


def soft_alone(text: str) -> dict[str, tuple[str, str]]:
    return {name: (soft, soft) for name, (soft, _) in read_limits(text).items()}


def cut_limits(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    row = chance.randrange(1, len(lines) - 1)
    return "\n".join([*lines[:row], lines[row][: chance.randrange(1, 46)]])


READERS = [
    Reader(
        "/proc/PID/stat",
        stat,
        read_stat,
        {
            "cut off": Damage(
                lambda chance, text: text[: text.rindex(")") + chance.randrange(1, 60)], NotUnderstoodError
            ),
            "no name": Damage(
                lambda chance, text: text.replace("(", "").replace(")", ""), NotUnderstoodError
            ),
            "no number": Damage(
                lambda c, t: t[: t.rindex(")") + 4] + "x " + t[t.rindex(")") + 4 :], NotUnderstoodError
            ),
            "nothing": Damage(lambda chance, text: "", NotUnderstoodError),
        },
        {"the name ends at its first parenthesis": first_parenthesis},
    ),
    Reader(
        "/proc/PID/status",
        status,
        read_status,
        {
            "a line gone": Damage(without_line, NotUnderstoodError),
            "no CPU": Damage(
                lambda chance, text: "\n".join(
                    "Cpus_allowed_list:\t" if line.startswith("Cpus_allowed_list") else line
                    for line in text.split("\n")
                ),
                NotUnderstoodError,
            ),
            "a line twice": Damage(lambda chance, text: text + "Name:\ty\n", NotUnderstoodError),
            "nothing": Damage(lambda chance, text: "", NotUnderstoodError),
        },
        {"unknown CPUs are all of them": everywhere},
    ),
    Reader(
        "/proc/PID/schedstat",
        schedstat,
        lambda text: tuple(read_sched_stat(text)),
        {
            "a number less": Damage(lambda chance, text: text.rpartition(" ")[0], NotUnderstoodError),
            "no number": Damage(lambda chance, text: f"-{text}", NotUnderstoodError),
        },
        {"waited and ran changed": lambda text: (lambda a: (a[1], a[0], a[2]))(tuple(read_sched_stat(text)))},
    ),
    Reader(
        "/proc/PID/limits",
        limits,
        read_limits,
        {
            "cut off in a line": Damage(cut_limits, NotUnderstoodError),
            "no title": Damage(lambda chance, text: text.partition("\n")[2], NotUnderstoodError),
            "no limit": Damage(
                lambda chance, text: text + f"{'Max things':25} {'lots':20} {'more':20}\n", NotUnderstoodError
            ),
        },
        {"the soft limit twice": soft_alone},
    ),
]
