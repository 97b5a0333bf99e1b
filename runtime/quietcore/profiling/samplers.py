"""Taking samples: py-spy and perf of a process that runs, tracemalloc of a command in this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.profiling.stacks import Stacks, parse_folded, parse_perf_script

MARGIN_SECONDS = 60.0  # that a program may take beyond the time it samples
FRAMES = 24  # kept of each allocation


def program(name: str, remedy: str) -> str:
    """Return where a program is: on PATH, beside this interpreter or its packages; raise QuietcoreError."""
    beside = [str(Path(sys.executable).parent), *(str(Path(folder, "bin")) for folder in sys.path if folder)]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(beside))
    if found is None:
        raise QuietcoreError(f"{name} is not installed", remedy=remedy, code=ExitCode.UNKNOWN)
    return found


def by_py_spy(pid: int, seconds: float, rate: int) -> Stacks:
    """Return the Python stacks of a process, without stopping it; raise QuietcoreError."""
    tool = program("py-spy", "pip install py-spy")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "stacks")
        whole = max(1, round(seconds))
        words = ["record", "--pid", str(pid), "--duration", str(whole), "--rate", str(rate), "--threads"]
        _run([tool, *words, "--nonblocking", "--format", "raw", "--output", str(output)], seconds)
        return parse_folded(output.read_text(errors="replace") if output.exists() else "")


def by_perf(pid: int, seconds: float, rate: int) -> Stacks:
    """Return the stacks of a process in machine code and kernel, as far as the kernel lets perf see them."""
    tool = program("perf", "install the package linux-perf (Debian) or linux-tools-generic (Ubuntu)")
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder, "perf.data"))
        words = ["record", "--quiet", "-F", str(rate), "-g", "-p", str(pid), "-o", data]
        _run([tool, *words, "--", "sleep", f"{seconds:g}"], seconds)
        return parse_perf_script(_run([tool, "script", "-i", data, "-F", "comm,ip,sym"], seconds))


def by_tracemalloc(command: Callable[[], int], seconds: float | None = None) -> tuple[Stacks, int, int]:
    """Run a command in this process; return what is still allocated at its end, its peak in bytes, its exit code.

    `seconds`: the command is interrupted after so long, as the keyboard does it: such an end is right (0).
    """
    interrupted = threading.Event()

    def interrupt() -> None:
        interrupted.set()
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds or 0, interrupt)
    timer.daemon = True
    tracemalloc.start(FRAMES)
    try:
        if seconds is not None:
            timer.start()
        code = command()
        timer.cancel()
        if interrupted.is_set():
            code = 0
        snapshot = tracemalloc.take_snapshot()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    found: Stacks = Counter()
    for statistic in snapshot.statistics("traceback"):
        found[tuple(f"{frame.filename}:{frame.lineno}" for frame in statistic.traceback)] += statistic.size
    return found, peak, code


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + MARGIN_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise QuietcoreError(
            "no samples in time", where=command[0], remedy="is the machine overloaded?", code=ExitCode.UNKNOWN
        ) from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
        raise QuietcoreError(
            "no samples",
            where=" ".join([Path(command[0]).name, command[1]]),
            found=words[-1],
            remedy="run as root, or as the owner of the process with kernel.yama.ptrace_scope=0 (py-spy) or "
            "kernel.perf_event_paranoid=1 (perf)",
            code=ExitCode.UNKNOWN,
        )
    return done.stdout
