"""The peers' virtual environment, apart from the project's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path


def ensure_peers(root: Path) -> Path:
    """Return the interpreter of build/bench/venv, made again where requirements-bench.lock has changed."""
    lock = root / "requirements-bench.lock"
    venv = root / "build/bench/venv"
    stamp = venv / "quietcore-bench"
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    python = venv / "bin/python"
    if stamp.exists() and stamp.read_text() == key:
        return python
    print("bench: installing the peers into build/bench/venv", file=sys.stderr, flush=True)
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--clear", str(venv)], check=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    stamp.write_text(key)
    return python
