"""The runtime's compiled code for a CPU level, made on the controller by a rehearsal of the whole pipeline.

numba compiles a function when it is first called, which takes a small host the better part of a minute. The
rehearsal runs simulator, feed handler and runtime here for a moment, with numba told to compile for the target's
CPU level instead of for this machine, and keeps what it made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from quietcore.release.archive import write_archive
from quietcore.release.strategy import StrategyWish
from quietcore.release.target import Target

REHEARSAL_SECONDS = 3


def key(root: Path, packages_key: str, level: str, wish: StrategyWish) -> str:
    """Return the name of the code: twelve hexadecimal digits of what decides it."""
    strategy = wish.path.read_bytes() if wish.path else wish.strategy.encode()
    digest = hashlib.sha256(
        f"{packages_key}\n{level}\n{sorted(wish.parameters.items())}\n".encode() + strategy
    )
    for path in sorted((root / "runtime/quietcore").rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def pack(
    root: Path,
    executable: Path,
    target: Target,
    level: str,
    packages_key: str,
    out: Path,
    wish: StrategyWish,
) -> Path | None:
    """Write ``out/machine-code-<key>.tar.gz`` unless it is there; return it.

    None where this machine or its Python is not of the target's kind, or the rehearsal fails: the target then
    compiles for itself at the first start.
    """
    if target.python != sys.version_info[:2] or target.machine != Target.here().machine:
        return None
    archive = out / f"machine-code-{key(root, packages_key, level, wish)}.tar.gz"
    if archive.exists():
        return archive
    tree = out / "machine-code.new"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tree),
        "NUMBA_CPU_NAME": level,
        "NUMBA_CPU_FEATURES": "",
        "PYTHONPATH": str(root / "runtime"),
        "QUIETCORE_FEED": str(executable),
    }
    rehearsal = [
        *(sys.executable, "-m", "quietcore", "local", "--seconds", str(REHEARSAL_SECONDS)),
        *("--strategy", wish.strategy),
        # They may decide the size of what the strategy keeps, and so its code.
        *(word for item in wish.parameters.items() for word in ("--parameter", "{}={!r}".format(*item))),
    ]
    try:
        with (out / "machine-code.log").open("wb") as log:
            done = subprocess.run(
                rehearsal,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=300,
            )
        if done.returncode or not any(tree.iterdir()):
            return None
        write_archive(tree, archive)
    except subprocess.TimeoutExpired:
        return None
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return archive
