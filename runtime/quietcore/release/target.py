"""What a release must fit: the target's machine, Python and C library."""

from __future__ import annotations

import dataclasses
import platform
import re

from quietcore.errors import QuietcoreError

# A wheel's manylinux tag names the oldest glibc it runs on; installers want every tag listed that will do.
MANYLINUX_GLIBC = (28, 27, 26, 24, 17, 12, 5)


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of host: ``machine`` as `uname -m` prints it, ``python`` and ``glibc`` as (major, minor)."""

    machine: str
    python: tuple[int, int]
    glibc: tuple[int, int]

    @classmethod
    def parse(cls, machine: str, python: str, glibc: str) -> Target:
        """Make a target from the words of a command line, e.g. ``x86_64 3.11 2.36``."""
        return cls(machine, version(python, "--python", "3.11"), version(glibc, "--glibc", "2.36"))

    @classmethod
    def here(cls) -> Target:
        """Return this machine as a target."""
        glibc = platform.libc_ver()[1] or "0.0"
        return cls.parse(platform.machine(), ".".join(platform.python_version_tuple()[:2]), glibc)

    def platform_tags(self) -> list[str]:
        """Return the wheel platform tags that run on this target, newest first."""
        tags = [
            f"manylinux_2_{minor}_{self.machine}" for minor in MANYLINUX_GLIBC if (2, minor) <= self.glibc
        ]
        if self.glibc >= (2, 17):
            tags.append(f"manylinux2014_{self.machine}")
        return tags

    def __str__(self) -> str:
        return (
            f"{self.machine}, Python {self.python[0]}.{self.python[1]}, glibc {self.glibc[0]}.{self.glibc[1]}"
        )


def version(text: str, where: str, example: str) -> tuple[int, int]:
    """Return the first two numbers of a version; errors name the option."""
    match = re.match(r"(\d+)\.(\d+)", text)
    if match is None:
        raise QuietcoreError(
            "no version", where=where, found=repr(text), expected=f"a version such as {example}"
        )
    return int(match[1]), int(match[2])
