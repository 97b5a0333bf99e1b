"""What is held beforehand: descriptors for a process that has used up all, space for a disk that will be full."""

from __future__ import annotations

import errno
import os

COUNT = 12  # connections that cancel, and what name resolution and TLS open beside them


class Reserve:
    """Made at the start, so that its numbers are low: below a limit that is lowered later."""

    def __init__(self, count: int = COUNT) -> None:
        self._count = count
        self._held: list[int] = []
        self.fill()

    def fill(self) -> bool:
        """Take what is missing; False where the system gives no more for now."""
        while len(self._held) < self._count:
            try:
                self._held.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                return False
        return True

    def release(self) -> None:
        """Let go of all."""
        while self._held:
            os.close(self._held.pop())

    def lend(self) -> bool:
        """Let go of one; False where none is left."""
        if not self._held:
            return False
        os.close(self._held.pop())
        return True


def allocate(handle: int, size: int) -> None:
    """Make a file ``size`` bytes long at least, with blocks for all of them. Raises OSError where there is no room."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
        # A file system without it (fallocate(2)): what is written has its blocks.
        there = os.fstat(handle).st_size
        if there < size:
            os.pwrite(handle, bytes(size - there), there)
