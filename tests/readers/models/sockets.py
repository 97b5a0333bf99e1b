"""/proc/net/tcp and tcp6 of hosts whose sockets are known. Formats: get_tcp4_sock() and get_tcp6_sock() in net/."""

from __future__ import annotations

import ipaddress
import random
import sys

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.sockets import read_sockets
from quietcore.host.unreadable import NotUnderstoodError

TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
Row = tuple[str, int, int]


def _printed(packed: bytes) -> str:
    """Print an address as the kernel does: each word of 32 bits as the machine reads it from memory."""
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join((word[::-1] if sys.byteorder == "little" else word).hex().upper() for word in words)


def render(chance: random.Random) -> tuple[str, list[Row]]:
    version, truth, lines = chance.choice((4, 6)), [], [TITLE]
    for number in range(chance.randrange(7)):
        octets = bytes(chance.choice((0, 10, 127, 192, 255)) for _ in range(4))
        packed, shown = octets, str(ipaddress.IPv4Address(octets))
        if version == 6 and chance.random() < 0.5:
            packed = b"\0" * 10 + b"\xff\xff" + octets
        elif version == 6:
            packed = b"\x20\x01\x0d\xb8" + bytes(chance.randrange(256) for _ in range(12))
            shown = str(ipaddress.IPv6Address(packed))
        port, state = chance.choice((22, 443, 50_000)), chance.choice((1, 1, 6, 10))
        remote = _printed(bytes(len(packed)))
        line = f"{number:4d}: {_printed(packed)}:{port:04X} {remote}:{chance.choice((0, 49152)):04X} {state:02X} "
        line += "00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0"
        lines.append(f"{line:<149}" if version == 4 else line)
        truth.append((shown, port, state))
    return "\n".join(lines) + "\n", truth


def read(text: str) -> list[Row]:
    return [(str(one.address), one.port, one.state) for one in read_sockets(text)]


def short_lines_left_out(text: str) -> list[Row]:
    lines = [line for line in text.split("\n") if len(line.split()) > 3 or not line]
    return read("\n".join(lines))


def cut(chance: random.Random, text: str) -> str | None:
    lines = text.rstrip("\n").split("\n")
    return None if len(lines) < 2 else "\n".join([*lines[:-1], lines[-1][: chance.randrange(6, 20)]]) + "\n"


def spoil(chance: random.Random, text: str) -> str | None:
    head, colon, rest = text.partition(": ")
    return f"{head}{colon}{chance.choice(('x', '1', ':'))}{rest}" if colon else None


READERS: list[Reader] = [
    Reader(
        "/proc/net/tcp",
        render,
        read,
        {
            "cut off": Damage(cut, NotUnderstoodError),
            "an address that is none": Damage(spoil, NotUnderstoodError),
            "no title": Damage(lambda c, text: text.partition("\n")[2], NotUnderstoodError),
        },
        {"short lines left out": short_lines_left_out, "the last one lost": lambda text: read(text)[:-1]},
    )
]
