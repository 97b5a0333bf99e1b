"""A file of one JSON object, rewritten beside itself and renamed, so nobody reads half of it. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, TextIO

from quietcore.errors import QuietcoreError, named, remedy_of


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at ``path``; raise QuietcoreError where that is not possible.

    One writer for a path: what is being written has one name, so that a writer that was killed leaves one file at most.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        try:
            with open_new(temporary) as file:
                json.dump(state, file)
                file.write("\n")
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        unit = "; a unit has a place with RuntimeDirectory=quietcore"
        raise QuietcoreError(
            "status cannot be written",
            where=str(path),
            found=named(error),
            remedy=remedy_of(error, "name a writable place with --status") + unit,
        ) from error


def open_new(path: Path) -> TextIO:
    """Open an empty file for writing, readable for all; whatever a link of that name leads to is let alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o644)
    os.fchmod(handle, 0o644)  # the metrics' user reads it, whatever this unit's UMask= is
    return os.fdopen(handle, "w", encoding="utf-8")
