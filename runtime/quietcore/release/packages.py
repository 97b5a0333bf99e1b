"""The runtime's third-party packages for a target: wheels of the lock, unpacked without running its Python."""

from __future__ import annotations

import compileall
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.release.archive import write_archive
from quietcore.release.target import Target

# Test suites and compiler inputs that nothing imports at run time: half of the size, and a copy goes to each host.
PRUNED = ("numba/tests", "numpy/*/tests", "numpy/tests", "numpy/f2py", "numpy/_core/include", "share")
# Of the packages' own programs, those that a command of ours calls.
PROGRAMS = ("py-spy",)


def key(lock: Path, target: Target) -> str:
    """Return the name of the package set: twelve hexadecimal digits of what decides its content."""
    text = "\n".join(
        [hashlib.sha256(lock.read_bytes()).hexdigest(), repr(target), repr((PRUNED, PROGRAMS)), sys.version]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def pack(lock: Path, target: Target, out: Path) -> Path:
    """Write ``out/packages-<key>.tar.gz`` unless it is there; return it."""
    archive = out / f"packages-{key(lock, target)}.tar.gz"
    if archive.exists():
        return archive
    tree = out / (archive.name.removesuffix(".tar.gz") + ".new")
    shutil.rmtree(tree, ignore_errors=True)
    try:
        install(lock, target, tree)
        write_archive(tree, archive)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return archive


def install(lock: Path, target: Target, into: Path) -> None:
    """Unpack the wheels of the lock that fit the target into a folder, each checked against its hash."""
    major, minor = target.python
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--quiet",
            "--progress-bar=off",
        ),
        *("--target", str(into), "--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--python-version", f"{major}.{minor}", "--implementation", "cp", "--abi", f"cp{major}{minor}"),
        *("--abi", "abi3", "--abi", "none"),
        *(word for tag in target.platform_tags() for word in ("--platform", tag)),
        *("--requirement", str(lock)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise QuietcoreError(
            "cannot fetch the runtime's packages",
            where=lock.name,
            found=(done.stderr.strip().splitlines() or ["no message from pip"])[-1],
            expected=f"wheels for {target}",
            remedy="check the connection to the package index",
            code=ExitCode.UNKNOWN,
        )
    prune(into)
    if target.python == sys.version_info[:2]:
        # The target's user may not write here, so what is not compiled now is compiled at every start.
        compileall.compile_dir(into, quiet=2, workers=0)


def prune(folder: Path) -> None:
    """Remove from unpacked packages what nothing here uses."""
    for pattern in PRUNED:
        for path in folder.glob(pattern):
            shutil.rmtree(path)
    for path in folder.glob("bin/*"):
        if path.name not in PROGRAMS:
            path.unlink()
