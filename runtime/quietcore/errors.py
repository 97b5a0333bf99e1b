"""One kind of error for everything a user can mend, and the exit codes of every command.

Standard library only.
"""

from __future__ import annotations

import enum
import errno

REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EROFS: "mount that file system writable",
    errno.EIO: "check the disk (kernel log)",
    errno.EMFILE: "raise the limit of open files (LimitNOFILE=, ulimit -n)",
    errno.ENFILE: "raise fs.file-max, or end what has so many files open",
    errno.ENOMEM: "give it more memory (LimitAS=, MemoryMax=, ulimit -v)",
    errno.EACCES: "run as root or as the runtime's user",
    errno.EPERM: "run as root or as the runtime's user",
    errno.ENOENT: "make the folder",
    errno.ENOTDIR: "a part of the path is no folder: correct it",
}


class ExitCode(enum.IntEnum):
    """What a command's exit status means, the same for every command of the project."""

    OK = 0
    FOUND = 1  # drift, a failed comparison
    USAGE = 2  # wrong usage or configuration
    UNKNOWN = 3  # could not tell


class QuietcoreError(Exception):
    """Something a user can mend: what is wrong, where, what was found and expected, and the remedy.

    >>> print(QuietcoreError("unknown key", where="runtime.toml: risk.max_pos", expected="max_position",
    ...                      remedy="correct the key").message())
    unknown key: runtime.toml: risk.max_pos; expected max_position; remedy: correct the key
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
        code: ExitCode = ExitCode.USAGE,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.code = code
        super().__init__(self.message())

    def message(self) -> str:
        """Return the error as one line."""
        parts = [self.what if self.where is None else f"{self.what}: {self.where}"]
        if self.found is not None:
            parts.append(f"found {self.found}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.remedy is not None:
            parts.append(f"remedy: {self.remedy}")
        return "; ".join(parts)

    def parts(self) -> dict[str, object]:
        """Return the error for JSON: what, where, found, expected, remedy (None: not told), code."""
        texts = {"found": self.found, "expected": self.expected}
        shown = {name: None if value is None else str(value) for name, value in texts.items()}
        return {
            "what": self.what,
            "where": self.where,
            **shown,
            "remedy": self.remedy,
            "code": int(self.code),
        }


def named(error: OSError) -> str:
    """Return an operating system's error by its name and its text.

    >>> named(OSError(errno.ENOSPC, "No space left on device"))
    'ENOSPC, No space left on device'
    """
    name = errno.errorcode.get(error.errno or 0)
    text = error.strerror or str(error) or type(error).__name__
    return f"{name}, {text}" if name else text


def remedy_of(error: OSError, otherwise: str) -> str:
    """Return what helps against an operating system's error, ``otherwise`` where its number does not tell."""
    return REMEDIES.get(error.errno or 0, otherwise)
