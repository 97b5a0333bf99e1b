"""/proc/net/tcp and tcp6: the TCP sockets of this host.

The form, from net/ipv4/tcp_ipv4.c and net/ipv6/tcp_ipv6.c:

    text = title line, then a line for each socket, padded with spaces
    line = number ":" local remote state {further fields}
    local, remote = address ":" port        8 or 32 hexadecimal digits, words of 32 bits in the machine's own order; the
                                            port in 4 digits
    state         = two hexadecimal digits  01 established, 0A listening
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

from ..unreadable import NotUnderstoodError

_SOCKET = re.compile(
    r"\s*[0-9]+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4} ([0-9A-F]{2})(?: .*)?"
)
ESTABLISHED, LISTENING = 1, 10

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Socket:
    """This host's end of a socket, an address of version 4 within one of version 6 as what it is; and its state."""

    address: Address
    port: int
    state: int


def read_sockets(text: str, where: str = "/proc/net/tcp") -> list[Socket]:
    """Return all sockets. Raises NotUnderstoodError."""
    title, *lines = text.rstrip("\n").split("\n")
    if title.split()[:1] != ["sl"]:
        raise NotUnderstoodError("no title", where=where, found=title, expected="sl  local_address …")
    found: list[Socket] = []
    for line in lines:
        match = _SOCKET.fullmatch(line)
        if match is None or len(match[1]) != len(match[3]):
            raise NotUnderstoodError(
                "not a socket", where=where, found=line, expected="N: LOCAL:PORT REMOTE:PORT STATE"
            )
        found.append(Socket(_address(match[1]), int(match[2], 16), int(match[4], 16)))
    return found


def _address(text: str) -> Address:
    words = (int(text[start : start + 8], 16) for start in range(0, len(text), 8))
    packed = b"".join(struct.pack("=I", word) for word in words)
    if len(packed) == 4:
        return ipaddress.IPv4Address(packed)
    address = ipaddress.IPv6Address(packed)
    return address.ipv4_mapped or address
