"""One runtime for an account and for a status folder, one guard for an account: the second is refused by name.

Two runtimes on one account take each other's orders for those of an earlier run and cancel them for ever. What is
held needs no file of its own, so nobody can delete it, no full disk is in its way, and the kernel lets go of it
when its process is gone, however it ended: an abstract socket (unix(7)) for an account, a lock (flock(2)) on the
status folder itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import struct
from pathlib import Path

from quietcore.errors import QuietcoreError, named
from quietcore.execution.identity import describe
from quietcore.execution.process import Warn

PREFIX = "quietcore"
LOCKS = Path("/proc/locks")
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def digest(*parts: str) -> str:
    """Return what stands for ``parts`` in a socket's name, which everybody on the host can read."""
    return hashlib.sha256("\0".join((PREFIX, *parts)).encode()).hexdigest()[:20]


def account_of(venue: str, mode: str, rest: str, key: str) -> str:
    """Return what names an account: the venue and the key; simulators share one key, so their address too."""
    return digest(venue, rest.rstrip("/") if mode == "sim" else mode, key)


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return pid and uid of who has the other end, by the kernel's word."""
    pid, uid, _ = CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    )
    return pid, uid


def holder(name: str) -> int:
    """Return the pid of the process that listens at an abstract address; 0 where it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        asking.setblocking(False)
        with contextlib.suppress(OSError):
            asking.connect(f"\0{name}")
            return peer(asking)[0]
    return 0


def claim_account(role: str, account: str, warn: Warn) -> socket.socket | None:
    """Hold an account for this process's life; None, and a warning, where this system has no such sockets.

    Raises QuietcoreError where another process of the same role ("runtime", "guard") holds it.
    """
    name = f"{PREFIX}.account.{role}.{account}"
    try:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as error:
        warn(f"a second {role} on this account would not be noticed: {named(error)}")
        return None
    try:
        held.bind(f"\0{name}")
        held.listen(8)
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            warn(f"a second {role} on this account would not be noticed: {named(error)}")
            return None
        pid = holder(name)
        raise QuietcoreError(
            f"another {role} has this account",
            found=describe(pid) if pid else "a process that cannot be told",
            expected=f"one {role} for an account",
            remedy=f"end that one first, or give this one a key of its own (kill -TERM {pid or 'PID'})",
        ) from None
    return held


def claim_folder(folder: Path, warn: Warn) -> int:
    """Hold a status folder for this process's life; return the descriptor, -1 where it cannot be opened.

    Raises QuietcoreError where another process holds it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1  # heartbeat and status say what is wrong with it
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = lock_holder(handle)
        os.close(handle)
        raise QuietcoreError(
            "another runtime has this status folder",
            where=str(folder),
            found=describe(pid) if pid else "a process that cannot be told",
            expected="one runtime for a folder",
            remedy="end that one first, or name another folder with --status",
        ) from None
    except OSError as error:  # a file system without locks
        warn(f"a second runtime in {folder} would not be noticed: {named(error)}")
    return handle


def lock_holder(handle: int) -> int:
    """Return the pid of who has the lock on an open folder, by /proc/locks (proc(5)); 0 where it does not tell."""
    found = os.fstat(handle)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        # "1: FLOCK  ADVISORY  WRITE 703 00:16:1034 0 EOF"; one that waits has "->" before its kind.
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == name and words[4].isdigit():
            return int(words[4])
    return 0
