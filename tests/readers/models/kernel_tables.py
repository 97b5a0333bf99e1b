"""/proc/mounts, meminfo, routes and cpuinfo of machines that are known.

Formats: show_vfsmnt() in fs/proc_namespace.c; meminfo_proc_show() in fs/proc/meminfo.c and node_read_meminfo() in
drivers/base/node.c; fib_route_seq_show() in net/ipv4/fib_trie.c and rt6_info_route() in net/ipv6/route.c;
show_cpuinfo() of x86, arm64 and s390.
"""

from __future__ import annotations

import random
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.cpuinfo import flags_of, model_of, read_cpuinfo
from quietcore.host.texts.memory import read_total_kib
from quietcore.host.texts.mounts import read_mounts
from quietcore.host.texts.routes import default_interface_4, default_interface_6
from quietcore.host.unreadable import NotUnderstoodError

PLACES = (
    "/",
    "/proc",
    "/dev/shm",
    "/mnt/two words",
    "/mnt/tab\there",
    "/srv/a\\b",
    "/srv/#1",
    "/data/é",
    "/x\ny",
    "/dev/hugepages",
)
SOURCES = (
    "/dev/nvme0n1p2",
    "proc",
    "tmpfs",
    "//server/share name",
    "/dev/mapper/vg-root",
    "none",
    "host:/export",
    "",
)
OPTIONS = (
    "rw",
    "relatime",
    "nosuid",
    "size=4096k",
    "mode=755",
    "pagesize=1024M",
    "uid=0",
    "lowerdir=/a:/b",
    "data=ordered",
)


def _escaped(name: str) -> str:
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\#" else letter for letter in name)


def mounts(chance: random.Random) -> tuple[str, list[Any]]:
    truth: list[Any] = []
    text = ""
    for _ in range(chance.randrange(1, 9)):
        options = ["rw" if chance.random() < 0.7 else "ro", *chance.sample(OPTIONS[1:], chance.randrange(5))]
        source, point = chance.choice(SOURCES), chance.choice(PLACES)
        kind = chance.choice(("ext4", "tmpfs", "hugetlbfs", "fuse.sshfs"))
        text += f"{_escaped(source)} {_escaped(point)} {kind} {','.join(options)} 0 0\n"
        values = {
            option.split("=")[0]: option.split("=", 1)[1] if "=" in option else "" for option in options
        }
        truth.append((source, point, kind, values))
    return text, truth


def read_all_mounts(text: str) -> list[Any]:
    return [(mount.source, mount.point, mount.type, mount.options) for mount in read_mounts(text)]


def escapes_kept(text: str) -> list[Any]:
    return [
        (*line.split(" ")[:3], found[3])
        for line, found in zip(text.split("\n"), read_all_mounts(text), strict=False)
    ]


def spoil_mount(chance: random.Random, text: str) -> str:
    lines = text[:-1].split("\n")
    row = chance.randrange(len(lines))
    words = lines[row].split(" ")
    lines[row] = chance.choice(
        (" ".join(words[: chance.randrange(1, 6)]), " ".join([*words[:4], "0", "x"]), "")
    )
    return "\n".join(lines) + "\n"


