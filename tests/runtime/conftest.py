"""Shared pieces of the runtime's tests: a ring of our own, found by import from the repository's root."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

MakeWriter = Callable[..., Any]


@pytest.fixture
def feed() -> str:
    """A feed name that nobody else has."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def make_writer(feed: str) -> Iterator[MakeWriter]:
    """Make writers of this test's feed; their segments and locks are gone afterwards."""
    from tests.runtime.ring_writer import RingWriter

    writers: list[RingWriter] = []

    def make(**options: Any) -> RingWriter:
        writer = RingWriter(options.pop("feed", feed), **options)
        writers.append(writer)
        return writer

    yield make
    for writer in writers:
        writer.remove()


@pytest.fixture
def data_folder() -> Path:
    """The recordings, by $QUIETCORE_DATA or beside the repository."""
    import os

    folder = Path(os.environ.get("QUIETCORE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings: neither $QUIETCORE_DATA nor {folder.name} beside the repository")
    return folder
