"""A relay between multicast groups on the loopback interface that loses, doubles and mixes up packets."""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

#: What becomes of a packet: the packets that go on in its place.
Fault = Callable[[bytes], Iterable[bytes]]

HEADER = 48
HEARTBEAT = 6


def as_they_are(packet: bytes) -> Iterable[bytes]:
    """Hand everything on."""
    return (packet,)


def nothing(_packet: bytes) -> Iterable[bytes]:
    """Hand nothing on."""
    return ()


def is_heartbeat(packet: bytes) -> bool:
    """A packet without a number of its own."""
    return len(packet) > HEADER and packet[HEADER] == HEARTBEAT


def _group() -> str:
    return f"239.255.{secrets.randbelow(250) + 2}.{secrets.randbelow(250) + 2}"


@dataclass(frozen=True)
class Groups:
    """A pair of groups that nobody else has."""

    stream: tuple[str, int] = field(default_factory=lambda: (_group(), 20000 + secrets.randbelow(10000)))
    snapshots: tuple[str, int] = field(default_factory=lambda: (_group(), 30000 + secrets.randbelow(10000)))

    def options(self) -> list[str]:
        """For publish, run and monitor."""
        stream, snapshots = (f"{group}:{port}" for group, port in (self.stream, self.snapshots))
        return ["--multicast", stream, "--snapshots", snapshots]


def receiver(group: tuple[str, int]) -> socket.socket:
    """A socket that has joined a group on lo."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind(group)
    membership = socket.inet_aton(group[0]) + socket.inet_aton("127.0.0.1")
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock


def sender() -> socket.socket:
    """A socket whose multicast leaves by lo."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    return sock


class PacketRelay:
    """From one pair of groups to another, on a thread of its own; the stream's packets meet `fault`."""

    def __init__(self, source: Groups, target: Groups) -> None:
        self.fault: Fault = as_they_are
        self.snapshot_fault: Fault = as_they_are
        self.taken = 0
        self._targets = (target.stream, target.snapshots)
        self._sockets = [receiver(source.stream), receiver(source.snapshots)]
        self._out = sender()
        self._stop = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop = True
        self._thread.join(timeout=10)
        for sock in (*self._sockets, self._out):
            sock.close()

    def send(self, packet: bytes) -> None:
        """Something of our own, on the stream."""
        self._out.sendto(packet, self._targets[0])

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            for which, sock in enumerate(self._sockets):
                selector.register(sock, selectors.EVENT_READ, which)
            while not self._stop:
                for key, _ in selector.select(timeout=0.05):
                    which = key.data
                    packet = self._sockets[which].recv(1 << 16)
                    self.taken += 1
                    for each in (self.snapshot_fault if which else self.fault)(packet):
                        self._out.sendto(each, self._targets[which])
