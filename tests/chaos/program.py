"""Runs a `quietcore` command with something about it changed first: a planted bug, or a clock that is off.

    python -m tests.chaos.program COMMAND [OPTION…]

QUIETCORE_CHAOS_BUG names the bug (tests/chaos/planted.py). QUIETCORE_CHAOS_CLOCK names a file of 8 bytes: by so many ns
this process's time of day, as Python sees it, is off; it may change at any time.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path


def set_clock_off(path: Path) -> None:
    """Let `time.time_ns` and `time.time` be off by what the file says."""
    with path.open("rb") as file:
        page = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real_ns = time.time_ns

    def time_ns() -> int:
        return real_ns() + int(struct.unpack("q", page[:8])[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def main() -> int:
    """Change what is asked for, and run the command."""
    clock = os.environ.get("QUIETCORE_CHAOS_CLOCK")
    if clock:
        set_clock_off(Path(clock))
    bug = os.environ.get("QUIETCORE_CHAOS_BUG")
    if bug:
        from tests.chaos.planted import PLANTED

        PLANTED[bug].plant()
    from quietcore.cli.main import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
