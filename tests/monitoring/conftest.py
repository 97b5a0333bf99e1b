"""Shared pieces of the monitoring's tests: the ring writer of the runtime's tests, and programs that may be absent."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.runtime.conftest import feed, make_writer  # noqa: E402, F401 -- fixtures

TOOLS = ROOT / "build/tools/usr/bin"


def program(name: str) -> Path:
    """Find a program of the system, or where the set-up unpacks it; skip the test where it is absent."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS))
    if found is None:
        pytest.skip(f"no {name}: `make test-python` fetches it, or install it")
    return Path(found)


@pytest.fixture(scope="session")
def promtool() -> Path:
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    return program("prometheus")


@pytest.fixture(scope="session")
def chromium() -> Path:
    return program("chromium")
