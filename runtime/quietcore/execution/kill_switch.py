"""The kill switch's file. While it is there nothing is ordered, whatever restarts.

That it is there says it; what it holds is the reason. A running runtime that has seen it stays off until `quietcore
clear`, also where the file is lost (`kill_keeper`). A switch that cannot be looked at counts as on while it cannot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

from quietcore.errors import QuietcoreError, named, remedy_of
from quietcore.execution.reserve import allocate

DEFAULT_FILE = Path("/var/lib/quietcore/runtime/kill")
REASON_LIMIT = 500
SPARE_BYTES = 4096


class KillSwitch:
    """The switch at ``path``.

    ``cleared``: where `clear` puts it, which tells a clear from a file that was lost. ``spare``: a file beside it whose
    space and name are allocated beforehand; renamed to ``path``, it is a switch that needs nothing of a full disk.
    """

    def __init__(self, path: Path = DEFAULT_FILE) -> None:
        self.path = path
        self.spare = path.with_name(f"{path.name}.spare")
        self.cleared = path.with_name(f"{path.name}.cleared")

    def is_on(self) -> bool:
        """Return whether the file is there; needs no descriptor. Raises OSError where that cannot be told."""
        return self.identity() is not None

    def identity(self) -> tuple[int, int] | None:
        """Return which file the switch is, device and inode; None where it is off. Raises OSError as `is_on`."""
        return _identity(self.path)

    def was_cleared(self, identity: tuple[int, int]) -> bool:
        """Return whether a switch that was seen before was cleared: it is the one that `clear` put aside."""
        with contextlib.suppress(OSError):
            return _identity(self.cleared) == identity
        return False

    def reason(self) -> str | None:
        """Return why the switch is on, None where it is off."""
        try:
            if not self.is_on():
                return None
            with self.path.open(encoding="utf-8", errors="replace") as file:
                return file.read(REASON_LIMIT).strip("\0 \n\t") or "no reason given"
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"{self.path} cannot be read: {named(error)}"

    def prepare(self) -> None:
        """Make the spare file, where there is none. Raises QuietcoreError."""
        handle = -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                handle = os.open(self.spare, flags, 0o644)
                os.fchmod(handle, 0o644)  # it becomes the kill file
            if handle < 0:
                handle = os.open(self.spare, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            allocate(handle, SPARE_BYTES)
        except OSError as error:
            raise QuietcoreError(
                "no space is kept for the kill file",
                where=str(self.spare),
                found=named(error),
                expected=f"{SPARE_BYTES} bytes: a kill then needs the running runtime, and no disk",
                remedy=remedy_of(error, "name another kill_file"),
            ) from error
        finally:
            if handle >= 0:
                os.close(handle)

    def engage(self, reason: str) -> None:
        """Switch on; the first reason stays. Raises QuietcoreError where no file could be made at all."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        text = f"{stamp} {' '.join(reason.split())[:REASON_LIMIT]}\n".encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.fchmod(handle, 0o644)  # root may throw it with any umask, and the runtime's user reads it
        except FileExistsError:
            if self._is_there():
                return
            raise self._refusal(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))) from None
        except OSError as error:
            if not self._use_spare(text):
                raise self._refusal(error) from error
            return
        try:
            os.write(handle, text)
            os.fsync(handle)
        except OSError:
            # The file is there: that is the switch. The spare one has room for the reason too.
            self._use_spare(text)
        finally:
            os.close(handle)

    def clear(self) -> bool:
        """Put the file aside; False where there was none. Raises QuietcoreError.

        A runtime that runs and has seen it takes that for a clear, and nothing else: a file that is gone may be lost.
        """
        try:
            if stat.S_ISDIR(os.lstat(self.path).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.path.rename(self.cleared)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise QuietcoreError(
                "kill switch cannot be cleared",
                where=str(self.path),
                found=named(error),
                remedy=remedy_of(error, "remove what lies there"),
            ) from error
        return True

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError):
            return self.is_on()
        return False

    def _use_spare(self, text: bytes) -> bool:
        """Write into the blocks that the spare file has, and rename it: neither asks a full disk for room."""
        try:
            handle = os.open(self.spare, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            handle = -1  # without a descriptor there is still the name
        if handle >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(handle, text, 0)
                os.fsync(handle)
            os.close(handle)
        try:
            self.spare.rename(self.path)
        except OSError:
            return self._is_there()
        return True

    def _refusal(self, error: OSError) -> QuietcoreError:
        return QuietcoreError(
            "kill file cannot be written",
            where=str(self.path),
            found=named(error),
            remedy=remedy_of(error, "name another kill_file"),
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
