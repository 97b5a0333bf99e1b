"""The host as files below a root: the live one (`/`) or a copied tree, used the same way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ..errors import ExitCode, QuietcoreError
from .topology import Topology, read_topology, with_siblings_off
from .unreadable import AbsentError as AbsentError
from .unreadable import EndedError
from .unreadable import UnreadableError as UnreadableError

DESIRED_FOLDER = "/etc/quietcore/host.d"
JOURNAL = "/var/lib/quietcore/journal.jsonl"
PLAN = "/etc/quietcore/plan.json"
# Seconds; an emulated host on a busy machine has been seen to hold the lock for more than 30.
LOCK_WAIT = 120.0

Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of the system in the C locale, its output as text; the caller judges the exit status."""
    environment = {
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
    }
    try:
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=300
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: no such program")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]}: no answer within 300 s")


class Machine:
    """One host. Paths are absolute as on the host itself; `root` is put before them.

    Programs of the system (`systemctl`, `grub-mkconfig`) are run only on the live host, or through `run` where
    one
    is given. `live` says whether a kernel stands behind the files and answers a write.
    """

    def __init__(self, root: str | Path = "/", run: Runner | None = None, live: bool | None = None) -> None:
        self.root = Path(root)
        own = self.root == Path("/")
        self.live = own if live is None else live
        self._run = run if run is not None else (run_program if own else None)

    def path(self, path: str) -> Path:
        """Return where a path of the host is found."""
        return self.root / path.lstrip("/")

    def exists(self, path: str) -> bool:
        """Tell whether the path is there; what may not be looked at counts as not there."""
        try:
            return self.path(path).exists()
        except OSError:
            return False

    def glob(self, pattern: str) -> list[str]:
        """Return the paths of the host that match a pattern, sorted; what may not be looked at is not among them."""
        start = len(self.root.parts)
        found = sorted(self.root.glob(pattern.lstrip("/")))
        return ["/" + "/".join(path.parts[start:]) for path in found]

    def read(self, path: str) -> str:
        """Return a file's text without white space at its ends. Raises AbsentError or UnreadableError."""
        return self.read_raw(path).strip()

    def read_raw(self, path: str) -> str:
        """Return a file's text as it is. Raises AbsentError or UnreadableError."""
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            top = {"sys": "/sys/devices/system/cpu", "proc": "/proc/cmdline"}.get(
                path.lstrip("/").split("/")[0]
            )
            if top is not None and not self.exists(top):
                raise UnreadableError(f"{path}: there is no /{top.split('/')[1]} to read here") from None
            raise AbsentError(f"{path} does not exist") from None
        except ProcessLookupError:
            raise EndedError(f"{path}: the process has ended") from None
        except OSError as error:
            raise UnreadableError(f"{path}: {error.strerror}") from error

    def processes(self) -> list[int]:
        """Return the numbers of the processes that /proc shows, ascending. Raises UnreadableError."""
        try:
            return sorted(int(path.name) for path in self.path("/proc").iterdir() if path.name.isdecimal())
        except OSError as error:
            raise UnreadableError(f"/proc: {error.strerror}") from error

    def write_value(self, path: str, value: str) -> None:
        """Write a value to a file of the kernel. Raises OSError with the kernel's own reason."""
        descriptor = os.open(self.path(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{value}\n".encode())
        finally:
            os.close(descriptor)

    def replace_file(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file whole: beside it, forced to disk, then renamed; no moment shows half of it."""
        target = self.path(path)
        make_folders(target.parent)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        sync_folder(target.parent)

    def rename_file(self, path: str, to: str) -> None:
        """Force a file to disk and give it another one's place and mode. Raises OSError."""
        source, target = self.path(path), self.path(to)
        if target.exists():
            source.chmod(target.stat().st_mode & 0o7777)
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        source.replace(target)
        sync_folder(target.parent)

    def remove_file(self, path: str) -> None:
        """Remove a file, if it is there."""
        target = self.path(path)
        try:
            target.unlink()
        except FileNotFoundError:
            return
        sync_folder(target.parent)

    def remove_empty_folders(self, *paths: str) -> None:
        """Remove folders of our own, the innermost first, as far as nothing is in them."""
        for path in paths:
            target = self.path(path)
            if target.is_dir() and not any(target.iterdir()):
                target.rmdir()
                sync_folder(target.parent)

    def missing_folders(self, target: str) -> list[str]:
        """Return the folders that writing this target (`file:/etc/…`) would make, the outermost first."""
        kind, _, address = target.partition(":")
        if kind != "file":
            return []
        above = [str(path) for path in Path(address).parents if path != Path("/")]
        return [path for path in reversed(above) if not self.exists(path)]

    def is_empty_folder(self, path: str) -> bool:
        """Tell whether a folder is there and nothing is in it."""
        target = self.path(path)
        return target.is_dir() and not any(target.iterdir())

    def set_affinity(self, tid: int, cpus: frozenset[int]) -> None:
        """Let a thread run on these CPUs only. Raises OSError with the kernel's own reason."""
        if self.root != Path("/"):
            raise OSError(errno.EROFS, "a copied tree has no threads")
        os.sched_setaffinity(tid, cpus)

    @property
    def can_run(self) -> bool:
        """Whether programs of the system can be asked."""
        return self._run is not None

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the system. Raises UnreadableError below a copied tree."""
        if self._run is None:
            raise UnreadableError(f"{command[0]} cannot be asked about a copied tree")
        return self._run(command)

    def program(self, *names: str) -> str | None:
        """Return the first of the programs that is installed, as an absolute path."""
        for name in names:
            for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
                if self.exists(f"{folder}/{name}"):
                    return f"{folder}/{name}"
        return None

    @cached_property
    def boot_id(self) -> str:
        """This boot's identity, empty where it cannot be read."""
        try:
            return self.read("/proc/sys/kernel/random/boot_id")
        except (AbsentError, UnreadableError):
            return ""

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """The running kernel's major and minor number. Raises AbsentError or UnreadableError."""
        text = self.read("/proc/sys/kernel/osrelease")
        words = text.split("-")[0].split(".")
        if len(words) < 2 or not (words[0].isdecimal() and words[1].isdecimal()):
            raise UnreadableError(f"/proc/sys/kernel/osrelease: {text[:40]!r} is no version")
        return int(words[0]), int(words[1])

    @cached_property
    def topology(self) -> Topology:
        """The machine's CPUs and nodes. Raises QuietcoreError where they cannot be read."""
        return self.topology_for("")

    def topology_for(self, interface: str) -> Topology:
        """Return CPUs and nodes with a chosen network card; siblings that the plan took off line count as
        running.
        """
        try:
            plan = json.loads(self.read(PLAN))
        except (AbsentError, UnreadableError, ValueError):
            plan = None
        return with_siblings_off(read_topology(self.root, interface), plan)

    @cached_property
    def command_line(self) -> tuple[str, ...]:
        """The words of the running kernel's command line. Raises AbsentError or UnreadableError."""
        return split_command_line(self.read("/proc/cmdline"))


def split_command_line(text: str) -> tuple[str, ...]:
    """Split a kernel command line as the kernel does: double quotes hold words together, `--` ends it."""
    words: list[str] = []
    word, quoted = "", False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter.isspace() and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += letter
    if word:
        words.append(word)
    return tuple(words[: words.index("--")] if "--" in words else words)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each forced to disk: 0755, whatever this process's umask takes away.

    A folder appears under its name with its mode: one that a power cut left half made would shut the services out.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            beside.chmod(0o755)
            beside.rename(path)
        except OSError:
            beside.rmdir()
            if not path.is_dir():  # another process was quicker
                raise
        sync_folder(path.parent)


# Read by services that are not root, whose own files lie below them.
OPEN_FOLDERS = ("/etc/quietcore", DESIRED_FOLDER, "/var/lib/quietcore")


def _open_to_all(machine: Machine) -> None:
    """Give our folders their mode where an earlier run under another umask took it away. Raises OSError."""
    for folder in map(machine.path, OPEN_FOLDERS):
        if folder.is_dir() and folder.stat().st_mode & 0o7777 != 0o755:
            folder.chmod(0o755)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(machine: Machine) -> Iterator[None]:
    """Let only one process change this host at a time; wait a while for another one, such as the timer's recheck
    of interrupts. Raises QuietcoreError where it takes too long.
    """
    import fcntl

    path = machine.path("/var/lib/quietcore/lock")
    try:
        make_folders(path.parent)
        _open_to_all(machine)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise QuietcoreError(
            "this host cannot be changed",
            where=str(path),
            found=error.strerror,
            remedy="run as root, with room on the disk",
        ) from error
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise QuietcoreError(
                        "another process is changing this host",
                        where=str(path),
                        found=f"still at it after {LOCK_WAIT:g} s",
                        remedy="wait until it has finished",
                        code=ExitCode.UNKNOWN,
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
