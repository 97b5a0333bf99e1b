"""A file system of some kilobytes that a test can fill, empty, and turn read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fillers: list[Path] = []

    def fill(self) -> None:
        """Use up all blocks and all inodes."""
        for number in range(10_000):
            filler = self.path / f"filler-{number}"
            try:
                with filler.open("wb", buffering=0) as file:
                    self._fillers.append(filler)
                    while True:
                        file.write(bytes(4096))
            except OSError:
                if not filler.exists():
                    return
        raise AssertionError("the disk does not fill")

    def free(self) -> None:
        """Remove what `fill` wrote."""
        while self._fillers:
            self._fillers.pop().unlink(missing_ok=True)

    def read_only(self, value: bool) -> None:
        """Mount it anew, read-only or not."""
        subprocess.run(
            ["mount", "-o", f"remount,{'ro' if value else 'rw'}", str(self.path)], check=True, timeout=20
        )


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount 64 KiB with 24 inodes at ``path``; skip the test where mounting is not allowed."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=24,mode=0755", "quietcore-test", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=20)
