"""`quietcore sim` as a command: what it says, how it ends, what it refuses."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline import derived

from quietcore.sim import cli
from quietcore.sim.faults import Fault

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "runtime"), **more}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "quietcore", "sim", *map(str, arguments)]


@contextlib.contextmanager
def started(*arguments: object, **more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a simulator on a free port; yield it and what it said when it was ready."""
    process = subprocess.Popen(
        command("--listen", "127.0.0.1:0", "--json", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(*arguments: object) -> str:
    """Run a simulator that must refuse to start; return its one line."""
    run = subprocess.run(
        command("--listen", "127.0.0.1:0", *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=environment(),
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert run.stderr.startswith("quietcore sim: ")
    return run.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_clean_with_its_account(number: signal.Signals) -> None:
    with started("--seed", 3, "--symbols", 2) as (process, ready):
        assert (ready["venue"], ready["symbols"], ready["total"]) == (
            "bybit-linear",
            ["BTCUSDT", "ETHUSDT"],
            None,
        )
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")
        assert json.loads(out)["frames"] == 0


def test_control_paths() -> None:
    with started("--hold", "--messages", 50, "--speed", "max") as (process, ready):
        with urllib.request.urlopen(f"{ready['rest']}/sim/state") as response:
            assert json.load(response)["phase"] == "held"
        with urllib.request.urlopen(urllib.request.Request(f"{ready['rest']}/sim/start", method="POST")):
            pass
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
        state = json.loads(out)
        assert state["phase"] in ("held", "replaying", "finished")
        assert state["frames"] <= 50


def test_readiness_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        with started(NOTIFY_SOCKET=path) as (process, _):
            assert manager.recv(100) == b"READY=1"
            process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"


def test_port_in_use() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        line = refused("--listen", address)
    assert address in line
    assert "in use" in line
    assert "--listen" in line


def test_second_simulator_on_the_same_port() -> None:
    with started() as (_, ready):
        assert "in use" in refused("--listen", f"127.0.0.1:{ready['listening']['port']}")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--listen", "192.0.2.1:0"], "192.0.2.1"),
        (["--speed", "fast"], "--speed"),
        (["--speed", "-1"], "--speed"),
        (["--rate", "0"], "--rate"),
        (["--symbols", "0"], "--symbols"),
        (["--loop", "-1"], "--loop"),
        (["--tls-cert", "/nonexistent"], "--tls-key"),
        (["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], "/nonexistent"),
        (["--api-secret-file", "/nonexistent"], "/nonexistent"),
        (["--recording", "/nonexistent"], "/nonexistent"),
    ],
)
def test_wrong_usage(arguments: list[str], part: str) -> None:
    assert part in refused(*arguments)


def test_damaged_recordings(tmp_path: Path) -> None:
    lines = derived.bybit(1, 40)
    cut = tmp_path / "cut"
    cut.write_text("\n".join(lines)[:-20])
    assert f"{cut}:40" in refused("--recording", cut)
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(cut.read_bytes())[:-50])
    assert str(packed) in refused("--recording", packed)
    lines[7] = "this is not JSON"
    assert f"{tmp_path / 'text'}:8" in refused("--recording", derived.save(lines, tmp_path / "text"))
    assert "nasdaq" in refused("--recording", cut, "--venue", "nasdaq")


def test_wrong_venue_is_seen(tmp_path: Path) -> None:
    path = derived.save(derived.binance(1, 40), tmp_path / "r")
    assert "no market data" in refused("--recording", path, "--venue", "bybit-linear")


def test_help_names_every_fault() -> None:
    words = str(cli.__doc__).replace(",", " ").replace(".", " ").split()
    assert {fault.value for fault in Fault} <= set(words)