def meminfo(chance: random.Random) -> tuple[str, int]:
    total, node = chance.choice((0, 2048000, 263_000_000)), chance.choice((None, 0, 3, 17))
    start = "" if node is None else f"Node {node} "
    rows = [
        ("MemTotal", total),
        ("MemFree", total // 2),
        ("MemUsed" if start else "MemAvailable", total // 3),
    ]
    rows += [("Active(anon)", 12), ("HugePages_Total", 4), ("Hugepagesize", 2048)][: chance.randrange(4)]
    text = ""
    for name, value in rows:
        unit = "" if name.startswith("HugePages_") else " kB"
        text += (
            f"{start}{name}:{value:>15}{unit}\n" if not start else f"{start}{name}:       {value:8}{unit}\n"
        )
    return text, total


NICS = ("eth0", "enp1s0f0np0", "bond0", "br-lan", "eth0.100", "team0", "wg0", "ppp0")


def routes_4(chance: random.Random) -> tuple[str, str]:
    rows: list[tuple[int, str, str]] = []
    best: tuple[int, str] | None = None
    for _ in range(chance.randrange(7)):
        name, metric, kind = chance.choice(NICS), chance.choice((0, 100, 100, 600)), chance.randrange(5)
        destination, mask, flags = "00000000", "00000000", 0x0003
        if kind == 1:
            destination, mask, flags = "0000000A", "000000FF", 0x0001
        elif kind == 2:
            name, flags = "*", 0x0200  # unreachable default
        elif kind == 3:
            flags = 0x0002  # down
        elif kind == 4:
            destination, mask = "00000000", "00000080"  # one half of all, as VPNs add them
        if kind == 0 and (best is None or metric < best[0]):
            best = (metric, name)
        row = f"{name}\t{destination}\t0100000A\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\t0\t0"
        rows.append((metric, name, f"{row:<127}"))
    title = f"{'Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT':<127}"
    return "\n".join([title, *(row for _, _, row in rows)]) + "\n", best[1] if best else ""


def routes_6(chance: random.Random) -> tuple[str, str]:
    text, best = "", None
    for _ in range(chance.randrange(6)):
        name, metric, kind = chance.choice(NICS), chance.choice((1, 100, 1024)), chance.randrange(4)
        destination, length, flags = "0" * 32, 0, 0x0003
        if kind == 1:
            destination, length, flags = "20010db8" + "0" * 24, 64, 0x0001
        elif kind == 2:
            name, flags = "lo", 0x00200200
        elif kind == 3:
            destination, length, flags = "0" * 32, 1, 0x0003
        if kind == 0 and (best is None or metric < best[0]):
            best = (metric, name)
        text += f"{destination} {length:02x} {'0' * 32} 00 fe80{'0' * 27}1 {metric:08x} 00000001 00000000 "
        text += f"{flags:08x} {name:>8}\n"
    return text, best[1] if best else ""


def first_default(text: str) -> str:
    """Take the first line that begins like a default."""
    lines = [line.split() for line in text.split("\n")[1:] if line.strip()]
    return next((words[0] for words in lines if words[1] == "00000000"), "")


def spoil_route(chance: random.Random, text: str) -> str | None:
    lines = text[:-1].split("\n")
    rows = [row for row, line in enumerate(lines) if line and not line.startswith("Iface")]
    if not rows:
        return None
    row = chance.choice(rows)
    words = lines[row].split()
    number = chance.randrange(1, len(words))
    lines[row] = (
        "\t".join(words[:number])
        if chance.random() < 0.5
        else lines[row].replace(words[1], "x" + words[1][1:], 1)
    )
    return "\n".join(lines) + "\n"


FLAGS = ("fpu", "tsc", "constant_tsc", "nonstop_tsc", "avx2", "hypervisor")


def cpuinfo(chance: random.Random) -> tuple[str, tuple[int, str, frozenset[str]]]:
    count, kind = chance.randrange(1, 5), chance.choice(("x86", "arm64", "s390"))
    if kind == "s390":
        text = "vendor_id       : IBM/S390\n# processors    : 2\nfeatures\t: esan3 zarch\n"
        text += "".join(f"processor {n}: version = FF,  identification = 1\n" for n in range(count)) + "\n"
        return text, (1, "", frozenset())
    model = chance.choice(
        ("AMD EPYC 9354 32-Core Processor", "Intel(R) Xeon(R): odd name", "13th Gen Intel(R) Core(TM)")
    )
    common, text = frozenset(FLAGS), ""
    for number in range(count):
        text += f"processor\t: {number * 2}\n"
        if kind == "x86":
            flags = chance.sample(FLAGS, chance.randrange(3, 7))
            common &= frozenset(flags)
            text += f"model name\t: {model}\ncache size\t: 1024 KB\nflags\t\t: {' '.join(flags)}\nbugs\t\t:\n"
        else:
            text += "BogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
        text += "\n"
    return text, (count, model if kind == "x86" else "", common if kind == "x86" else frozenset())


def read_cpus(text: str) -> tuple[int, str, frozenset[str]]:
    blocks = read_cpuinfo(text)
    return len(blocks), model_of(blocks), flags_of(blocks)


def of_first_cpu(text: str) -> tuple[int, str, frozenset[str]]:
    blocks = read_cpuinfo(text)
    return len(blocks), model_of(blocks), flags_of(blocks[:1])


READERS: list[Reader] = [
    Reader(
        "/proc/mounts",
        mounts,
        read_all_mounts,
        {
            "a line that is none": Damage(spoil_mount, NotUnderstoodError),
            "nothing": Damage(lambda chance, text: "", NotUnderstoodError),
        },
        {"escapes kept": escapes_kept},
    ),
    Reader(
        "meminfo",
        meminfo,
        read_total_kib,
        {
            "no total": Damage(lambda c, text: text.replace("MemTotal", "Memory"), NotUnderstoodError),
            "a total twice": Damage(lambda c, text: text + text, NotUnderstoodError),
            "no number": Damage(lambda c, text: text + "MemOdd: x kB\n", NotUnderstoodError),
            "nothing": Damage(lambda c, text: "", NotUnderstoodError),
        },
        {"bytes": lambda text: read_total_kib(text) * 1024},
    ),
    Reader(
        "/proc/net/route",
        routes_4,
        default_interface_4,
        {
            "a line that is none": Damage(spoil_route, NotUnderstoodError),
            "no title": Damage(lambda c, text: text.partition("\n")[2], NotUnderstoodError),
        },
        {"the first default, up or not": first_default},
    ),
    Reader(
        "/proc/net/ipv6_route",
        routes_6,
        default_interface_6,
        {"a line that is none": Damage(spoil_route, NotUnderstoodError)},
        {"the last line's": lambda text: (text.split() or [""])[-1]},
    ),
    Reader(
        "/proc/cpuinfo",
        cpuinfo,
        read_cpus,
        {
            "a line that is none": Damage(lambda c, text: f"{text}no colon here\n", NotUnderstoodError),
            "nothing": Damage(lambda c, text: c.choice(("", "\n")), NotUnderstoodError),
        },
        {"the first CPU stands for all": of_first_cpu},
    ),
]
