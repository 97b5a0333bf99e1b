"""A program that was told to end writes what it has to say, however often it is told again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, contextlib, time
import uvloop
from quietcore import stop_signals

async def main():
    stop = asyncio.Event()
    with {taken}:
        print("ready", flush=True)
        await stop.wait()

uvloop.run(main()) if {uv} else asyncio.run(main())
for _ in range(40):
    time.sleep(0.01)
print("report")
"""
HEARD = "stop_signals.heard(stop.set)"
HEARD_ALONE = "contextlib.nullcontext(stop_signals.hear(asyncio.get_running_loop(), stop.set))"


def storm(program: str, numbers: tuple[signal.Signals, ...]) -> tuple[int, str]:
    """Send signals every two milliseconds until the program has ended; return its exit code and last line."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end, turn = time.monotonic() + 30, 0
        while process.poll() is None and time.monotonic() < end:
            process.send_signal(numbers[turn % len(numbers)])
            turn += 1
            time.sleep(0.002)
        last = process.stdout.read().strip()
        assert turn > len(numbers), "no signal came after the first"
        return process.wait(5), last


@pytest.mark.parametrize("uv", [True, False])
def test_repeated_signals_do_not_cut_the_end_short(uv: bool) -> None:
    program = PROGRAM.format(taken=HEARD, uv=uv)
    assert storm(program, (signal.SIGTERM, signal.SIGINT)) == (0, "report")


def test_a_hang_up_does_not_either() -> None:
    program = PROGRAM.format(taken=HEARD, uv=True)
    assert storm(program, (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)) == (0, "report")


def test_the_control_without_ignoring_them_it_is_killed() -> None:
    program = PROGRAM.format(taken=HEARD_ALONE, uv=True)
    assert storm(program, (signal.SIGINT,))[0] == -signal.SIGINT
    assert storm(program, (signal.SIGTERM,))[0] == -signal.SIGTERM
