"""The feed handler's part of a release: the executable, the libraries it brings, and the oldest glibc it runs on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from quietcore.errors import QuietcoreError
from quietcore.release.target import Target

# The C library and its loader are one with the target's kernel and resolver set-up and are never brought along.
GLIBC_PARTS = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|nss_.*|util|mvec))\.so(\..*)?$")


def libraries(executable: Path) -> list[Path]:
    """Return the shared libraries that the executable loads, glibc's own left out."""
    done = subprocess.run(["ldd", str(executable)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise QuietcoreError("cannot list the libraries of", where=str(executable), found=done.stderr.strip())
    found = []
    for line in done.stdout.splitlines():
        match = re.match(r"\s*(\S+) => (\S+|not found)", line)
        if match is None or GLIBC_PARTS.match(Path(match[1]).name):
            continue
        if match[2] == "not":
            raise QuietcoreError(
                "library not found", where=f"{executable}: {match[1]}", remedy="build again: make build"
            )
        found.append(Path(match[2]))
    return sorted(found)


def needed_glibc(files: list[Path]) -> tuple[int, int]:
    """Return the newest glibc symbol version that any of the ELF files asks for, as (major, minor)."""
    # The version names stand in the dynamic string table as plain text; no other string has this form.
    versions = {
        (int(major), int(minor))
        for file in files
        for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", file.read_bytes())
    }
    return max(versions, default=(0, 0))


def collect(executable: Path, into: Path, target: Target) -> tuple[int, int]:
    """Copy the executable to ``into/bin`` and its libraries to ``into/lib``; return the glibc they need.

    Raises QuietcoreError where the executable is missing or would not start on the target.
    """
    if not executable.is_file():
        raise QuietcoreError("no feed handler to pack", where=str(executable), remedy="make build")
    parts = [executable, *libraries(executable)]
    needed = needed_glibc(parts)
    if needed > target.glibc:
        raise QuietcoreError(
            "the feed handler was built for a newer system than the target",
            where=str(executable),
            found=f"it needs glibc {needed[0]}.{needed[1]}",
            expected=f"at most {target.glibc[0]}.{target.glibc[1]}",
            remedy="build on a controller of the target's release",
        )
    for name, files in (("bin", parts[:1]), ("lib", parts[1:])):
        folder = into / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy2(file, folder / file.name)
    return needed
