"""A mount namespace of this process's own: small disks that can be filled, a /dev/shm that nobody else sees.

Everything is gone when the process and its children are: nothing is mounted where others look. Needs root or
unprivileged user namespaces (user_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path

from quietcore.local.pipeline import SHARED_MEMORY

# linux/sched.h, linux/mount.h
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 16384, 1 << 18
KIB = 1024
SHARED_MEMORY_KIB = 64 * KIB

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), str(target).encode(), kind.encode(), flags, options.encode())
    _check(_libc.mount(*arguments), f"mount {target}")


def separate() -> None:
    """Give this process, which must have one thread, its own mounts; raise OSError where the kernel refuses."""
    user, group = os.getuid(), os.getgid()
    rootless = os.geteuid() != 0
    _check(_libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if rootless else 0)), "unshare")
    if rootless:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    _mount("tmpfs", SHARED_MEMORY, "tmpfs", MS_NOSUID | MS_NODEV, f"size={SHARED_MEMORY_KIB}k,mode=1777")


class Disk:
    """A tmpfs at ``path`` of ``kib`` KiB."""

    def __init__(self, path: Path, kib: int = 256) -> None:
        self.path, self.kib = path, kib
        path.mkdir(parents=True, exist_ok=True)
        _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"size={kib}k,mode=0755")

    @property
    def _filler(self) -> Path:
        return self.path / ".chaos-filler"

    def fill(self) -> None:
        """Leave no byte free."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            for size in (64 * KIB, 4 * KIB, 1):
                with contextlib.suppress(OSError):
                    while os.write(handle, b"\0" * size):
                        pass
        finally:
            os.close(handle)

    def set_read_only(self, read_only: bool) -> None:
        """Remount. Where a file is open for writing the kernel refuses: then it is filled instead."""
        flags = MS_REMOUNT | MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)
        try:
            _mount("tmpfs", self.path, "tmpfs", flags, f"size={self.kib}k,mode=0755")
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self.fill()

    def free(self) -> None:
        """Make it writable and as empty of fillers as it was."""
        self.set_read_only(False)
        self._filler.unlink(missing_ok=True)


class SharedMemoryDisk(Disk):
    """The namespace's /dev/shm, which `separate` has mounted."""

    def __init__(self) -> None:
        self.path, self.kib = SHARED_MEMORY, SHARED_MEMORY_KIB
