"""The kill switch: a file. While it is there nothing is ordered, whatever restarts.

A switch that cannot be read counts as on.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from quietcore.errors import QuietcoreError

DEFAULT_FILE = Path("/var/lib/quietcore/runtime/kill")
REASON_LIMIT = 500


class KillSwitch:
    """The switch at ``path``."""

    def __init__(self, path: Path = DEFAULT_FILE) -> None:
        self.path = path

    def reason(self) -> str | None:
        """Return why the switch is on, None where it is off."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                return file.read(REASON_LIMIT).strip() or "no reason given"
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"{self.path} cannot be read: {error.strerror}"

    def engage(self, reason: str) -> None:
        """Switch on; the first reason stays. Raises QuietcoreError."""
        text = f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())} {reason.strip()[:REASON_LIMIT]}\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return
        except OSError as error:
            raise QuietcoreError(
                "kill switch cannot be written",
                where=str(self.path),
                found=error.strerror,
                remedy="run as root or as the runtime's user, or stop the unit: systemctl stop quietcore-runtime",
            ) from error
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> bool:
        """Switch off; False where it was off. Raises QuietcoreError."""
        try:
            self.path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise QuietcoreError(
                "kill switch cannot be cleared",
                where=str(self.path),
                found=error.strerror,
                remedy="run as root or as the runtime's user",
            ) from error
        return True
