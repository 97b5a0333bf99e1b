"""The fake host, as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A host with six CPUs, no SMT, one memory node: as the throw-away host."""
    return FakeHost(tmp_path / "root")
