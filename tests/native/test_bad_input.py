"""Wrong usage, configuration and files: one clear line, the right exit status, nothing left behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.native.conftest import Run

CONFIG = """venue = "bybit-linear"
websocket = "ws://127.0.0.1:1"
rest = "http://127.0.0.1:1"
symbols = ["BTCUSDT"]
"""


def refused(run: Run, *arguments: object, code: int = 2) -> str:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, f"one line, not {done.stderr!r}"
    assert done.stderr.startswith("quietcore-feed: ")
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["no command"]),
        (["fly"], ["unknown command", "fly", "run, replay, verify, control, publish, monitor or measure"]),
        (["verify"], ["--venue", "verify --help"]),
        (["verify", "--venue", "bybit-linear"], ["argument missing", "FILE"]),
        (
            ["verify", "--venue", "nyse", "x"],
            [
                "unknown venue",
                "nyse",
                "bybit-linear, bybit-inverse, bybit-spot, binance-usdm, binance-spot, multicast",
            ],
        ),
        (["control", "--feed", "x", "fly"], ["request not usable", "fly", "switch WEBSOCKET"]),
        (["control", "status"], ["--feed"]),
        (["verify", "--venue", "bybit-linear", "/nowhere/x"], ["/nowhere/x", "No such file"]),
        (["verify", "--venue", "bybit-linear", "--depth", "0", "x"], ["--depth", "0"]),
        (["verify", "--deep"], ["unknown option", "--deep"]),
        (["replay", "--venue", "bybit-linear", "x"], ["--feed"]),
        (["replay", "--feed", "a/b", "--venue", "bybit-linear", "x"], ["feed name", "a/b"]),
        (["run", "--feed", "x"], ["setting missing", "venue"]),
        (["run", "--config", "/nowhere/x.toml"], ["/nowhere/x.toml"]),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], parts: list[str]) -> None:
    message = refused(run, *arguments)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("dept = 50", ["unknown key", "demo.toml:5: dept", "depth"]),
        ("depth = true", ["wrong type", "demo.toml:5: depth", "truth value", "whole number"]),
        ("depth = 25", ["depth not offered", "25", "1, 50, 200, 1000"]),
        ("depth = 500", ["depth not offered", "found 500, which it offered once", "1, 50, 200, 1000"]),
        ("depth = 500\nretired_depths = 1", ["wrong type", "retired_depths", "true or false"]),
        ('websocket_b = "ws://x/a\\r\\nHost: y"', ["websocket_b", "address not usable"]),
        ("[ring]\ncapacity = 1000", ["ring.capacity", "1000"]),
        ("[ring]\ncapacity = 3000", ["ring capacity", "3000", "power of two"]),
        ("symbols = ", ["demo.toml:5"]),
        ('receive = "af_xdp"', ["receive", "not built", "af_xdp", "XDP program", "socket"]),
        ('receive = "dpdk"', ["receive", "not built", "vfio-pci"]),
        ('receive = "io_uring"', ["receive", "not built", "multishot"]),
        ('receive = "pigeon"', ["not known", "pigeon", "af_xdp, dpdk and io_uring"]),
        ("[connection]\nstale_after = -1", ["connection.stale_after", "-1"]),
        ("[connection]\nstale_after = true", ["wrong type", "seconds"]),
        ('websocket_b = "http://x"', ["websocket_b", "http://x"]),
        ('cpu = "plan"\nplan = "/nowhere/plan.json"', ["core plan", "/nowhere/plan.json", "quietcore plan"]),
    ],
)
def test_wrong_configuration(run: Run, tmp_path: Path, line: str, parts: list[str]) -> None:
    path = tmp_path / "demo.toml"
    path.write_text(CONFIG + line + "\n")
    message = refused(run, "run", "--config", path)
    for part in [*parts, str(tmp_path) if "plan" not in line else ""]:
        assert part in message
    assert not Path("/dev/shm/quietcore.demo").exists()


def test_a_valid_configuration_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_text(CONFIG)
    done = run("run", "--config", path, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo is valid" in done.stdout


def test_a_venue_that_cannot_be_reached(run: Run, feed: str) -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody else takes the port
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        message = refused(
            run,
            "run",
            *("--feed", feed, "--venue", "bybit-linear"),
            *("--websocket", f"ws://{address}", "--rest", f"http://{address}"),
            code=3,
        )
    assert address in message
    assert "Connection refused" in message
    assert "remedy" in message
    assert not list(Path("/dev/shm").glob(f"quietcore.{feed}*"))


def test_no_market_data(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\nworld\n")
    message = refused(run, "verify", "--venue", "bybit-linear", path)
    assert str(path) in message
    assert "2 lines" in message


def test_hashes_that_cannot_be_written(run: Run, bybit_recording: Path) -> None:
    message = refused(
        run, "verify", "--venue", "bybit-linear", bybit_recording, "--hashes", "/nowhere/hashes"
    )
    assert "/nowhere/hashes" in message


def test_no_space_for_the_ring(run: Run, bybit_recording: Path, feed: str) -> None:
    free = os.statvfs("/dev/shm")
    capacity = 1 << 32
    if free.f_bavail * free.f_frsize > capacity * 64:
        pytest.skip("/dev/shm has room for the largest ring there is")
    message = refused(
        run, "replay", "--feed", feed, "--venue", "bybit-linear", "--capacity", capacity, bybit_recording
    )
    assert "no space for the ring" in message
    assert "MiB free" in message
    assert not Path(f"/dev/shm/quietcore.{feed}").exists()
    assert not list(Path("/dev/shm").glob(f"quietcore.{feed}.new*"))


def test_help_and_version(run: Run) -> None:
    for arguments in (
        ["--help"],
        ["run", "--help"],
        ["replay", "--help"],
        ["verify", "--help"],
        ["--version"],
    ):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "quietcore-feed" in done.stdout
    for option in ("--config", "--websocket", "--tls-ca", "--cpu", "--wait", "--symbols-list"):
        assert option in run("run", "--help").stdout


def test_control_without_a_feed(run: Run, tmp_path: Path) -> None:
    message = refused(run, "control", "--socket", tmp_path / "none", "status", code=3)
    assert str(tmp_path / "none") in message
    assert "remedy" in message
