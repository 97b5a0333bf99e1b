"""The process that watches one emulated host until its qemu ends; `stale_code.start` starts it.

Usage: python -m quietcore.vhost.emulator_watch FOLDER
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.vhost.monitor import Monitor
from quietcore.vhost.stale_code import MONITOR_SOCKET, PAUSE_SECONDS, Say, Watch

# qemu answers nothing while it writes a snapshot; that it is gone is seen at once, as a hang-up.
_PATIENCE_SECONDS = 24 * 3600.0


def watch(folder: Path, say: Say) -> None:
    """Look every two seconds until qemu is gone."""
    with contextlib.suppress(QuietcoreError), _monitor(folder) as monitor:
        looks = Watch(folder, monitor, say)
        while True:
            looks.look()
            time.sleep(PAUSE_SECONDS)


def _monitor(folder: Path) -> Monitor:
    return Monitor(folder, timeout=_PATIENCE_SECONDS, name=MONITOR_SOCKET)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), lambda line: print(f"quietcore: {line}", flush=True))
