"""Where the status of the runtime of this host lies: the unit's, else that of a `quietcore local` which runs now."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.observe.status import FILE_NAME, default_path

LOCAL_PREFIX = "quietcore-local-"
_LOCAL = re.compile(re.escape(LOCAL_PREFIX) + r"([0-9]{1,10})-.+")


def local_folder_prefix(pid: int) -> str:
    """Return how the name of a local pipeline's folder begins."""
    return f"{LOCAL_PREFIX}{pid}-"


def local_statuses(temporary: Path, proc: Path = Path("/proc")) -> list[Path]:
    """Return the status files of this user's local pipelines that run now, in order of their names.

    A folder of somebody else, or one that others may write to, is not looked into.
    """
    found = []
    for folder in sorted(temporary.glob(f"{LOCAL_PREFIX}*")):
        match = _LOCAL.fullmatch(folder.name)
        try:
            what = folder.lstat()
        except OSError:
            continue  # it ended meanwhile
        ours = what.st_uid == os.geteuid() and what.st_mode & 0o170077 == 0o040000
        if match and ours and (proc / match[1]).exists() and (folder / FILE_NAME).exists():
            found.append(folder / FILE_NAME)
    return found


def status_path(
    explicit: Path | None,
    environment: Mapping[str, str] = os.environ,
    temporary: Path | None = None,
) -> Path:
    """Return the status file that is meant; raise QuietcoreError where several local pipelines run."""
    default = explicit or default_path(dict(environment))
    if explicit is not None or default.exists():
        return default
    there = local_statuses(temporary or Path(tempfile.gettempdir()))
    if len(there) > 1:
        raise QuietcoreError(
            "several local pipelines run here",
            where=str(default),
            found=f"no runtime of this host, and {', '.join(map(str, there))}",
            remedy="name one with --status",
            code=ExitCode.UNKNOWN,
        )
    return there[0] if there else default
