"""A network card's rings, channels, coalescing, offloads and receive-side scaling, by ethtool.

A part is a dictionary of ethtool's own words (`rx`, `combined`, `adaptive-rx`, `gro`); what the driver does not
offer or keeps fixed is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError
from .texts.ethtool import (
    NO_ADDRESS,
    read_bounded,
    read_coalesce,
    read_features,
    read_indirection,
    read_permanent_address,
)

PARTS = ("ring", "channels", "coalesce", "offload", "rss")
_SHOW = {"ring": "-g", "channels": "-l", "coalesce": "-c", "offload": "-k", "rss": "-x"}
_SET = {"ring": "-G", "channels": "-L", "coalesce": "-C", "offload": "-K", "rss": "-X"}
# ethtool's lines by the words that set them.
_LINES = {
    "ring": {"RX": "rx", "TX": "tx"},
    "channels": {"Combined": "combined", "RX": "rx", "TX": "tx"},
    "coalesce": {"rx-usecs": "rx-usecs", "tx-usecs": "tx-usecs"},
    "offload": {
        "generic-receive-offload": "gro",
        "large-receive-offload": "lro",
        "tcp-segmentation-offload": "tso",
        "generic-segmentation-offload": "gso",
        "receive-hashing": "rxhash",
    },
}
WORDS = {
    "ring": ("rx", "tx"),
    "channels": ("combined", "rx", "tx"),
    "coalesce": ("adaptive-rx", "adaptive-tx", "rx-usecs", "tx-usecs"),
    "offload": tuple(_LINES["offload"].values()),
    "rss": ("equal",),
}
_VIRTUAL = {
    "virtio_net": "virtio",
    "hv_netvsc": "Hyper-V",
    "vif": "Xen",
    "xen_netfront": "Xen",
    "vmxnet3": "VMware",
}
# Parts whose words do not depend on each other.
_EACH_ALONE = ("ring", "coalesce", "offload")
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,15}")


@dataclass(frozen=True)
class Part:
    """What a part shows now, and the most that the card offers, by word."""

    current: Mapping[str, str]
    most: Mapping[str, int]


def check_name(name: str) -> bool:
    """Tell whether this can be an interface's name, so that it cannot be taken for an option or a path."""
    return bool(_NAME.fullmatch(name)) and not name.startswith(("-", "."))


def read_part(machine: Machine, interface: str, part: str) -> Part:
    """Return a part. Raises AbsentError where this card lacks it, UnreadableError where nobody can tell."""
    check_card(machine, interface)
    result = machine.run("ethtool", _SHOW[part], interface)
    if result.returncode == 127:
        raise UnreadableError("ethtool is not installed")
    if result.returncode != 0:
        said = " ".join(result.stderr.split()) or f"exit status {result.returncode}"
        if "not supported" in said:
            raise AbsentError(f"ethtool {_SHOW[part]} {interface}: {said}")
        raise UnreadableError(f"ethtool {_SHOW[part]} {interface}: {said}")
    found = _part(result.stdout, part, f"ethtool {_SHOW[part]} {interface}")
    if not found.current:
        raise AbsentError(f"the driver of {interface} lets nobody set this (ethtool {_SHOW[part]})")
    return found


def check_card(machine: Machine, interface: str) -> None:
    """Raise AbsentError where an interface is no network card of this machine's own."""
    folder = machine.path(f"/sys/class/net/{interface}")
    if not folder.exists():
        raise AbsentError(f"there is no interface {interface}")
    driver = folder / "device" / "driver"
    if not driver.exists():
        raise AbsentError(f"{interface} is no network card: no driver stands behind it")
    name = driver.resolve().name
    if name in _VIRTUAL:
        raise AbsentError(
            f"{interface} is a {_VIRTUAL[name]} interface ({name}): the machine beneath owns the card"
        )


def bounded(part: Part, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return what is wanted of a part as far as the card offers it.

    A card whose queues are not combined gets as many of each kind. One that has both kinds (bnxt) refuses combined ones
    beside others, so those are set to none.
    """
    combined = wanted.get("combined")
    if combined is not None and "combined" not in part.current:
        wanted = {**dict.fromkeys(("rx", "tx"), combined), **wanted}
    elif combined is not None and combined != "0":
        wanted = {**{word: "0" for word in ("rx", "tx") if part.current.get(word, "0") != "0"}, **wanted}
    result: dict[str, str] = {}
    for word, value in wanted.items():
        if word not in part.current:
            continue
        most = part.most.get(word)
        result[word] = str(min(int(value), most)) if most is not None else value
    return result


def write_part(machine: Machine, interface: str, part: str, values: Mapping[str, str]) -> None:
    """Set what differs of a part. Raises AbsentError, UnreadableError, QuietcoreError with ethtool's own words."""
    current = read_part(machine, interface, part).current
    differing = {word: value for word, value in values.items() if current.get(word) != value}
    words = [word for pair in sorted(differing.items()) for word in pair]
    if not words:
        return
    if part == "rss":  # 0: a table of the driver's own
        words = ["default"] if differing["equal"] == "0" else words
    result = machine.run("ethtool", _SET[part], interface, *words)
    failed = [(words, result)] if result.returncode != 0 else []
    if failed and len(words) > 2 and part in _EACH_ALONE:
        # One word that the driver refuses takes the others with it: each for itself, and the refused ones named.
        alone = [[word, value] for word, value in sorted(differing.items())]
        results = [(pair, machine.run("ethtool", _SET[part], interface, *pair)) for pair in alone]
        failed = [(pair, result) for pair, result in results if result.returncode != 0]
    if failed:
        said = [
            f"{' '.join(pair)}: {' '.join(result.stderr.split()) or f'exit status {result.returncode}'}"
            for pair, result in failed
        ]
        raise QuietcoreError(
            f"ethtool {_SET[part]} {interface} failed",
            found="; ".join(said),
            remedy="choose values that this card takes",
            code=ExitCode.FOUND,
        )


def permanent_address(machine: Machine, interface: str) -> str:
    """Return the address that the card was made with. Raises AbsentError, UnreadableError."""
    result = machine.run("ethtool", "-P", interface)
    if result.returncode != 0:
        raise UnreadableError(f"ethtool -P {interface}: {' '.join(result.stderr.split()) or 'no address'}")
    address = read_permanent_address(result.stdout, f"ethtool -P {interface}")
    if address == NO_ADDRESS:  # such as a virtual function's: a file cannot name it
        raise AbsentError(f"{interface} has no permanent address")
    return address


def _part(text: str, part: str, where: str) -> Part:
    if part == "rss":
        rings, entries = read_indirection(text, where)
        if not entries:
            return Part({}, {})
        count = max(entries) + 1
        round_robin = entries == [index % count for index in range(len(entries))]
        return Part({"equal": str(count) if round_robin else "0"}, {"equal": rings})
    if part == "coalesce":
        return Part(read_coalesce(text, _LINES[part], where), {})
    if part == "offload":
        return Part(read_features(text, _LINES[part], where), {})
    shown = read_bounded(text, _LINES[part], where)
    # What has no maximum cannot be set.
    most = {word: value for word, value in shown.most.items() if value > 0}
    return Part({word: str(value) for word, value in shown.current.items() if word in most}, most)
