"""Other programs: whether they are there, and running them so that nothing of them stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.vhost.progress import Progress


def which(program: str) -> str | None:
    """Return the path of a program, the administrator's folders included: an ordinary user's PATH lacks them."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)


def require_tools(tools: Mapping[str, str]) -> None:
    """Raise QuietcoreError that names every missing program and the packages to install."""
    missing = {program: package for program, package in tools.items() if which(program) is None}
    if missing:
        raise QuietcoreError(
            "programs missing",
            where=", ".join(missing),
            expected="in PATH, /usr/sbin or /sbin",
            remedy=f"apt-get install {' '.join(sorted(set(missing.values())))}",
        )


@contextlib.contextmanager
def locked(file: Path, progress: Progress, what: str) -> Iterator[None]:
    """Hold a lock file; say so when another process has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"waiting for another process that is {what}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(
    command: Sequence[str], *, log: Path, cwd: Path | None = None, stdin: str | None = None, doing: str = ""
) -> None:
    """Run a program with its output in ``log``; raise QuietcoreError with the log's end where it fails.

    The program gets a process group of its own which is ended with us, so that Ctrl-C leaves nothing behind.
    """
    program = which(command[0]) or command[0]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    with log.open("a", encoding="utf-8") as output:
        print(f"+ {shlex.join(command)[:2000]}", file=output, flush=True)
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(stdin)
        except BaseException:
            # mmdebstrap removes its folder when it is asked to end; give it the time.
            for ask in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, ask)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                    break
            raise
    if process.returncode != 0:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        telling = [
            line for line in lines if line.startswith(("E:", "error", "mke2fs", "sfdisk", "Disk full"))
        ]
        raise QuietcoreError(
            f"{doing or command[0]} failed (exit status {process.returncode})",
            where=str(log),
            found=" | ".join((telling or lines)[-3:]),
            remedy="read the log; most often it is the network, a proxy or the mirror",
            code=ExitCode.UNKNOWN,
        )
