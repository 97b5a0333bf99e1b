"""Writing a folder as a reproducible .tar.gz, and hashing what lies in one."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from pathlib import Path


def write_archive(tree: Path, archive: Path) -> None:
    """Write ``tree`` as ``archive``: sorted names, root as owner, no write access for others; beside, then renamed.

    Modification times stay, because compiled Python files are checked against them.
    """

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = (entry.mode | 0o444 | (0o111 if entry.mode & 0o100 else 0)) & ~0o022
        return entry

    beside = archive.with_name(archive.name + ".new")
    # Level 1: the copy to a host is cheaper than the hours of a better compression are.
    with (
        beside.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(tree.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=plain)
    beside.replace(archive)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(tree: Path) -> str:
    """Return a hash over the names, modes and contents of a folder's files, hexadecimal; times do not count."""
    total = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            total.update(f"{path.relative_to(tree)}\0{mode}\0{sha256(path)}\n".encode())
    return total.hexdigest()
