"""ethtool's answers about cards that are known.

Formats: netlink/{rings,channels,coalesce,features,permaddr}.c and rxfh in ethtool.c of ethtool 5.x and 6.x; a driver
that lacks something answers `n/a`.
"""

from __future__ import annotations

import random
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.ethtool import (
    NO_ADDRESS,
    read_bounded,
    read_coalesce,
    read_features,
    read_indirection,
    read_permanent_address,
)
from quietcore.host.unreadable import NotUnderstoodError

CHANNELS = {"Combined": "combined", "RX": "rx", "TX": "tx"}
RINGS = {"RX": "rx", "TX": "tx"}
TIMES = {"rx-usecs": "rx-usecs", "tx-usecs": "tx-usecs"}
OFFLOADS = {"generic-receive-offload": "gro", "large-receive-offload": "lro", "receive-hashing": "rxhash"}
Truth = tuple[dict[str, int], dict[str, int]]


def _shown(value: int | None) -> str:
    return "n/a" if value is None else str(value)


def _bounded(
    chance: random.Random, title: str, entries: tuple[str, ...], names: dict[str, str]
) -> tuple[str, Truth]:
    card = f"{title} parameters for {chance.choice(('eth0', 'enp1s0f0np0', 'br:0'))}:\n"
    most: dict[str, int | None] = {name: chance.choice((None, 0, 4, 512, 8192)) for name in entries}
    now = {name: None if most[name] is None else chance.randint(0, most[name] or 0) for name in entries}
    text = card + "Pre-set maximums:\n" + "".join(f"{name}:\t\t{_shown(most[name])}\n" for name in entries)
    text += "Current hardware settings:\n" + "".join(f"{name}:\t\t{_shown(now[name])}\n" for name in entries)
    if title == "Ring":
        text += "".join(
            f"{name}\n"
            for name in ("RX Buf Len:\tn/a", "CQE Size:\tn/a", "TX Push:\toff", "TCP data split:\ton")[
                : chance.randrange(5)
            ]
        )
    known = [
        {names[name]: value for name, value in part.items() if name in names and value is not None}
        for part in (most, now)
    ]
    return text, (known[0], known[1])


def rings(chance: random.Random) -> tuple[str, Truth]:
    return _bounded(chance, "Ring", ("RX", "RX Mini", "RX Jumbo", "TX"), RINGS)


def channels(chance: random.Random) -> tuple[str, Truth]:
    return _bounded(chance, "Channel", ("RX", "TX", "Other", "Combined"), CHANNELS)


def read_rings(text: str) -> Truth:
    found = read_bounded(text, RINGS, "ethtool -g")
    return dict(found.most), dict(found.current)


def read_channels(text: str) -> Truth:
    found = read_bounded(text, CHANNELS, "ethtool -l")
    return dict(found.most), dict(found.current)


def nothing_is_none(text: str) -> Truth:
    most, now = read_channels(text)
    return {name: most.get(name, 0) for name in CHANNELS.values()}, now


def settings_alone(text: str) -> Truth:
    now = read_rings(text)[1]
    return now, now


def second_half_gone(chance: random.Random, text: str) -> str:
    return text.partition("Current hardware")[0]


def cut(chance: random.Random, text: str) -> str:
    lines = text[:-1].split("\n")
    wanted = [row for row, line in enumerate(lines) if line.startswith("TX:")][-1]
    return "\n".join(lines[:wanted]) + "\n"


