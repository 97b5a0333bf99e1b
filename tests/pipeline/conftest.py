"""Where the recordings and the feed handler are found; tests that need one that is absent skip and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BINANCE = "binance-usdm-btcusdt-20240808.gz"
BYBIT = "bybit-linear-xrpusdt-ob500-20241201.jsonl"


def _recording(name: str) -> Path:
    folder = Path(os.environ.get("QUIETCORE_DATA") or REPOSITORY.parent / "shared" / "data")
    path = folder / name
    if not path.exists():
        pytest.skip(f"no recording {name}: set QUIETCORE_DATA to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def binance_recording() -> Path:
    return _recording(BINANCE)


@pytest.fixture(scope="session")
def bybit_recording() -> Path:
    return _recording(BYBIT)


@pytest.fixture(scope="session")
def feed_handler() -> Path:
    path = Path(os.environ.get("QUIETCORE_FEED") or REPOSITORY / "build" / "bin" / "quietcore-feed")
    if not path.exists():
        pytest.skip(f"no feed handler at {path}: `make build`, or set QUIETCORE_FEED")
    return path
