"""Looks for secrets where none may be: in files, archives, the process list, the journal. Standard library alone.

Tests import it; a host runs its text from standard input, so that no command line holds what is looked for.
"""

from __future__ import annotations

import base64
import contextlib
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

PIECE = 1 << 20
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz")

Place = tuple[str, str]  # the word, and where it was found


def forms(word: str) -> list[bytes]:
    """Return the forms in which somebody might write it: as it is, in hexadecimal digits, in base64."""
    plain = word.encode()
    made = [plain, plain.hex().encode(), plain.hex().upper().encode()]
    for before in range(3):
        # Whatever stands beside it: the first and the last characters depend on that.
        text = base64.b64encode(b"\0" * before + plain)
        made.append(text[4 if before else 0 : -4])
    return made


def within(stream: IO[bytes], words: Iterable[str]) -> set[str]:
    """Return which of the words a stream holds in any form."""
    wanted = {word: forms(word) for word in words}
    overlap = max(len(form) for made in wanted.values() for form in made) - 1
    found: set[str] = set()
    kept = b""
    while piece := stream.read(PIECE):
        text = kept + piece
        found |= {word for word, made in wanted.items() if any(form in text for form in made)}
        kept = text[-overlap:]
    return found


def in_file(path: Path, words: Iterable[str]) -> set[str]:
    """Return which of the words a file holds, also inside of an archive."""
    with path.open("rb") as file:
        found = within(file, words)
    if path.name.endswith(ARCHIVES):
        with tarfile.open(path) as tar:
            for member in tar:
                if (inside := tar.extractfile(member)) is not None:
                    found |= within(inside, words)
    return found


def in_files(paths: Iterable[Path], words: Iterable[str]) -> Iterator[Place]:
    """Yield what the files hold, and the files below where a path is a folder's."""
    wanted = list(words)
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            # What ends or goes while it is looked at, held nothing that stays.
            with contextlib.suppress(FileNotFoundError):
                if file.is_file() and not file.is_symlink():
                    for word in in_file(file, wanted):
                        yield word, str(file)


def in_processes(words: Iterable[str], pids: Iterable[int] | None = None) -> Iterator[Place]:
    """Yield what the process list holds, of all processes or some: which part of it, and the program's name."""
    wanted = list(words)
    if pids is None:
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    for pid in pids:
        for part in ("cmdline", "environ", "comm", "status"):
            # It may end meanwhile, or keep its environment from us.
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError),
                Path(f"/proc/{pid}/{part}").open("rb") as file,
            ):
                for word in within(file, wanted):
                    yield word, f"{part} of {Path(f'/proc/{pid}/comm').read_text().strip()}"


def in_journal(words: Iterable[str]) -> Iterator[Place]:
    """Yield which words the journal holds, in any field of any boot."""
    command = ["journalctl", "--no-pager", "--all", "--output=export"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as journal:
        assert journal.stdout is not None
        found = within(journal.stdout, words)
    if journal.returncode:
        raise RuntimeError(f"journalctl ended with status {journal.returncode}")
    for word in found:
        yield word, "journal"
