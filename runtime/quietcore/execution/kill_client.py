"""How a command reaches the runtimes that run: found by what the kernel lists, needing no file of theirs.

A runtime listens at an abstract address with its kill file's name in it (`kill_keeper.address_of`); /proc/net/unix
lists these. Whose process answers is the kernel's word (SO_PEERCRED), not a number in a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

from quietcore.execution.exclusive import PREFIX, digest, peer
from quietcore.execution.identity import process_start, send_signal, started_at

UNIX_SOCKETS = Path("/proc/net/unix")
MOST_BYTES = 4096
# A file is older than its own writer's start by rounding at most.
CLOCK_SLACK_SECONDS = 1.0


class Reached:
    """One runtime: its process, and a connection to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = peer(connection)[0]
        self._start = process_start(self.pid)

    def signal(self, number: signal.Signals) -> bool:
        """Signal that very process; False where it is gone. Raises PermissionError."""
        return send_signal(self.pid, self._start, number)

    @property
    def lives(self) -> bool:
        """Whether the process is still there."""
        return process_start(self.pid) == self._start != 0

    def ask(self, wish: str, seconds: float, **more: str) -> dict[str, Any] | None:
        """Return what it answers; None where it does not, in time."""
        try:
            self._connection.settimeout(max(seconds, 0.01))
            self._connection.send(json.dumps({"do": wish, **more}).encode())
            answer = json.loads(self._connection.recv(MOST_BYTES) or b"null")
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def runtimes(kill_file: Path) -> list[Reached]:
    """Return the runtimes of this host that have this kill file."""
    prefix = f"@{PREFIX}.runtime.{digest(os.path.realpath(kill_file))}."
    try:
        lines = UNIX_SOCKETS.read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = {line.rsplit(" ", 1)[-1] for line in lines}
    found = []
    for name in sorted(name for name in names if name.startswith(prefix)):
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        except OSError:  # no descriptor: the kill file and the status are the other ways
            break
        connection.setblocking(False)
        try:
            connection.connect(f"\0{name[1:]}")
        except OSError:
            connection.close()
        else:
            found.append(Reached(connection))
    return found


def by_status(status: dict[str, Any], written: float) -> tuple[int, int]:
    """Return pid and start (clock ticks) of the live process that wrote a status; zeros where it is gone.

    ``written``: when, Unix time. A process that began later has the number of one that is gone.
    """
    pid = status.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return 0, 0
    start = process_start(pid)
    known = status.get("process_start")
    mine = known == start if isinstance(known, int) else started_at(pid) <= written + CLOCK_SLACK_SECONDS
    return (pid, start) if start and mine else (0, 0)


def close_all(reached: list[Reached]) -> None:
    """Let go of all connections."""
    for one in reached:
        with contextlib.suppress(OSError):
            one.close()
