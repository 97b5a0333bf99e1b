"""The GoogleTest executable, so that a plain pytest run covers it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_units() -> None:
    path = Path(os.environ.get("QUIETCORE_UNITS") or ROOT / "build/native/release/bin/quietcore_tests")
    if not path.exists():
        pytest.skip(f"no {path}: build the whole preset, cmake --build --preset release")
    done = subprocess.run([path, "--gtest_brief=1"], capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
