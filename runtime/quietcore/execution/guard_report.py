"""What the guard has done, as a file that others read: one JSON object, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from quietcore.observe import state_file

FILE_NAME = "guard.json"
DEFAULT_FILE = Path("/run/quietcore-guard") / FILE_NAME


def default_path(environment: os._Environ[str] | dict[str, str] = os.environ) -> Path | None:
    """Return where the guard writes unless told otherwise: only where a service manager gave it a folder."""
    folder = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(folder) / FILE_NAME if folder else None


def write(path: Path, state: dict[str, int]) -> None:
    """Replace the file; raise QuietcoreError where that is not possible."""
    state_file.write(path, state)


def read(path: Path) -> dict[str, int] | None:
    """Return the last state by name; None where there is none to read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): int(value) for name, value in state.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
