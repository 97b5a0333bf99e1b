"""Where the executables and the recordings are; feeds of our own, gone afterwards."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.native.packet_relay import Groups, PacketRelay
from tests.native.venue_server import MakeServer, VenueServer

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def feed_handler() -> Path:
    """The built executable."""
    path = Path(os.environ.get("QUIETCORE_FEED") or ROOT / "build/bin/quietcore-feed")
    if not path.exists():
        pytest.skip(f"no feed handler at {path}: `make build`, or set QUIETCORE_FEED")
    return path


def _recording(name: str) -> Path:
    path = Path(os.environ.get("QUIETCORE_DATA") or ROOT.parent / "shared/data") / name
    if not path.exists():
        pytest.skip(f"no recording {name}: set QUIETCORE_DATA to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def binance_recording() -> Path:
    """Binance USD-M, BTCUSDT, with one REST snapshot."""
    return _recording("binance-usdm-btcusdt-20240808.gz")


@pytest.fixture(scope="session")
def bybit_recording() -> Path:
    """Bybit linear, XRPUSDT, depth 500."""
    return _recording("bybit-linear-xrpusdt-ob500-20241201.jsonl")


@pytest.fixture
def feed() -> Iterator[str]:
    """A feed name that nobody else has; its segment and lock are removed."""
    name = f"test-{secrets.token_hex(6)}"
    yield name
    for path in Path("/dev/shm").glob(f"quietcore.{name}*"):
        path.unlink()


@pytest.fixture
def run(feed_handler: Path) -> Run:
    """Run the feed handler to its end."""

    def go(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(feed_handler), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return go


@pytest.fixture
def start(feed_handler: Path, tmp_path: Path) -> Iterator[Start]:
    """Start feed handlers whose output goes to `tmp_path`/output; they are stopped at the end."""
    processes: list[subprocess.Popen[str]] = []

    def go(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        with (tmp_path / "output").open("a") as output:
            process = subprocess.Popen(
                [str(feed_handler), *map(str, arguments)],
                stdout=output,
                stderr=output,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        processes.append(process)
        return process

    yield go
    for process in processes:  # in order, so that a build that counts or checks has its say at the end
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    servers: list[VenueServer] = []

    def make(*symbols: str, tls: tuple[Path, Path] | None = None) -> VenueServer:
        servers.append(VenueServer(list(symbols) or ["BTCUSDT"], tls))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def target() -> Iterator[str]:
    """The name of a second feed."""
    name = f"test-{secrets.token_hex(6)}"
    yield name
    for path in Path("/dev/shm").glob(f"quietcore.{name}*"):
        path.unlink()


@pytest.fixture
def make_relay() -> Iterator[Callable[[Groups, Groups], PacketRelay]]:
    relays: list[PacketRelay] = []

    def make(source: Groups, to: Groups) -> PacketRelay:
        relays.append(PacketRelay(source, to))
        return relays[-1]

    yield make
    for relay in relays:
        relay.close()