def no_number(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    row = chance.choice([row for row, line in enumerate(lines) if line.startswith(("RX:", "TX:"))])
    lines[row] = lines[row].partition(":")[0] + ":\t\t" + chance.choice(("many", "-1", "", "4 of 8"))
    return "\n".join(lines)


def coalesce(chance: random.Random) -> tuple[str, dict[str, str]]:
    states = {word: chance.choice(("on", "off", "n/a")) for word in ("adaptive-rx", "adaptive-tx")}
    text = (
        f"Coalesce parameters for eth0:\nAdaptive RX: {states['adaptive-rx']}  TX: {states['adaptive-tx']}\n"
    )
    truth = {word: state for word, state in states.items() if state != "n/a"}
    for name in (
        "stats-block-usecs",
        "sample-interval",
        "rx-usecs",
        "rx-frames",
        "tx-usecs",
        "tx-usecs-irq",
        "rx-usecs-low",
    ):
        value = chance.choice((None, 0, 8, 1024))
        text += f"{name}:\t{_shown(value)}\n"
        if name in TIMES and value is not None:
            truth[name] = str(value)
    return text + chance.choice(("", "\nCQE mode RX: n/a  TX: n/a\n")), truth


def features(chance: random.Random) -> tuple[str, dict[str, str]]:
    text, truth = "Features for eth0:\n", {}
    for name in ("rx-checksumming", "\ttx-checksum-ipv4", *OFFLOADS, "tx-esp-segmentation", "l2-fwd-offload"):
        state, note = (
            chance.choice(("on", "off")),
            chance.choice(("", "", " [fixed]", " [requested on]", " [requested off]")),
        )
        text += f"{name}: {state}{note}\n"
        if name in OFFLOADS and note != " [fixed]":
            truth[OFFLOADS[name]] = state
    return text, truth


def indirection(chance: random.Random) -> tuple[str, tuple[int, list[int]]]:
    queues, size = chance.choice((1, 2, 4, 16)), chance.choice((8, 64, 128))
    entries = [chance.choice((index % queues, chance.randrange(queues))) for index in range(size)]
    if chance.random() < 0.1:
        entries, body = [], "Operation not supported\n"
    else:
        rows = (
            f"{start:5d}: " + "".join(f"{queue:6d}" for queue in entries[start : start + 8])
            for start in range(0, size, 8)
        )
        body = "\n".join(rows) + "\n"
    text = f"RX flow hash indirection table for eth0 with {queues} RX ring(s):\n{body}"
    text += "RSS hash key:\n6d:5a:56\nRSS hash function:\n    toeplitz: on\n"
    return text, (queues, entries)


def row_gone(chance: random.Random, text: str) -> str | None:
    lines = text.split("\n")
    if not lines[1].startswith("    0:") or not lines[2][:5].strip().isdecimal():
        return None
    del lines[1]
    return "\n".join(lines)


def address(chance: random.Random) -> tuple[str, str]:
    kind = chance.randrange(4)
    found = ":".join(f"{chance.randrange(256):02x}" for _ in range(6)) if kind else NO_ADDRESS
    return f"Permanent address: {'not set' if kind == 0 and chance.random() < 0.5 else found}\n", found


def wrong(chance: random.Random, text: str) -> str:
    return text.replace("off", "maybe").replace("on", "maybe")


def _read(reader: Any, *names: Any) -> Any:
    return lambda text: reader(text, *names, "ethtool")


NOTHING = Damage(lambda chance, text: "", NotUnderstoodError)
BOUNDED = {
    "the settings gone": Damage(second_half_gone, NotUnderstoodError),
    "cut off": Damage(cut, NotUnderstoodError),
    "no number": Damage(no_number, NotUnderstoodError),
    "nothing": NOTHING,
}
READERS: list[Reader] = [
    Reader("ethtool -g", rings, read_rings, BOUNDED, {"settings for maximums": settings_alone}),
    Reader("ethtool -l", channels, read_channels, BOUNDED, {"n/a is 0": nothing_is_none}),
    Reader(
        "ethtool -c",
        coalesce,
        _read(read_coalesce, TIMES),
        {
            "no adaptive line": Damage(lambda c, text: text.replace("Adaptive", "Odd"), NotUnderstoodError),
            "a state that is none": Damage(
                lambda c, text: text.replace("Adaptive RX: ", "Adaptive RX: un", 1), NotUnderstoodError
            ),
            "cut off": Damage(lambda c, text: text[: text.index("rx-frames")], NotUnderstoodError),
            "nothing": NOTHING,
        },
        {
            "no times": lambda text: {
                k: v for k, v in read_coalesce(text, TIMES, "x").items() if "usecs" not in k
            }
        },
    ),
    Reader(
        "ethtool -k",
        features,
        _read(read_features, OFFLOADS),
        {
            "a state that is none": Damage(wrong, NotUnderstoodError),
            "cut off": Damage(lambda c, text: text[: text.index("receive-hashing")], NotUnderstoodError),
            "nothing": NOTHING,
        },
        {"fixed ones too": lambda text: read_features(text.replace(" [fixed]", ""), OFFLOADS, "x")},
    ),
    Reader(
        "ethtool -x",
        indirection,
        _read(read_indirection),
        {
            "a row gone": Damage(row_gone, NotUnderstoodError),
            "no number of rings": Damage(lambda c, text: text.replace(" RX ring(s)", ""), NotUnderstoodError),
            "nothing": NOTHING,
        },
        {
            "the first row alone": lambda text: (lambda found: (found[0], found[1][:8]))(
                read_indirection(text, "x")
            )
        },
    ),
    Reader(
        "ethtool -P",
        address,
        _read(read_permanent_address),
        {"too short": Damage(lambda c, text: text[:-4] + "\n", NotUnderstoodError), "nothing": NOTHING},
        {"none is an address": lambda text: text.split()[-1]},
    ),
]
