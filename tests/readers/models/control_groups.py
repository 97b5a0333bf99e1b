"""/proc/PID/cgroup, and which unit a process is of, on hosts whose layout is known.

Formats: proc_cgroup_show() in kernel/cgroup/cgroup.c. Layouts (unified, hybrid, legacy): systemd's
docs/CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import random
from pathlib import Path

from tests.readers.campaign import Damage, Reader

from quietcore.host.machine import AbsentError, Machine, UnreadableError
from quietcore.host.texts.control_groups import read_control_groups
from quietcore.host.threads import processes_of
from quietcore.host.unreadable import NotUnderstoodError

CONTROLLERS = (
    "cpuset",
    "cpu,cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls,net_prio",
    "perf_event",
    "pids",
)
PATHS = (
    "/", "/init.scope", "/system.slice/ssh.service",
    "/system.slice/system-quietcore\\x2dfeed.slice/quietcore-feed@a.service",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/a:b c.service", "/docker/0123abcd", "/a (deleted) b",
    "/../../outside", "/machine.slice/x::y",
)  # fmt: skip


def text_of(unified: str | None, named: dict[str, str], chance: random.Random) -> str:
    """Print a process's groups as the kernel does: version 1 with falling numbers, then version 2."""
    lines = [f"{number}:{names}:{path}" for number, (names, path) in enumerate(named.items(), 1)]
    lines.reverse()
    if unified is not None:
        lines.append(f"0::{unified}")
    return "\n".join(lines) + "\n"


def render(chance: random.Random) -> tuple[str, tuple[str | None, dict[str, str]]]:
    unified = chance.choice((None, *PATHS))
    names = chance.sample(CONTROLLERS, chance.randrange(len(CONTROLLERS)))
    names += chance.sample(("name=systemd", "name=openrc", "misc"), chance.randrange(3))
    named = {name: chance.choice(PATHS) for name in names}
    if unified is None and not named:
        unified = "/"
    text = text_of(unified, named, chance)
    if unified is not None and chance.random() < 0.2:
        text = text[:-1] + " (deleted)\n"
    return text, (unified, {key: path for names, path in named.items() for key in names.split(",")})


def read(text: str) -> tuple[str | None, dict[str, str]]:
    found = read_control_groups(text)
    return found.unified, found.by_controller


def all_colons(text: str) -> tuple[str | None, dict[str, str]]:
    unified, named = read(text)
    return unified and unified.split(":")[0], named


def spoil(chance: random.Random, text: str) -> str:
    lines = text[:-1].split("\n")
    row = chance.randrange(len(lines))
    number, names, path = lines[row].split(":", 2)
    lines[row] = chance.choice(
        (
            f"{number}:{names}",
            f"{number}:{names}:{path.lstrip('/')}x"[: len(number) + len(names) + 2],
            f"x{number}:{names}:{path}",
            f"{number}:na me:{path}",
            f"7::{path}",
            "",
        )
    )
    return "\n".join(lines) + "\n"


# Which unit processes are of, with the texts of process 1 and of others.
Host = dict[int, str]
UNIT = "quietcore-feed@a.service"
GROUP = "/system.slice/system-quietcore\\x2dfeed.slice/" + UNIT


def host(chance: random.Random) -> tuple[Host, list[int] | str]:
    """Return processes on a host, and those of the unit, or "cannot tell"."""
    layout = chance.choice(
        (
            "unified",
            "hybrid",
            "legacy",
            "legacy and a version 2 of others",
            "unified and a name for containers",
        )
    )
    others = dict.fromkeys(chance.sample(CONTROLLERS, 4), "/") if layout != "unified" else {}
    pids = chance.sample(range(2, 5000), chance.randrange(1, 6))
    groups = {
        1: "/init.scope",
        **{pid: chance.choice((GROUP, "/", "/system.slice/ssh.service")) for pid in pids},
    }
    found: Host = {}
    for pid, group in groups.items():
        own = "/other/box" if chance.random() < 0.5 and pid != 1 else "/"
        unified, named = {
            "unified": (group, None),
            "hybrid": (group, group),
            "legacy": (None, group),
            "legacy and a version 2 of others": (own, group),
            "unified and a name for containers": (group, own),
        }[layout]
        found[pid] = text_of(
            unified, {**others, **({} if named is None else {"name=systemd": named})}, chance
        )
    return found, sorted(pid for pid, group in groups.items() if group == GROUP)


class Texts(Machine):
    """A host whose files are these texts."""

    def __init__(self, texts: Host) -> None:
        super().__init__("/nowhere", live=True)
        self._texts = texts

    def read_raw(self, path: str) -> str:
        try:
            return self._texts[int(Path(path).parts[2])]
        except KeyError:
            raise AbsentError(path) from None

    def processes(self) -> list[int]:
        return sorted(self._texts)

    def exists(self, path: str) -> bool:
        return int(Path(path).parts[2]) in self._texts


def of_unit(texts: Host) -> list[int]:
    return processes_of(Texts(texts), UNIT)


def unified_alone(texts: Host) -> list[int]:
    return [pid for pid, text in sorted(texts.items()) if UNIT in text.rpartition("0::")[2]]


def not_known_is_not_running(texts: Host) -> list[int]:
    try:
        return of_unit(texts)
    except UnreadableError:
        return []


def without_systemd(chance: random.Random, texts: Host) -> Host | None:
    """No process is in a hierarchy that systemd could keep."""
    keep = {
        pid: "".join(
            f"{line}\n"
            for line in text.splitlines()
            if "name=systemd" not in line and not line.startswith("0::")
        )
        for pid, text in texts.items()
    }
    return keep if all(keep.values()) else None


def two_that_differ(chance: random.Random, texts: Host) -> Host:
    """Process 1 is at the root of both, as outside of systemd, and another one is in two different groups."""
    both = "1:name=systemd:/a\n0::/b\n"
    return {pid: "1:name=systemd:/\n0::/\n" if pid == 1 else both for pid in texts}


def hidden(chance: random.Random, texts: Host) -> Host:
    return {pid: text for pid, text in texts.items() if pid != 1}


READERS: list[Reader] = [
    Reader(
        "/proc/PID/cgroup",
        render,
        read,
        {
            "a line that is none": Damage(spoil, NotUnderstoodError),
            "a line twice": Damage(
                lambda c, text: text + c.choice(text[:-1].split("\n")) + "\n", NotUnderstoodError
            ),
            "nothing": Damage(lambda chance, text: "", NotUnderstoodError),
        },
        {"a path ends at a colon": all_colons},
    ),
    Reader(
        "processes of a unit",
        host,
        of_unit,
        {
            "no hierarchy of systemd": Damage(without_systemd, UnreadableError),
            "two hierarchies that differ": Damage(two_that_differ, UnreadableError),
            "process 1 hidden": Damage(hidden, UnreadableError),
            "a text that is none": Damage(
                lambda chance, texts: {**texts, chance.choice([*texts]): "x\n"}, UnreadableError
            ),
        },
        {"the unified hierarchy alone": unified_alone, "not known is not running": not_known_is_not_running},
    ),
]
