"""Room on disk: asked for before a step that needs it, so that nothing stops half way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quietcore.errors import QuietcoreError

MEBIBYTE = 1024 * 1024


def free_bytes(folder: Path) -> int:
    """Return the bytes an ordinary user may still write in ``folder`` or its nearest existing parent."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def demand(folder: Path, needed: int, purpose: str, *, variable: str) -> None:
    """Raise QuietcoreError unless ``needed`` bytes are free for ``purpose`` in ``folder``."""
    free = free_bytes(folder)
    if free < needed:
        raise QuietcoreError(
            f"no space for {purpose}",
            where=str(folder),
            found=f"{free // MEBIBYTE} MiB free",
            expected=f"{needed // MEBIBYTE} MiB, {(needed - free) // MEBIBYTE + 1} MiB more than there are",
            remedy=f"free some space there, or set {variable} to a folder on another file system",
        )


def _everyone_may_pass(folder: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def scratch_folder(needed: int) -> Path:
    """Return a folder for the root file system while it is unpacked: $TMPDIR, else /var/tmp, else /tmp.

    mmdebstrap enters it as another (mapped) user, so every folder above must let everyone pass.
    """
    chosen = os.environ.get("TMPDIR")
    if chosen:
        folder = Path(chosen).absolute()
        if not (folder.is_dir() and _everyone_may_pass(folder)):
            raise QuietcoreError(
                "not a usable folder for building",
                where=f"TMPDIR={chosen}",
                expected="a folder that every user may enter, like its parents (mode o+x)",
                remedy="unset TMPDIR, or choose another",
            )
        demand(folder, needed, "building the image", variable="TMPDIR")
        return folder
    for folder in (Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - a private folder is made inside
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and free_bytes(folder) >= needed:
            return folder
    demand(Path("/var/tmp"), needed, "building the image", variable="TMPDIR")  # noqa: S108
    return Path("/var/tmp")  # noqa: S108
